/**
 * Files that are there whole or not at all, and durable once said so.
 *
 * The steps are separate, so that a caller can do "write and flush all temporary files", then "rename each", then
 * "flush the folder": {@link writeTemporary}, {@link publishTemporary}, `fs.syncDirectory`. Nothing is ever written through a name that exists: a link planted there is replaced or
 * refused, never followed.
 * @module
 */
import { resolve } from "node:path";
import { FILE_MODE, type FileHandle, type FileSystem, hasErrno, ignoreNoModes } from "./file-system.ts";
import { ioError } from "./io-error.ts";

export interface WriteTemporaryOptions {
  /** Permission bits, set whatever the umask. @defaultValue 0o600 */
  readonly mode?: number;
  /**
   * What to do with something that has this name: `refuse` it (`EEXIST`), or `remove` it first, for a fixed name
   * that only the holder of the vault lock writes, and that a crash may have left. @defaultValue "refuse"
   */
  readonly leftover?: "refuse" | "remove";
}

/**
 * Creates a file with this content and flushes it to the drive; its name is durable only after `syncDirectory`.
 * Removes its own file when it fails, and never one that it did not make.
 * @throws CofferError `COFFER_IO`.
 */
export async function writeTemporary(
  fs: FileSystem,
  path: string,
  bytes: Uint8Array,
  options: WriteTemporaryOptions = {},
): Promise<void> {
  const mode = options.mode ?? FILE_MODE;
  try {
    if (options.leftover === "remove") await unlinkIfPresent(fs, path);
    const handle = await fs.open(path, "create", mode);
    try {
      await fill(handle, bytes, mode);
    } catch (error) {
      // The first error is what counts.
      await fs.unlink(path).catch(() => undefined);
      throw error;
    }
  } catch (error) {
    throw ioError(error, "write a file", path);
  }
}

async function fill(handle: FileHandle, bytes: Uint8Array, mode: number): Promise<void> {
  try {
    await handle.chmod(mode).catch(ignoreNoModes);
    await handle.write(bytes, 0);
    await handle.sync();
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
  await handle.close();
}

/**
 * Renames a file written by {@link writeTemporary} onto its final name, replacing what is there in one step.
 * Durable only after `syncDirectory`. @throws CofferError `COFFER_IO`; then the old file is intact.
 */
export async function publishTemporary(fs: FileSystem, temporaryPath: string, path: string): Promise<void> {
  try {
    await fs.rename(temporaryPath, path);
  } catch (error) {
    throw ioError(error, "replace a file", path);
  }
}

/** A flush of a folder that is under way, and the one after it, where somebody waits for that. */
interface FolderFlush {
  readonly running: Promise<void>;
  next?: Promise<void>;
}

const folderFlushes = new WeakMap<FileSystem, Map<string, FolderFlush>>();

/**
 * Flushes the names in a folder. Those who ask while it is being flushed share the flush that comes after it, and its
 * failure: the drive tells one only once, and it may be of their change.
 * @throws CofferError `COFFER_IO`.
 */
export async function syncFolder(fs: FileSystem, path: string): Promise<void> {
  try {
    // As it is now: the working directory may be another one when the flush begins.
    await flushOf(fs, resolve(path), flushesOn(fs));
  } catch (error) {
    throw ioError(error, "flush a folder to the drive", path);
  }
}

function flushesOn(fs: FileSystem): Map<string, FolderFlush> {
  const known = folderFlushes.get(fs);
  if (known !== undefined) return known;
  const none = new Map<string, FolderFlush>();
  folderFlushes.set(fs, none);
  return none;
}

function flushOf(fs: FileSystem, path: string, flushes: Map<string, FolderFlush>): Promise<void> {
  const current = flushes.get(path);
  if (current === undefined) return beginFlush(fs, path, flushes);
  // The one under way may have begun before the caller's change: the next one covers it.
  current.next ??= current.running.then(() => beginFlush(fs, path, flushes));
  return current.next;
}

function beginFlush(fs: FileSystem, path: string, flushes: Map<string, FolderFlush>): Promise<void> {
  const flush: FolderFlush = { running: (async () => fs.syncDirectory(path))() };
  flushes.set(path, flush);
  const end = (): void => {
    if (flushes.get(path) === flush) flushes.delete(path);
  };
  flush.running.then(end, end);
  return flush.running;
}

/** Removes a name; absent is fine. @returns whether something was removed. */
export async function unlinkIfPresent(fs: FileSystem, path: string): Promise<boolean> {
  try {
    await fs.unlink(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}
