/**
 * The calls of the operating system behind the file-system port, one by one, and the real ones: the only file that
 * imports `node:fs`. Fault tests put others in their place.
 * @module
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fsync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  openSync,
  readSync,
  writeSync,
  writevSync,
} from "node:fs";
import * as nodePromises from "node:fs/promises";
import { promisify } from "node:util";

export type FileKind = "file" | "directory" | "symlink" | "other";

/** What `stat` tells. On win32 `mode` and `owner` say nothing. */
export interface FileStats {
  readonly kind: FileKind;
  readonly size: number;
  /** Permission bits only, `0o000` to `0o7777`. */
  readonly mode: number;
  readonly owner: number;
  readonly links: number;
  readonly device: bigint;
  readonly inode: bigint;
  /** Time of the last change of content, name count or mode, in nanoseconds. */
  readonly changedAtNs: bigint;
  readonly modifiedAtMs: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: FileKind;
}

/**
 * How a file is opened. Symbolic links are not followed and anything but a regular file is refused, without
 * waiting on a FIFO:
 * - `read`: existing file, reading;
 * - `read-follow`: the same through symbolic links, for a path that a person gave;
 * - `create`: new file, reading and writing; `EEXIST` when the name is taken, by a dangling link too;
 * - `update`: existing file, reading and writing.
 */
export type OpenFlags = "read" | "read-follow" | "create" | "update";

/** Single calls on one open file. `read`, `write` and `writev` may do less than asked and say how much. */
export interface FileHandleCalls {
  read(buffer: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position: number): Promise<number>;
  writev(parts: readonly Uint8Array[], position: number): Promise<number>;
  sync(): Promise<void>;
  stat(): Promise<FileStats>;
  truncate(lengthBytes: number): Promise<void>;
  setModified(modifiedAtMs: number): Promise<void>;
  chmod(mode: number): Promise<void>;
  close(): Promise<void>;
}

