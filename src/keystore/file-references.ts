/**
 * Whether the records of the file store fit each other. Keeps of each only what others refer to: an index of a hundred
 * thousand names must not cost what it holds. Source: docs/format.md#store-index, #store-garbage.
 * @module
 */
import { hex } from "../bytes.ts";
import { ID_BYTES } from "../formats/key-schedule.ts";
import type { ContentRecord, EntryRecord, GarbageRecord } from "../formats/records/tables.ts";

/** What may be wrong between records of the file store. */
export type FileReferenceProblem =
  | "entry-without-content"
  | "entry-of-other-length"
  | "entry-out-of-reach"
  | "content-without-entry"
  | "content-with-two-names"
  | "garbage-in-use";

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

/** Takes records in any order. All ids are 32 hexadecimal digits. */
export class FileReferences {
  readonly #files = new Map<string, NamedFile>();
  /** Directories and the ones that they lie in. */
  readonly #directories = new Map<string, string>();
  readonly #contents = new Map<string, ExpectedObject>();
  readonly #garbage = { content: new Set<string>(), directory: new Set<string>() };
  /** Ids of directories are held once for all that is in them. */
  readonly #ids = new Map<string, string>();
  #doubles = 0;

  takeEntry({ dir, id, kind, size, blob }: EntryRecord): void {
    const [own, parent] = [hex(id), this.#known(hex(dir))];
    if (this.#files.has(own) || this.#directories.has(own)) this.#doubles += 1;
    if (kind === "directory") this.#directories.set(this.#known(own), parent);
    else this.#files.set(own, { dir: parent, size, isInObject: blob === undefined && size > 0 });
  }

  takeContent({ id, length, headerTag }: ContentRecord): void {
    this.#contents.set(hex(id), { length, headerTag: hex(headerTag) });
  }

  takeGarbage({ id, kind }: GarbageRecord): void {
    this.#garbage[kind].add(hex(id));
  }

  get objects(): ExpectedObjects {
    return { contents: this.#contents, garbage: this.#garbage.content };
  }

  /** Files whose content should have a record, and has none; and their lengths. */
  get withoutContent(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const [id, { size, isInObject }] of this.#files) {
      if (isInObject && !this.#contents.has(id)) found.set(id, size);
    }
    return found;
  }

  /** Contents whose record no name leads to. */
  get withoutEntry(): readonly string[] {
    return [...this.#contents.keys()].filter((id) => !this.#files.has(id));
  }

  /** Directories that hold something and have no name. */
  get lostDirectories(): ReadonlySet<string> {
    const reach = new Reach(this.#directories, this.#garbage.directory);
    const lost = new Set<string>();
    const take = (dir: string): void => {
      if (!this.#directories.has(dir) && !reach.has(dir)) lost.add(dir);
    };
    for (const { dir } of this.#files.values()) take(dir);
    for (const dir of this.#directories.values()) take(dir);
    return lost;
  }

  /** Returns how often each problem was found; those that were not are absent. */
  problems(): ReadonlyMap<FileReferenceProblem, number> {
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
    for (const _ of this.withoutEntry) count("content-without-entry", true);
    if (this.#doubles > 0) problems.set("content-with-two-names", this.#doubles);
    return problems;
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
