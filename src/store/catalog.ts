/**
 * The tree of names over the sealed index: found, made, moved and removed within one plan, so that each change is all
 * or nothing. A directory is an id; its entries lie under keyed hashes of that id and their names, so that moving a
 * directory is one record, whatever is in it. Source: docs/format.md#store-index [F-231].
 * @module
 */
import { equal } from "../bytes.ts";
import { randomId } from "../crypto/random.ts";
import { AlreadyExistsError, DamagedError, InvalidArgumentError, NotFoundError } from "../errors.ts";
import { ID_BYTES } from "../formats/key-schedule.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { type ContentRecord, type EntryRecord, TABLES } from "../formats/records/tables.ts";
import type { RecordReader, Transaction } from "../storage/transaction.ts";
import type { NewContent } from "./write-content.ts";

/** Id of the topmost directory. */
export const ROOT_ID: Uint8Array = new Uint8Array(ID_BYTES);

/** A place in a directory, taken or free. */
interface Place {
  readonly dir: Uint8Array;
  readonly name: string;
  readonly key: Uint8Array;
}

/** How a content gets its name. */
export interface PutOptions {
  /** Replaces a file. */
  readonly overwrite: boolean;
  readonly metadata: Uint8Array | undefined;
  /** Id of the directory that the path begins in. @defaultValue the topmost */
  readonly below?: Uint8Array | undefined;
}

export class Catalog {
  readonly #kname: Uint8Array;
  readonly #onReplaced: (key: Uint8Array) => void;
  readonly #onAbsent: () => void;

  /**
   * @param kname lent; those who change the root key change its bytes.
   * @param onReplaced told the LevelDB key of each entry before its record is removed or replaced by another content's.
   * @param onAbsent asked before anything is said or done because a record was not found; throws where it may be there.
   */
  constructor(kname: Uint8Array, onReplaced: (key: Uint8Array) => void, onAbsent: () => void) {
    this.#kname = kname;
    this.#onReplaced = onReplaced;
    this.#onAbsent = onAbsent;
  }

  /** Returns the entry of a path, or undefined. The topmost directory has none. */
  find(records: RecordReader, parts: readonly string[]): EntryRecord | undefined {
    let dir = ROOT_ID;
    let entry: EntryRecord | undefined;
    for (const name of parts) {
      if (entry !== undefined && entry.kind !== "directory") return undefined;
      entry = this.#entry(records, this.#place(dir, name));
      if (entry === undefined) return undefined;
      dir = entry.id;
    }
    return entry;
  }

  /** @throws NotFoundError. @throws InvalidArgumentError reason `is-directory`. */
  file(records: RecordReader, parts: readonly string[]): EntryRecord {
    if (parts.length === 0) throw isDirectory();
    const entry = this.find(records, parts);
    if (entry === undefined) throw nothingThere();
    if (entry.kind === "directory") throw isDirectory();
    return entry;
  }

  /** Refuses to give a content the name of this entry, or of the topmost directory. */
  refuse(entry: EntryRecord | undefined): never {
    throw entry === undefined ? isDirectory() : alreadyThere(entry.kind);
  }

  /** Returns the id of a directory. @throws NotFoundError. @throws InvalidArgumentError reason `not-directory`. */
  directory(records: RecordReader, parts: readonly string[]): Uint8Array {
    if (parts.length === 0) return ROOT_ID;
    const entry = this.find(records, parts);
    if (entry === undefined) throw nothingThere();
    if (entry.kind !== "directory") throw notDirectory();
    return entry.id;
  }

