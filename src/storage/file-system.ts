/**
 * The one port through which every file-system access of ours goes.
 *
 * {@link createFileSystem} builds the port on the single calls of file-system-calls.ts, with all that differs between platforms, so that Linux tests
 * drive the other branches: win32 has no directory fsync, no modes and no `O_NOFOLLOW`, and its renames are
 * retried while another program (a virus scanner, a sync client) holds the file. On darwin, libuv's fsync is
 * `F_FULLFSYNC`, so `sync` flushes the drive there too.
 *
 * Errors are those of the calls, with `code` (`ENOENT` …), or {@link UnexpectedFileError}: this layer cannot know
 * what a missing file means. `ioError` of io-error.ts words them for people.
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  type DirectoryEntry,
  type FileHandleCalls,
  type FileStats,
  type FileSystemCalls,
  nodeCalls,
  OPEN_DIRECTORY,
  openBits,
  type OpenFlags,
} from "./file-system-calls.ts";

export type {
  DirectoryEntry,
  FileHandleCalls,
  FileKind,
  FileStats,
  FileSystemCalls,
  OpenFlags,
} from "./file-system-calls.ts";
export { blockingCalls, nodeCalls } from "./file-system-calls.ts";

/** Mode of every file of ours. */
export const FILE_MODE = 0o600;
/** Mode of every directory of ours. */
export const DIRECTORY_MODE = 0o700;

/** How long a rename is retried on win32, in milliseconds. */
const RENAME_RETRY_MS = 10_000;

const READ_CHUNK_BYTES = 65_536;

