/**
 * Searches LevelDB's data files for bytes, to prove that a removed secret is gone from them. Bounded memory.
 * @module
 */
import { join } from "node:path";
import { type FileHandle, type FileSystem, hasErrno } from "./file-system.ts";
import { ioError } from "./io-error.ts";

/** A log is a row of blocks of this length; a record that crosses an edge goes on after a header of 7 bytes. */
const LOG_BLOCK_BYTES = 32_768;
const LOG_HEADER_BYTES = 7;
const BLOCKS_PER_READ = 32;

/** Longest pattern, so that one crosses at most one edge of a block. */
const MAX_PATTERN_BYTES = 1024;

/** From so many on, patterns are searched for together, by their first bytes. */
const MANY_PATTERNS = 8;
const PREFIX_BYTES = 4;

/** A pattern (by its place in the argument) that occurs in a file. */
export interface FoundBytes {
  readonly file: string;
  readonly pattern: number;
}

/**
 * Returns every pair of file and pattern that occurs in the `.log`, `.ldb` and `.sst` files of a directory, each
 * once. In a log also patterns that a block's edge cuts in two. The file LOCK is never opened: closing it would
 * drop LevelDB's lock. Files that disappear meanwhile are passed over.
 * @param patterns 1 to {@link MAX_PATTERN_BYTES} bytes each; 24 bytes of a sealed value do not occur by chance.
 * @throws CofferError `COFFER_IO`.
 */
export async function findBytesInFiles(
  fs: FileSystem,
  directory: string,
  patterns: readonly Uint8Array[],
): Promise<FoundBytes[]> {
  for (const { length } of patterns) {
    if (length < 1 || length > MAX_PATTERN_BYTES) {
      throw new RangeError(`pattern: expected 1 to ${MAX_PATTERN_BYTES} bytes, got ${length}`);
    }
  }
  const found: FoundBytes[] = [];
  try {
    for (const { name } of await fs.readDirectory(directory)) {
      const extension = /^\d+\.(log|ldb|sst)$/u.exec(name)?.[1];
      if (extension === undefined) continue;
      for (const pattern of await findInFile(fs, join(directory, name), patterns, extension === "log")) {
        found.push({ file: name, pattern });
      }
    }
  } catch (error) {
    throw ioError(error, "search the database's files", directory);
  }
  return found;
}

async function findInFile(
  fs: FileSystem,
  path: string,
  patterns: readonly Uint8Array[],
  isLog: boolean,
): Promise<Set<number>> {
  let handle: FileHandle;
  try {
    handle = await fs.open(path, "read");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return new Set();
    throw error;
  }
  try {
    return await findInHandle(handle, patterns, isLog);
  } finally {
    await handle.close();
  }
}

async function findInHandle(
  handle: FileHandle,
  patterns: readonly Uint8Array[],
  isLog: boolean,
): Promise<Set<number>> {
  const found = new Set<number>();
  const needles = patterns.map((pattern) => Buffer.from(pattern.buffer, pattern.byteOffset, pattern.length));
  const search = searchFor(needles, found);
  // The end of the last read stays in front of the next one.
  const kept = MAX_PATTERN_BYTES - 1;
  const buffer = Buffer.alloc(kept + LOG_BLOCK_BYTES * BLOCKS_PER_READ);
  for (let position = 0; ;) {
    const read = await handle.read(buffer.subarray(kept), position);
    if (read === 0) break;
    const front = Math.min(position, kept);
    search(buffer.subarray(kept - front, kept + read));
    for (let edge = isLog ? 0 : read; edge < read; edge += LOG_BLOCK_BYTES) {
      const at = kept + edge;
      if (position + edge > 0) search(withoutHeader(buffer.subarray(0, kept + read), at));
    }
    position += read;
    buffer.copy(buffer, 0, read, read + kept);
  }
  return found;
}

/** Returns what adds to `found` the patterns that occur in bytes. */
function searchFor(needles: readonly Buffer[], found: Set<number>): (bytes: Buffer) => void {
  if (needles.length < MANY_PATTERNS || needles.some(({ length }) => length < PREFIX_BYTES)) {
    return (bytes) => {
      for (const [index, pattern] of needles.entries()) {
        if (!found.has(index) && bytes.includes(pattern)) found.add(index);
      }
    };
  }
  // Each pattern costs a pass of its own above; here all of them cost one together.
  const beginnings = new Uint8Array(2 ** 16);
  const byPrefix = new Map<number, number[]>();
  for (const [index, pattern] of needles.entries()) {
    beginnings[pattern.readUInt16BE(0)] = 1;
    const prefix = pattern.readUInt32BE(0);
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), index]);
  }
  return (bytes) => {
    for (let at = 0; at + PREFIX_BYTES <= bytes.length; at++) {
      if (beginnings[((bytes[at] as number) << 8) | (bytes[at + 1] as number)] === 0) continue;
      for (const index of byPrefix.get(bytes.readUInt32BE(at)) ?? []) {
        const pattern = needles[index] as Buffer;
        if (
          bytes.compare(pattern, 0, pattern.length, at, Math.min(at + pattern.length, bytes.length)) === 0
        ) {
          found.add(index);
        }
      }
    }
  };
}

// What a record that crosses the edge at `at` says on both sides.
function withoutHeader(bytes: Buffer, at: number): Buffer {
  const next = at + LOG_HEADER_BYTES;
  return Buffer.concat([
    bytes.subarray(at - MAX_PATTERN_BYTES + 1, at),
    bytes.subarray(next, next + MAX_PATTERN_BYTES),
  ]);
}