  /** Returns the record of a content that lies in an object, or undefined. */
  content(records: RecordReader, id: Uint8Array): ContentRecord | undefined {
    return records.get(TABLES.contents, recordKey.content(this.#kname, id));
  }

  /** Writes the record of a content that lies in an object. */
  putContent(change: Transaction, record: ContentRecord): void {
    change.put(TABLES.contents, recordKey.content(this.#kname, record.id), record);
  }

  /** LevelDB key prefix of a directory's entries. */
  entriesOf(directoryId: Uint8Array): Uint8Array {
    return recordKey.entries(this.#kname, directoryId);
  }

  /**
   * Gives a content its name, and makes the directories on the way.
   * @throws AlreadyExistsError for a directory of that name, and for a file unless `overwrite`.
   */
  putFile(
    change: Transaction,
    parts: readonly string[],
    content: NewContent,
    options: PutOptions,
  ): EntryRecord {
    if (parts.length === 0) throw isDirectory();
    const place = this.#placeFor(change, parts, options.below);
    const before = this.#entry(change, place);
    if (before !== undefined) {
      if (before.kind === "directory" || !options.overwrite) throw alreadyThere(before.kind);
      this.#dropContent(change, before);
      this.#onReplaced(place.key);
    }
    const { nowMs } = change;
    const { id, size, blob, headerTag, modifiedAtMs = nowMs } = content;
    const entry: EntryRecord = {
      dir: place.dir,
      name: place.name,
      kind: "file",
      id,
      size,
      created: before?.created ?? nowMs,
      modified: modifiedAtMs,
      ...(blob !== undefined && { blob }),
      ...(options.metadata !== undefined && { metadata: options.metadata }),
    };
    change.put(TABLES.entries, place.key, entry);
    if (headerTag !== undefined) this.putContent(change, { id, length: size, headerTag });
    return entry;
  }

  /**
   * Puts another content into the place of exactly this entry, which keeps its name, times and metadata.
   * @returns false when the entry is not as it was: somebody has changed it meanwhile.
   */
  exchangeContent(change: Transaction, entry: EntryRecord, content: NewContent): boolean {
    const place = this.#place(entry.dir, entry.name);
    const present = this.#entry(change, place);
    if (present === undefined || !equal(present.id, entry.id)) return false;
    this.#dropContent(change, present);
    this.#onReplaced(place.key);
    const { id, size, blob, headerTag } = content;
    const { blob: _, ...kept } = present;
    change.put(TABLES.entries, place.key, { ...kept, id, size, ...(blob !== undefined && { blob }) });
    if (headerTag !== undefined) this.putContent(change, { id, length: size, headerTag });
    return true;
  }

  /** Makes a directory and those on the way. One that is there is fine. @throws AlreadyExistsError for a file. */
  makeDirectory(change: Transaction, parts: readonly string[], below: Uint8Array = ROOT_ID): Uint8Array {
    if (parts.length === 0) return below;
    const place = this.#placeFor(change, parts, below);
    if (this.#entry(change, place)?.kind === "file") {
      throw new AlreadyExistsError(
        "A file of this name is in the store, where a directory is to be. Choose another name, or move or remove the file first.",
      );
    }
    return this.#step(change, place.dir, place.name);
  }

  /** True while this entry's name leads to this entry's content. */
  isPresent(records: RecordReader, entry: EntryRecord): boolean {
    const present = this.present(records, entry);
    return present !== undefined && equal(present.id, entry.id);
  }

  /** Returns what has this entry's name by now, or undefined. */
  present(records: RecordReader, { dir, name }: EntryRecord): EntryRecord | undefined {
    return this.#entry(records, this.#place(dir, name));
  }

  /** Gives a directory that has an id already its name. @throws AlreadyExistsError for whatever has it. */
  linkDirectory(
    change: Transaction,
    parts: readonly string[],
    id: Uint8Array,
    times: Pick<EntryRecord, "created" | "modified">,
  ): void {
    const place = this.#placeFor(change, parts);
    const before = this.#entry(change, place);
    if (before !== undefined) throw alreadyThere(before.kind);
    const { dir, name } = place;
    change.put(TABLES.entries, place.key, { dir, name, kind: "directory", id, size: 0, ...times });
    this.unlist(change, id);
  }

  /**
   * Moves a file or directory.
   * @throws NotFoundError. @throws AlreadyExistsError for what is in the way, unless both are files and `overwrite`.
   * @throws InvalidArgumentError reason `into-itself` or `root`.
   */
  move(
    change: Transaction,
    from: readonly string[],
    to: readonly string[],
    { overwrite }: { readonly overwrite: boolean },
  ): void {
    if (from.length === 0 || to.length === 0) throw isRoot();
    const source = this.#existing(change, from);
    const target = this.#placeFor(change, to, ROOT_ID, source.entry.id);
    if (equal(source.place.key, target.key)) return;
    const before = this.#entry(change, target);
    if (before !== undefined) {
      const areFiles = before.kind === "file" && source.entry.kind === "file";
      if (!areFiles || !overwrite) throw alreadyThere(before.kind);
      this.#dropContent(change, before);
      this.#onReplaced(target.key);
    }
    this.#onReplaced(source.place.key);
    change.delete(source.place.key);
    change.put(TABLES.entries, target.key, { ...source.entry, dir: target.dir, name: target.name });
  }

  /** Takes a name away; what it led to is listed as garbage. @throws NotFoundError. */
  remove(change: Transaction, parts: readonly string[]): EntryRecord {
    if (parts.length === 0) throw isRoot();
    const { place, entry } = this.#existing(change, parts);
    this.removeEntry(change, place.key, entry);
    return entry;
  }

  /** Takes an entry away that was found by its LevelDB key. */
  removeEntry(change: Transaction, key: Uint8Array, entry: EntryRecord): void {
    if (entry.kind === "directory") this.list(change, entry.id, "directory");
    else this.#dropContent(change, entry);
    this.#onReplaced(key);
    change.delete(key);
  }

  /** Lists an id as garbage. */
  list(change: Transaction, id: Uint8Array, kind: "content" | "directory"): void {
    change.put(TABLES.garbage, recordKey.garbage(this.#kname, id), { id, kind });
  }

  /** True for an id on the list of garbage. */
  isListed(records: RecordReader, id: Uint8Array): boolean {
    return records.get(TABLES.garbage, recordKey.garbage(this.#kname, id)) !== undefined;
  }

  /** Takes an id off the list of garbage. */
  unlist(change: Transaction, id: Uint8Array): void {
    change.delete(recordKey.garbage(this.#kname, id));
  }

  #dropContent(change: Transaction, entry: EntryRecord): void {
    const key = recordKey.content(this.#kname, entry.id);
    if (change.get(TABLES.contents, key) === undefined) {
      const isInObject = entry.kind === "file" && entry.blob === undefined && entry.size > 0;
      if (isInObject) this.#onAbsent();
      return;
    }
    change.delete(key);
    this.list(change, entry.id, "content");
  }

  #existing(records: RecordReader, parts: readonly string[]): { place: Place; entry: EntryRecord } {
    const entry = this.find(records, parts);
    if (entry === undefined) throw nothingThere();
    return { place: this.#place(entry.dir, entry.name), entry };
  }

  /** The place of a path, whose directories are made. @param forbidden a directory that may not be on the way. */
  #placeFor(
    change: Transaction,
    parts: readonly string[],
    below: Uint8Array = ROOT_ID,
    forbidden?: Uint8Array,
  ): Place {
    let dir = below;
    for (const name of parts.slice(0, -1)) {
      dir = this.#step(change, dir, name);
      if (forbidden !== undefined && equal(dir, forbidden)) throw intoItself();
    }
    return this.#place(dir, parts.at(-1) as string);
  }

  #step(change: Transaction, dir: Uint8Array, name: string): Uint8Array {
    const place = this.#place(dir, name);
    const entry = this.#entry(change, place);
    if (entry?.kind === "file") throw notDirectory();
    if (entry !== undefined) return entry.id;
    const id = randomId();
    const { nowMs } = change;
    const made = { dir, name, id, kind: "directory", size: 0, created: nowMs, modified: nowMs } as const;
    change.put(TABLES.entries, place.key, made);
    return id;
  }

  #entry(records: RecordReader, { key }: Place): EntryRecord | undefined {
    const entry = records.get(TABLES.entries, key);
    if (entry === undefined) this.#onAbsent();
    return entry;
  }

  #place(dir: Uint8Array, name: string): Place {
    return { dir, name, key: recordKey.entry(this.#kname, dir, name) };
  }
}

/** The error for what was not found and may be there: a search that meets an altered block passes records by [F-244]. */
export function hiddenNames(): DamagedError {
  return new DamagedError(
    "The database was altered on disk, so that names which are there may not be found. Run coffer doctor --repair, or restore a backup.",
    { details: { part: "index", reason: "rot" } },
  );
}

/** The error for a path that leads nowhere. */
export function nothingThere(): NotFoundError {
  return new NotFoundError("Nothing of this name is in the store. See store.list for what is.");
}

function alreadyThere(kind: EntryRecord["kind"]): AlreadyExistsError {
  return kind === "directory"
    ? new AlreadyExistsError("A directory of this name is in the store already. Choose another name.")
    : new AlreadyExistsError(
        "A file of this name is in the store already. Choose another name, or pass { overwrite: true }.",
      );
}

function isDirectory(): InvalidArgumentError {
  return new InvalidArgumentError(
    "This name is a directory's, where a file's is needed. Name a file in it, or choose another name.",
    {
      details: { reason: "is-directory" },
    },
  );
}

function notDirectory(): InvalidArgumentError {
  return new InvalidArgumentError(
    "A part of the path is a file, where a directory is needed. Name a directory, or move the file away first.",
    {
      details: { reason: "not-directory" },
    },
  );
}

function intoItself(): InvalidArgumentError {
  return new InvalidArgumentError("A directory cannot be put into itself. Choose a place outside it.", {
    details: { reason: "into-itself" },
  });
}

function isRoot(): InvalidArgumentError {
  return new InvalidArgumentError(
    "The topmost directory cannot be moved, replaced or removed. Name something in it.",
    {
      details: { reason: "root" },
    },
  );
}