/** Single calls of the operating system, without loops, retries or checks. `flags` are those of open(2). */
export interface FileSystemCalls {
  open(path: string, flags: number, mode: number): Promise<FileHandleCalls>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  link(existing: string, path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  rmdir(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  readDirectory(path: string): Promise<DirectoryEntry[]>;
  lstat(path: string): Promise<FileStats>;
  stat(path: string): Promise<FileStats>;
  realpath(path: string): Promise<string>;
  chmod(path: string, mode: number): Promise<void>;
  copyFile(from: string, to: string): Promise<void>;
}

/** Opens a directory for `sync`. */
export const OPEN_DIRECTORY: number = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0);

/** The bits of open(2) that make a file, and refuse one that is there. */
export const OPEN_CREATES: number = constants.O_CREAT;
export const OPEN_EXCLUSIVE: number = constants.O_EXCL;

/** The bits of open(2) for these flags. */
export function openBits(flags: OpenFlags, isWindows: boolean): number {
  const noFollow = isWindows ? 0 : constants.O_NOFOLLOW;
  const noWait = isWindows ? 0 : constants.O_NONBLOCK;
  switch (flags) {
    case "read":
      return constants.O_RDONLY | noFollow | noWait;
    case "read-follow":
      return constants.O_RDONLY | noWait;
    case "create":
      return constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | noFollow;
    default:
      return constants.O_RDWR | noFollow | noWait;
  }
}

/** The calls of `node:fs/promises`. */
export const nodeCalls: FileSystemCalls = {
  open: async (path, flags, mode) =>
    flags === OPEN_DIRECTORY
      ? directoryHandle(openSync(path, flags))
      : nodeHandle(await nodePromises.open(path, flags, mode)),
  rename: (from, to) => nodePromises.rename(from, to),
  unlink: (path) => nodePromises.unlink(path),
  link: (existing, path) => nodePromises.link(existing, path),
  mkdir: async (path, mode) => {
    await nodePromises.mkdir(path, { mode });
  },
  rmdir: (path) => nodePromises.rmdir(path),
  removeTree: (path) => nodePromises.rm(path, { recursive: true, force: true, maxRetries: 3 }),
  readDirectory: async (path) => {
    const entries = await nodePromises.readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  },
  lstat: async (path) => fileStats(await nodePromises.lstat(path, { bigint: true })),
  stat: async (path) => fileStats(await nodePromises.stat(path, { bigint: true })),
  realpath: (path) => nodePromises.realpath(path),
  chmod: (path, mode) => nodePromises.chmod(path, mode),
  copyFile: (from, to) => nodePromises.copyFile(from, to, constants.COPYFILE_EXCL),
};

function nodeHandle(handle: nodePromises.FileHandle): FileHandleCalls {
  return {
    read: async (buffer, position) => (await handle.read(buffer, 0, buffer.length, position)).bytesRead,
    write: async (bytes, position) => (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,
    writev: async (parts, position) => (await handle.writev([...parts], position)).bytesWritten,
    sync: () => handle.sync(),
    // Of a file that has just been opened the system knows it: shorter than the way to another thread.
    stat: async () => fileStats(fstatSync(handle.fd, { bigint: true })),
    truncate: (lengthBytes) => handle.truncate(lengthBytes),
    setModified: (modifiedAtMs) => handle.utimes(new Date(), secondsOf(modifiedAtMs)),
    chmod: (mode) => handle.chmod(mode),
    close: () => handle.close(),
  };
}

const flush = promisify(fsync);

/** A folder that is flushed has just been used: opening it is shorter than the way to another thread. */
function directoryHandle(descriptor: number): FileHandleCalls {
  return { ...blockingHandle(descriptor), sync: () => flush(descriptor) };
}

/**
 * The same, but what is done with an open file is done in the calling thread, which waits: for threads that have nothing
 * else to do. It saves the way through another thread at each call.
 */
export const blockingCalls: FileSystemCalls = {
  ...nodeCalls,
  open: async (path, flags, mode) => blockingHandle(openSync(path, flags, mode)),
};

function blockingHandle(descriptor: number): FileHandleCalls {
  return {
    read: async (buffer, position) => readSync(descriptor, buffer, 0, buffer.length, position),
    write: async (bytes, position) => writeSync(descriptor, bytes, 0, bytes.length, position),
    writev: async (parts, position) => writevSync(descriptor, [...parts], position),
    sync: async () => fsyncSync(descriptor),
    stat: async () => fileStats(fstatSync(descriptor, { bigint: true })),
    truncate: async (lengthBytes) => ftruncateSync(descriptor, lengthBytes),
    setModified: async (modifiedAtMs) => futimesSync(descriptor, new Date(), secondsOf(modifiedAtMs)),
    chmod: async (mode) => fchmodSync(descriptor, mode),
    close: async () => closeSync(descriptor),
  };
}

/** A microsecond more: as a fraction of a second, half of all times would come out one short, and lose a millisecond. */
function secondsOf(modifiedAtMs: number): number {
  return (modifiedAtMs + 0.001) / 1000;
}

interface KindSource {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

function kindOf(source: KindSource): FileKind {
  if (source.isFile()) return "file";
  if (source.isDirectory()) return "directory";
  return source.isSymbolicLink() ? "symlink" : "other";
}

interface BigStats extends KindSource {
  readonly size: bigint;
  readonly mode: bigint;
  readonly uid: bigint;
  readonly nlink: bigint;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly ctimeNs: bigint;
  readonly mtimeMs: bigint;
}

function fileStats(stats: BigStats): FileStats {
  return {
    kind: kindOf(stats),
    size: Number(stats.size),
    mode: Number(stats.mode & 0o7777n),
    owner: Number(stats.uid),
    links: Number(stats.nlink),
    device: stats.dev,
    inode: stats.ino,
    changedAtNs: stats.ctimeNs,
    modifiedAtMs: Number(stats.mtimeMs),
  };
}
