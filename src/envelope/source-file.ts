/**
 * A file that is read from, by position, and that must stay as it was while that is done.
 * @module
 */
import type { FileHandle, FileStats, FileSystem } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { sourceChanged } from "./file-failures.ts";

/** An open source, and what it was when it was opened. */
export interface SourceFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly stats: FileStats;
}

/** Opens a regular file for reading, through symbolic links. @throws IoError. */
export async function openSource(fs: FileSystem, path: string): Promise<SourceFile> {
  try {
    const handle = await fs.open(path, "read-follow");
    return { path, handle, stats: handle.opened };
  } catch (error) {
    throw ioError(error, "read the source", path);
  }
}

/** @throws SourceChangedError unless length, time and identity are those of before, and nothing comes after the end. */
export async function assertUnchanged(fs: FileSystem, { path, handle, stats }: SourceFile): Promise<void> {
  let now: FileStats;
  let beyond: number;
  try {
    // By its path: where that is the same file, it says all that the open one would.
    [now, beyond] = await Promise.all([
      fs.stat(path),
      // Some files tell a length that is not theirs.
      handle.read(new Uint8Array(1), stats.size),
    ]);
  } catch (error) {
    throw ioError(error, "read the source", path);
  }
  if (beyond > 0 || !isSame(now, stats)) throw sourceChanged();
}

/** Begins to close a source that is read no more; closing it again waits for that. */
export function closeMeanwhile({ handle }: SourceFile): void {
  handle.close().catch(() => undefined);
}

/** Reads exactly this many bytes. @throws SourceChangedError when fewer are there: it was longer before. */
export async function readExactly(
  { handle, path }: Pick<SourceFile, "handle" | "path">,
  lengthBytes: number,
  position: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  let read: number;
  try {
    read = await handle.read(bytes, position);
  } catch (error) {
    throw ioError(error, "read the source", path);
  }
  if (read < lengthBytes) throw sourceChanged();
  return bytes;
}

function isSame(now: FileStats, then: FileStats): boolean {
  return (
    now.size === then.size &&
    Object.is(now.modifiedAtMs, then.modifiedAtMs) &&
    now.inode === then.inode &&
    now.device === then.device
  );
}
