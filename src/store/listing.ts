/**
 * What directories hold: listed in the order of names, walked through depth first.
 * @module
 */
import { hex } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { type EntryRecord, TABLES } from "../formats/records/tables.ts";
import { decodeMetadata, type StoreMetadata } from "../formats/store-metadata.ts";
import { sortedByName } from "../formats/store-path.ts";
import type { StoreSession } from "./store-session.ts";

/** A file or directory of the store. */
export interface StoreEntry {
  /** The last part of its path. */
  readonly name: string;
  readonly path: string;
  readonly kind: "file" | "directory";
  /** Bytes of a file; 0 for a directory. */
  readonly size: number;
  readonly createdAt: Date;
  /** Of an imported file, that of its source. */
  readonly modifiedAt: Date;
  /** As it was given; `{}` without any. */
  readonly metadata: StoreMetadata;
}

/** An entry as the index has it, and its path. */
export interface WalkedEntry {
  readonly parts: readonly string[];
  readonly record: EntryRecord;
}

/** What applications are told of an entry. @throws DamagedError. */
export function describeEntry(parts: readonly string[], record: EntryRecord): StoreEntry {
  const { name, kind, size, created, modified, metadata } = record;
  return {
    name,
    path: parts.join("/"),
    kind,
    size,
    createdAt: new Date(created),
    modifiedAt: new Date(modified),
    metadata: decodeMetadata(metadata),
  };
}

/**
 * Returns a directory's entries, sorted by name, as they are at one moment.
 * @param onDamage told how many records do not open, when there are any.
 */
export async function entriesOf(
  session: StoreSession,
  directoryId: Uint8Array,
  signal: AbortSignal,
  onDamage: (count: number) => void,
): Promise<EntryRecord[]> {
  const { catalog, database } = session;
  const found: EntryRecord[] = [];
  let damaged = 0;
  let sinceTurn = 0;
  for await (const { record } of database.records(TABLES.entries, catalog.entriesOf(directoryId))) {
    signal.throwIfAborted();
    if (record === undefined) damaged += 1;
    else found.push(record);
    // Opening records is work: others have their turn.
    if (++sinceTurn % 64 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (damaged > 0) onDamage(damaged);
  return sortedByName(found);
}

/**
 * Walks through a directory, in the order of names, a directory before what it holds; each directory once, as one that
 * is moved meanwhile, or an older record that was put back, may lead to it again. What a damaged record hides is told
 * when all else was given.
 * @throws DamagedError at the end.
 */
export async function* walkEntries(
  session: StoreSession,
  parts: readonly string[],
  directoryId: Uint8Array,
  options: { readonly isDeep: boolean; readonly signal: AbortSignal },
): AsyncGenerator<WalkedEntry> {
  let damaged = 0;
  const onDamage = (count: number): void => {
    damaged += count;
  };
  const seen = new Set([hex(directoryId)]);
  // Directories nest as deep as a path is long: a stack of lists, not of calls.
  const open = [{ parts, entries: await entriesOf(session, directoryId, options.signal, onDamage), at: 0 }];
  for (let level = open.at(-1); level !== undefined; level = open.at(-1)) {
    const record = level.entries[level.at++];
    if (record === undefined) {
      open.pop();
      continue;
    }
    const path = [...level.parts, record.name];
    if (record.kind === "directory" && options.isDeep) {
      const id = hex(record.id);
      if (seen.has(id)) continue;
      seen.add(id);
    }
    yield { parts: path, record };
    if (record.kind !== "directory" || !options.isDeep) continue;
    open.push({ parts: path, entries: await entriesOf(session, record.id, options.signal, onDamage), at: 0 });
  }
  if (damaged > 0) throw damagedEntries(damaged);
}

/** The error for names that damage has taken. */
export function damagedEntries(count: number): DamagedError {
  return new DamagedError(
    `${count} names in the store were altered on disk, and what they led to is not shown. Run store.verify, then restore a backup or run coffer doctor --repair.`,
    { details: { part: "index", reason: "entries", count } },
  );
}