/** One open file. Positions are bytes from the start; there is no current position. */
export interface FileHandle {
  /** What it was when it was opened. */
  readonly opened: FileStats;
  /** Fills `buffer` from `position`, over short reads. @returns bytes read: fewer only at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Writes all of `bytes` at `position`, over short writes. Borrows `bytes` until it settles. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Writes all parts one after another from `position`, over short writes. */
  writev(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** Flushes content and size to the drive. After a failure nothing written since the last one counts as durable. */
  sync(): Promise<void>;
  stat(): Promise<FileStats>;
  truncate(lengthBytes: number): Promise<void>;
  /** Sets the time of the last change of content, in milliseconds since 1970. */
  setModified(modifiedAtMs: number): Promise<void>;
  /** Sets the permission bits, whatever the umask. Does nothing on win32. */
  chmod(mode: number): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface ReadFileOptions {
  /** A longer file is refused with {@link UnexpectedFileError} `too-large`, without reading it. */
  readonly maxBytes: number;
  /** Refuses a symbolic link. @defaultValue true */
  readonly noFollow?: boolean;
}

/** Every way in which Coffer touches a file system. */
export interface FileSystem {
  /** Decides the branches named in the module comment. */
  readonly platform: NodeJS.Platform;
  /** Reads a whole regular file into a fresh array. Never waits on a FIFO or a device. */
  readFile(path: string, options: ReadFileOptions): Promise<Uint8Array<ArrayBuffer>>;
  /** @param mode of a file that is created; the umask may take bits away. @defaultValue 0o600 */
  open(path: string, flags: OpenFlags, mode?: number): Promise<FileHandle>;
  /** Replaces `to` in one step. On win32 retried for {@link RENAME_RETRY_MS}. */
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Gives an existing file a second name; `EEXIST` when that is taken. */
  link(existing: string, path: string): Promise<void>;
  /** Makes one directory with exactly this mode, whatever the umask. @defaultValue 0o700 */
  mkdir(path: string, mode?: number): Promise<void>;
  rmdir(path: string): Promise<void>;
  /** Removes a file, or a directory with all in it; symbolic links are removed, not followed. Absent is fine. */
  removeTree(path: string): Promise<void>;
  /** Entries sorted by name. */
  readDirectory(path: string): Promise<readonly DirectoryEntry[]>;
  lstat(path: string): Promise<FileStats>;
  stat(path: string): Promise<FileStats>;
  realpath(path: string): Promise<string>;
  /** Does nothing on win32. */
  chmod(path: string, mode: number): Promise<void>;
  /** Copies to a new name; `EEXIST` when that is taken. */
  copyFile(from: string, to: string): Promise<void>;
  /** Makes the names in a directory durable. Does nothing on win32. */
  syncDirectory(path: string): Promise<void>;
}

/** What the port takes from its surroundings. */
export interface FileSystemEnvironment {
  readonly platform?: NodeJS.Platform;
  /** Monotonic milliseconds. */
  readonly now?: () => number;
  readonly sleep?: (ms: number) => Promise<void>;
}

/** A file that is not what its place asks for: perhaps planted there. */
export class UnexpectedFileError extends Error {
  readonly reason: "symlink" | "not-a-file" | "too-large" | "swapped";

  constructor(reason: UnexpectedFileError["reason"], options?: ErrorOptions) {
    super(`file: ${reason}`, options);
    this.name = "UnexpectedFileError";
    this.reason = reason;
  }
}

/** True when the error is one of the operating system with one of these codes. */
export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { code } = error as { code?: unknown };
  return typeof code === "string" && codes.includes(code);
}

/** Builds the port on single calls. */
export function createFileSystem(
  calls: FileSystemCalls,
  environment: FileSystemEnvironment = {},
): FileSystem {
  const platform = environment.platform ?? process.platform;
  const now = environment.now ?? ((): number => performance.now());
  const sleep = environment.sleep ?? ((ms: number): Promise<void> => delay(ms));
  const isWindows = platform === "win32";

  async function open(path: string, flags: OpenFlags, mode: number = FILE_MODE): Promise<FileHandle> {
    // Without O_NOFOLLOW the only way to tell a link is to look first and compare afterwards.
    const before =
      isWindows && (flags === "read" || flags === "update") ? await calls.lstat(path) : undefined;
    if (before?.kind === "symlink") throw new UnexpectedFileError("symlink");
    let raw: FileHandleCalls;
    try {
      raw = await calls.open(path, openBits(flags, isWindows), mode);
    } catch (error) {
      if (flags !== "read-follow" && hasErrno(error, "ELOOP"))
        throw new UnexpectedFileError("symlink", { cause: error });
      // What opening for writing says of a directory, a socket, or a FIFO that nobody reads.
      if (hasErrno(error, "EISDIR", "ENXIO")) throw new UnexpectedFileError("not-a-file", { cause: error });
      throw error;
    }
    try {
      const opened = await raw.stat();
      if (opened.kind !== "file") throw new UnexpectedFileError("not-a-file");
      if (before !== undefined && (before.device !== opened.device || before.inode !== opened.inode)) {
        throw new UnexpectedFileError("swapped");
      }
      return fileHandle(raw, opened, isWindows);
    } catch (error) {
      await raw.close().catch(() => undefined);
      throw error;
    }
  }

  async function readFile(path: string, options: ReadFileOptions): Promise<Uint8Array<ArrayBuffer>> {
    const handle = await open(path, options.noFollow === false ? "read-follow" : "read");
    try {
      return await readAll(handle, options.maxBytes);
    } finally {
      await handle.close();
    }
  }

  async function rename(from: string, to: string): Promise<void> {
    const deadline = now() + RENAME_RETRY_MS;
    for (let wait = 10; ; wait = Math.min(wait * 2, 500)) {
      try {
        await calls.rename(from, to);
        return;
      } catch (error) {
        const mayPass = isWindows && hasErrno(error, "EPERM", "EACCES", "EBUSY");
        if (!mayPass || now() >= deadline) throw error;
      }
      await sleep(Math.min(wait, Math.max(deadline - now(), 1)));
    }
  }

  async function chmod(path: string, mode: number): Promise<void> {
    if (!isWindows) await calls.chmod(path, mode);
  }

  async function mkdir(path: string, mode: number = DIRECTORY_MODE): Promise<void> {
    await calls.mkdir(path, mode);
    // A umask can only have taken bits away; a file system without modes refuses, and then there is nothing to guard.
    await chmod(path, mode).catch(ignoreNoModes);
  }

  async function syncDirectory(path: string): Promise<void> {
    if (isWindows) return;
    const handle = await calls.open(path, OPEN_DIRECTORY, 0);
    try {
      await handle.sync();
    } catch (error) {
      // Some network and FUSE file systems have no such operation; nothing can be done better there.
      if (!hasErrno(error, "EINVAL", "ENOTSUP")) throw error;
    } finally {
      await handle.close();
    }
  }

  return {
    platform,
    open,
    readFile,
    rename,
    unlink: (path) => calls.unlink(path),
    link: (existing, path) => calls.link(existing, path),
    mkdir,
    rmdir: (path) => calls.rmdir(path),
    removeTree: (path) => calls.removeTree(path),
    readDirectory: async (path) =>
      (await calls.readDirectory(path)).toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    lstat: (path) => calls.lstat(path),
    stat: (path) => calls.stat(path),
    realpath: (path) => calls.realpath(path),
    chmod,
    copyFile: (from, to) => calls.copyFile(from, to),
    syncDirectory,
  };
}

function fileHandle(raw: FileHandleCalls, opened: FileStats, isWindows: boolean): FileHandle {
  let closing: Promise<void> | undefined;

  async function write(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const written = await raw.write(bytes.subarray(done), position + done);
      if (written <= 0) throw noProgress();
      done += written;
    }
  }

