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
    try {
      return { path, handle, stats: await handle.stat() };
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
  } catch (error) {
    throw ioError(error, "read the source", path);
  }
}

/** @throws SourceChangedError unless length, time and identity are those of before, and nothing comes after the end. */
export async function assertUnchanged(fs: FileSystem, { path, handle, stats }: SourceFile): Promise<void> {
  let after: readonly FileStats[];
  let beyond: number;
  try {
    after = await Promise.all([handle.stat(), fs.stat(path)]);
    // Some files tell a length that is not theirs.
    beyond = await handle.read(new Uint8Array(1), stats.size);
  } catch (error) {
    throw ioError(error, "read the source", path);
  }
  if (beyond > 0 || !after.every((now) => isSame(now, stats))) throw sourceChanged();
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
    now.modifiedAtMs === then.modifiedAtMs &&
    now.inode === then.inode &&
    now.device === then.device
  );
}
