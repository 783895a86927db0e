/**
 * Makes a removed secret's stored bytes disappear from the database's files, and proves it: a deletion in LevelDB is
 * only a note that hides them. Source: docs/format.md#commit [F-116].
 * @module
 */
import { compare, concat } from "../bytes.ts";
import { isCofferError } from "../errors.ts";
import { mirrorKey } from "../formats/records/record-key.ts";
import type { FileSystem } from "./file-system.ts";
import { findBytesInFiles } from "./find-bytes.ts";
import type { Store } from "./store.ts";

/** Bytes of a stored value that are searched for: a salt of this length does not occur twice. */
export const TRACE_BYTES = 24;
/** A compaction that meets another one may leave files to the next. */
const ATTEMPTS = 3;
/** More prefixes of one table than this are compacted as one range, from the first to the last. */
const MAX_RANGES = 4;
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
  const ranges = rangesOf([...prefixes, ...prefixes.map(mirrorKey).filter((prefix) => prefix !== undefined)]);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    for (const [start, end] of ranges) await store.compact(start, end);
    if (!(await areInFiles(fs, databaseDirectory, patterns))) return true;
  }
  return false;
}

async function areInFiles(
  fs: FileSystem,
  directory: string,
  patterns: readonly Uint8Array[],
): Promise<boolean> {
  try {
    return (await findBytesInFiles(fs, directory, patterns)).length > 0;
  } catch (error) {
    // An engine in memory has no files.
    if (isCofferError(error, "COFFER_IO") && error.details["errno"] === "ENOENT") return false;
    throw error;
  }
}

/** Each compaction costs some flushes of files, however little there is to rewrite. */
function rangesOf(prefixes: readonly Uint8Array[]): (readonly [Uint8Array, Uint8Array])[] {
  const tables = new Map<number, Uint8Array[]>();
  for (const prefix of prefixes) {
    const table = prefix[0] as number;
    tables.set(table, [...(tables.get(table) ?? []), prefix]);
  }
  return [...tables.values()].flatMap((ofTable) => {
    if (ofTable.length <= MAX_RANGES) return ofTable.map((prefix) => [prefix, endOf(prefix)] as const);
    const sorted = ofTable.sort(compare);
    return [[sorted[0] as Uint8Array, endOf(sorted.at(-1) as Uint8Array)] as const];
  });
}

function endOf(prefix: Uint8Array): Uint8Array {
  return concat(prefix, END_OF_PREFIX);
}