  return {
    opened,
    async read(buffer, position) {
      let done = 0;
      while (done < buffer.length) {
        const read = await raw.read(buffer.subarray(done), position + done);
        if (read <= 0) break;
        done += read;
      }
      return done;
    },
    write,
    async writev(parts, position) {
      const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0);
      if (lengthBytes === 0) return;
      let skip = await raw.writev(parts, position);
      if (skip <= 0) throw noProgress();
      let at = position;
      for (const part of parts) {
        const written = Math.min(skip, part.length);
        if (written < part.length) await write(part.subarray(written), at + written);
        skip -= written;
        at += part.length;
      }
    },
    sync: () => raw.sync(),
    stat: () => raw.stat(),
    truncate: (lengthBytes) => raw.truncate(lengthBytes),
    setModified: (modifiedAtMs) => raw.setModified(modifiedAtMs),
    async chmod(mode) {
      if (!isWindows) await raw.chmod(mode);
    },
    close() {
      closing ??= raw.close();
      return closing;
    },
  };
}

/** Passes over the refusal of a file system that has no modes. */
export function ignoreNoModes(error: unknown): void {
  if (!hasErrno(error, "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")) throw error;
}

// A write that takes nothing and says nothing would loop for ever.
function noProgress(): Error {
  return Object.assign(new Error("write: no progress"), { code: "EIO" });
}

// Reads to the end rather than to the size that stat told: files of /proc tell 0, and a file may grow meanwhile.
async function readAll(handle: FileHandle, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const { size } = await handle.stat();
  if (size > maxBytes) throw new UnexpectedFileError("too-large");
  let bytes = new Uint8Array(Math.min(size === 0 ? READ_CHUNK_BYTES : size + 1, maxBytes + 1));
  let length = 0;
  for (;;) {
    length += await handle.read(bytes.subarray(length), length);
    if (length > maxBytes) throw new UnexpectedFileError("too-large");
    if (length < bytes.length) return bytes.slice(0, length);
    const larger = new Uint8Array(Math.min(bytes.length * 2, maxBytes + 1));
    larger.set(bytes);
    bytes = larger;
  }
}

/** The file system of this computer. */
export const nodeFileSystem: FileSystem = /* @__PURE__ */ createFileSystem(nodeCalls);
