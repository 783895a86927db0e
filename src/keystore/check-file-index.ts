/**
 * Checks the file tables, record by record, and keeps of each record only what others refer to: an index of a hundred
 * thousand names must not cost what it holds. Source: docs/format.md#store-index, #set-sums.
 * @module
 */
import { equal, hex } from "../bytes.ts";
import { addToSum, SET_SUM_BYTES } from "../formats/records/set-sum.ts";
import {
  type ContentRecord,
  type EntryRecord,
  type GarbageRecord,
  type RecordTable,
  type TableRecords,
  TABLES,
  type TableSum,
} from "../formats/records/tables.ts";
import { ID_BYTES } from "../formats/key-schedule.ts";
import { wipe } from "../secret.ts";
import { readStored } from "./stored-record.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** What may be wrong between records of the file store. */
export type FileReferenceProblem =
  | "entry-without-content"
  | "entry-of-other-length"
  | "entry-out-of-reach"
  | "content-without-entry"
  | "content-with-two-names"
  | "garbage-in-use";

/** What became of one file table. */
export interface FileTableTally {
  readonly table: number;
  readonly found: number;
  readonly stated: number;
  readonly unreadable: number;
  /** Records whose seal is right. */
  readonly opening: number;
  readonly isSound: boolean;
}

/** What an object must be. */
export interface ExpectedObject {
  /** Plaintext bytes. */
  readonly length: number;
  /** 64 hexadecimal digits. */
  readonly headerTag: string;
}

/** What the index says of objects, by content id in 32 hexadecimal digits. */
export interface ExpectedObjects {
  readonly contents: ReadonlyMap<string, ExpectedObject>;
  /** Contents that are to be removed. */
  readonly garbage: ReadonlySet<string>;
}

/** A file's name, as far as others refer to it. */
interface NamedFile {
  readonly dir: string;
  readonly size: number;
  readonly isInObject: boolean;
}

const ROOT = "00".repeat(ID_BYTES);

export class FileIndexCheck {
  readonly #keys: VaultKeys;
  readonly #tallies = new Map<number, Tally>();
  readonly #files = new Map<string, NamedFile>();
  /** Directories and the ones that they lie in. */
  readonly #directories = new Map<string, string>();
  readonly #contents = new Map<string, ExpectedObject>();
  readonly #garbage = { content: new Set<string>(), directory: new Set<string>() };
  /** Ids of directories are said once for each thing in them. */
  readonly #ids = new Map<string, string>();
  #doubles = 0;

  /** @param keys lent. */
  constructor(keys: VaultKeys) {
    this.#keys = keys;
  }

  /** Takes one record of a file table. */
  add(key: Uint8Array, value: Uint8Array): void {
    const table = key[0] as number;
    const { term, opens, record, isReadable } = readStored(this.#keys, key, value);
    let tally = this.#tallies.get(table);
    if (tally === undefined) this.#tallies.set(table, (tally = new Tally()));
    tally.add(term, opens, isReadable);
    if (record !== undefined) this.#take(table, record);
  }

  /** What became of the tables that hold records or should, sorted. @param stated sums of the state record. */
  tables(stated: ReadonlyMap<number, TableSum>): FileTableTally[] {
    const numbers = new Set([...this.#tallies.keys(), ...stated.keys()]);
    return [...numbers]
      .toSorted((a, b) => a - b)
      .map((table) => (this.#tallies.get(table) ?? new Tally()).judge(table, stated.get(table)));
  }

  get objects(): ExpectedObjects {
    return { contents: this.#contents, garbage: this.#garbage.content };
  }

  /** Returns how often each problem was found; those that were not are absent. */
  references(): ReadonlyMap<FileReferenceProblem, number> {
    const problems = new Map<FileReferenceProblem, number>();
    const count = (problem: FileReferenceProblem, isFound: boolean): void => {
      if (isFound) problems.set(problem, (problems.get(problem) ?? 0) + 1);
    };
    const reach = new Reach(this.#directories, this.#garbage.directory);
    for (const [id, { dir, size, isInObject }] of this.#files) {
      const content = this.#contents.get(id);
      count("entry-without-content", isInObject && content === undefined);
      count("entry-of-other-length", content !== undefined && (!isInObject || content.length !== size));
      count("entry-out-of-reach", !reach.has(dir));
      count("garbage-in-use", this.#garbage.content.has(id));
    }
    for (const [id, dir] of this.#directories) {
      count("entry-out-of-reach", !reach.has(dir));
      count("garbage-in-use", this.#garbage.directory.has(id));
    }
    for (const id of this.#contents.keys()) count("content-without-entry", !this.#files.has(id));
    if (this.#doubles > 0) problems.set("content-with-two-names", this.#doubles);
    return problems;
  }

  #take(table: number, record: TableRecords[RecordTable]): void {
    if (table === TABLES.entries) this.#takeEntry(record as EntryRecord);
    else if (table === TABLES.contents) {
      const { id, length, headerTag } = record as ContentRecord;
      this.#contents.set(hex(id), { length, headerTag: hex(headerTag) });
    } else if (table === TABLES.garbage) {
      const { id, kind } = record as GarbageRecord;
      this.#garbage[kind].add(hex(id));
    }
  }

  #takeEntry({ dir, id, kind, size, blob }: EntryRecord): void {
    const [own, parent] = [hex(id), this.#known(hex(dir))];
    if (this.#files.has(own) || this.#directories.has(own)) this.#doubles += 1;
    if (kind === "directory") this.#directories.set(this.#known(own), parent);
    else this.#files.set(own, { dir: parent, size, isInObject: blob === undefined && size > 0 });
    if (blob !== undefined) wipe(blob);
  }

  #known(id: string): string {
    const known = this.#ids.get(id);
    if (known !== undefined) return known;
    this.#ids.set(id, id);
    return id;
  }
}

/** Which directories a name leads to, or are about to be removed with all in them. */
class Reach {
  readonly #directories: ReadonlyMap<string, string>;
  readonly #known = new Map<string, boolean>();

  constructor(directories: ReadonlyMap<string, string>, removed: ReadonlySet<string>) {
    this.#directories = directories;
    this.#known.set(ROOT, true);
    for (const id of removed) this.#known.set(id, true);
  }

  has(directory: string): boolean {
    const way: string[] = [];
    const seen = new Set<string>();
    let at: string | undefined = directory;
    while (at !== undefined && !this.#known.has(at) && !seen.has(at)) {
      way.push(at);
      seen.add(at);
      at = this.#directories.get(at);
    }
    const isReached = at !== undefined && this.#known.get(at) === true;
    for (const id of way) this.#known.set(id, isReached);
    return isReached;
  }
}

class Tally {
  readonly #sum = new Uint8Array(SET_SUM_BYTES);
  #found = 0;
  #unreadable = 0;
  #opening = 0;

  add(term: Uint8Array, opens: boolean, isReadable: boolean): void {
    this.#found += 1;
    if (opens) this.#opening += 1;
    if (!isReadable) this.#unreadable += 1;
    addToSum(this.#sum, term);
  }

  judge(table: number, stated: TableSum | undefined): FileTableTally {
    const isAsStated =
      this.#found === (stated?.count ?? 0) && equal(this.#sum, stated?.sum ?? new Uint8Array(SET_SUM_BYTES));
    return {
      table,
      found: this.#found,
      stated: stated?.count ?? 0,
      unreadable: this.#unreadable,
      opening: this.#opening,
      isSound: isAsStated && this.#unreadable === 0,
    };
  }
}
