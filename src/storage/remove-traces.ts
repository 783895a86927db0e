/**
 * Makes a removed secret's stored bytes disappear from the database's files, and proves it: a deletion in LevelDB is
 * only a note that hides them. Source: docs/format.md#removal.
 * @module
 */
import { concat } from "../bytes.ts";
import { mirrorKey } from "../formats/records/record-key.ts";
import type { FileSystem } from "./file-system.ts";
import { findBytesInFiles } from "./find-bytes.ts";
import type { Store } from "./store.ts";

/** Bytes of a stored value that are searched for: a salt of this length does not occur twice. */
export const TRACE_BYTES = 24;
/** A compaction that meets another one may leave files to the next. */
const ATTEMPTS = 3;
/** Past the longest key of any table. */
const END_OF_PREFIX: Uint8Array = new Uint8Array(40).fill(0xff);

export interface Traces {
  /** What the removed records' LevelDB keys begin with; mirrors are seen to. */
  readonly prefixes: readonly Uint8Array[];
  /** The first {@link TRACE_BYTES} bytes of what was stored under them. */
  readonly patterns: readonly Uint8Array[];
}

/** Returns true once none of the patterns is in a file of the database. @throws IoError, StoreFailedError. */
export async function removeTraces(
  store: Store,
  fs: FileSystem,
  databaseDirectory: string,
  { prefixes, patterns }: Traces,
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    for (const prefix of prefixes) {
      for (const start of [prefix, mirrorKey(prefix)]) {
        if (start !== undefined) await store.compact(start, concat(start, END_OF_PREFIX));
      }
    }
    if ((await findBytesInFiles(fs, databaseDirectory, patterns)).length === 0) return true;
  }
  return false;
}
