/**
 * A disk in memory behind the file-system port: every step that changes it is logged, it can be had as it was after
 * any step, by a process that was killed there or after a power cut, and any call can be made to fail.
 * @module
 */
import { constants } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { SYSTEM_TIME } from "../../src/auto-lock.ts";
import {
  createFileSystem,
  type DirectoryEntry,
  type FileHandleCalls,
  type FileStats,
  type FileSystem,
  type FileSystemCalls,
} from "../../src/storage/file-system.ts";
import type { VaultEnvironment } from "../../src/vault-opening.ts";
import { type EngineCall, openSimulatedEngine } from "./simulated-engine.ts";
import { type CutKind, type DiskStep, SimulatedFiles } from "./simulated-files.ts";

/** Where vaults go: the folder exists, is durable and is ours alone. */
export const HOME = "/disk/user";

export type CallName =
  | keyof Omit<FileSystemCalls, "open">
  | "open"
  | "file read"
  | "file write"
  | "file sync"
  | "file stat"
  | "file truncate"
  | "file chmod"
  | "file close"
  | "folder sync"
  | EngineCall;

/** How a call fails: with an error of the system, or by doing half of it without one. */
export type Fault = { readonly code: string } | "short";

/** Asked before every call of the port and of the engine, not for those of the engine's own files. */
export type FaultPlan = (call: CallName, path: string) => Fault | undefined;

/** `isOurs` is false for the engine's own files. */
export type SyncFilter = (call: "file sync" | "folder sync", path: string, isOurs: boolean) => boolean;

export interface Cut {
  readonly kind: CutKind | "killed";
  readonly disk: SimulatedDisk;
}

const OWNER = process.geteuid?.() ?? 0;

let boots = 0;

export class SimulatedDisk {
  readonly fs: FileSystem;
  /** For createVaultIn and openVaultIn. */
  readonly environment: VaultEnvironment;
  /** What fails from now on. */
  faults: FaultPlan = () => undefined;
  /** Asked at each fsync: where true, it does nothing, though it says that it has. */
  ignoredSyncs: SyncFilter = () => false;
  readonly #log: DiskStep[] = [];
  readonly #base: SimulatedFiles;
  readonly #now: SimulatedFiles;
  readonly #boot: number;
  #next: number;
  /** The last moment that was asked for: the next one is mostly a little later. */
  #moment: { steps: number; files: SimulatedFiles };

  private constructor(files: SimulatedFiles) {
    this.#base = files;
    this.#now = files.copy();
    this.#next = files.nextInode;
    this.#moment = { steps: 0, files: files.copy() };
    this.#boot = ++boots;
    this.fs = createFileSystem(this.#calls(true), { platform: "linux" });
    const engineFiles = createFileSystem(this.#calls(false), { platform: "linux" });
    this.environment = {
      fs: this.fs,
      // What somebody waits for comes at once.
      time: {
        ...SYSTEM_TIME,
        timer: (callback, delayMs, isIdle) => SYSTEM_TIME.timer(callback, isIdle ? delayMs : 0, isIdle),
      },
      openEngine: (directory, { create }) =>
        openSimulatedEngine(engineFiles, directory, {
          create,
          before: (call) => void this.#fail(call, directory, true),
        }),
    };
  }

  /** A disk with nothing but {@link HOME} and the folder for temporary files. */
  static empty(): SimulatedDisk {
    const files = SimulatedFiles.empty();
    const mkdir = (folder: number, name: string, inode: number): void => {
      files.apply({ type: "mkdir", folder, name, inode, mode: 0o700 });
      files.apply({ type: "sync", inode: folder });
    };
    mkdir(1, "disk", 2);
    mkdir(2, "user", 3);
    let [parent, inode] = [1, 4];
    for (const name of tmpdir()
      .split("/")
      .filter((part) => part !== "")) {
      mkdir(parent, name, inode);
      parent = inode++;
    }
    return new SimulatedDisk(files);
  }

  /** How many steps have changed the disk. */
  get steps(): number {
    return this.#log.length;
  }

  step(index: number): DiskStep | undefined {
    return this.#log[index];
  }

  /** The disk as a process finds it that starts after ours was killed there: nothing is lost, nothing is flushed. */
  killedAfter(steps: number): SimulatedDisk {
    return new SimulatedDisk(this.#at(steps).copy());
  }

  /** The disks that power cuts there may leave. */
  cutsAfter(steps: number): Cut[] {
    const cuts = this.#at(steps).cuts(this.#log[steps - 1]);
    return cuts.map(({ kind, files }) => ({ kind, disk: new SimulatedDisk(files) }));
  }

  /** Writes past the port, as other programs do: never flushed. `bytes` undefined removes the file. */
  put(path: string, bytes: Uint8Array | undefined): void {
    const isThere = this.#now.find(path) !== undefined;
    if (!isThere && bytes === undefined) return;
    const { folder, name } = this.#place(path);
    if (isThere) this.#do({ type: "unlink", folder, name });
    if (bytes === undefined) return;
    const inode = this.#next++;
    this.#do({ type: "create", folder, name, inode, mode: 0o600 });
    this.#do({ type: "write", inode, position: 0, bytes });
  }

  /** Content of a file, or undefined. */
  bytes(path: string): Uint8Array | undefined {
    const number = this.#now.find(path);
    const inode = number === undefined ? undefined : this.#now.inode(number);
    return inode?.kind === "file" ? inode.bytes : undefined;
  }

  /** Names in a folder, sorted; none where there is no folder. */
  names(path: string): string[] {
    const number = this.#now.find(path);
    const inode = number === undefined ? undefined : this.#now.inode(number);
    return inode?.kind === "directory" ? [...inode.names.keys()].sort() : [];
  }

  /**
   * A text that is the same for disks that hold the same, whoever it was that locked the vault last; `withDurable`,
   * also after a power cut, but for temporary files, which nothing reads.
   */
  fingerprint({ withDurable = false }: { readonly withDurable?: boolean } = {}): string {
    return this.#now.fingerprint((name) => {
      if (name.startsWith("vault.lock")) return name === "vault.lock" ? "lock taken" : "lock made";
      return withDurable && name.endsWith(".tmp") ? undefined : name;
    }, withDurable);
  }

  #at(steps: number): SimulatedFiles {
    if (this.#moment.steps > steps) this.#moment = { steps: 0, files: this.#base.copy() };
    const moment = this.#moment;
    for (; moment.steps < steps; moment.steps++) moment.files.apply(this.#log[moment.steps] as DiskStep);
    return moment.files;
  }

  #do(step: DiskStep): void {
    this.#now.apply(step);
    this.#log.push(step);
  }

  /** Throws what the plan says; returns true for a call that does half. */
  #fail(call: CallName, path: string, isOurs: boolean): boolean {
    const fault = isOurs ? this.faults(call, path) : undefined;
    if (fault === undefined || fault === "short") return fault === "short";
    throw systemError(fault.code, `${call} ${path}`);
  }

  #place(path: string): { folder: number; name: string } {
    const folder = this.#now.find(dirname(path));
    if (folder === undefined) throw systemError("ENOENT", path);
    if (this.#now.inode(folder).kind !== "directory") throw systemError("ENOTDIR", path);
    return { folder, name: basename(path) };
  }

  #inodeOf(path: string): number {
    const inode = this.#now.find(path);
    if (inode === undefined) throw systemError("ENOENT", path);
    return inode;
  }

  #stats(number: number): FileStats {
    const inode = this.#now.inode(number);
    return {
      kind: inode.kind,
      size: inode.kind === "file" ? inode.bytes.length : 0,
      mode: inode.mode,
      owner: OWNER,
      links: 1,
      device: 1n,
      inode: BigInt(number),
      changedAtNs: BigInt(inode.changed),
      // Long past.
      modifiedAtMs: inode.changed,
    };
  }

  /** Files of /proc that tell one process of this disk from the next: each disk is used by one process only. */
  #proc(path: string): Uint8Array | undefined {
    if (path === "/proc/sys/kernel/random/boot_id")
      return Buffer.from("00000000-0000-0000-0000-000000000000\n");
    if (path !== `/proc/${process.pid}/stat`) return undefined;
    return Buffer.from(`${process.pid} (node) S ${"0 ".repeat(18)}${this.#boot} 0\n`);
  }

  #calls(isOurs: boolean): FileSystemCalls {
    const fail = (call: CallName, path: string): boolean => this.#fail(call, path, isOurs);
    const unlink = (path: string): void => {
      const { folder, name } = this.#place(path);
      if (this.#now.inode(this.#inodeOf(path)).kind === "directory") throw systemError("EISDIR", path);
      this.#do({ type: "unlink", folder, name });
    };
    const rmdir = (path: string): void => {
      const { folder, name } = this.#place(path);
      if (this.names(path).length > 0) throw systemError("ENOTEMPTY", path);
      if (this.#now.inode(this.#inodeOf(path)).kind === "file") throw systemError("ENOTDIR", path);
      this.#do({ type: "rmdir", folder, name });
    };
    const removeTree = (path: string): void => {
      const number = this.#now.find(path);
      if (number === undefined) return;
      if (this.#now.inode(number).kind === "file") return unlink(path);
      for (const name of this.names(path)) removeTree(join(path, name));
      rmdir(path);
    };
    const create = (path: string, mode: number): number => {
      const { folder, name } = this.#place(path);
      if (this.#now.find(path) !== undefined) throw systemError("EEXIST", path);
      const inode = this.#next++;
      this.#do({ type: "create", folder, name, inode, mode });
      return inode;
    };
    return {
      open: async (path, flags, mode) => {
        fail("open", path);
        const proc = this.#proc(path);
        if (proc !== undefined) return this.#textHandle(proc);
        const isNew = (flags & constants.O_CREAT) !== 0;
        const inode = isNew ? create(path, mode) : this.#inodeOf(path);
        return this.#handle(path, inode, fail, isOurs);
      },
      rename: async (from, to) => {
        fail("rename", from);
        const number = this.#inodeOf(from);
        const target = this.#now.find(to);
        if (target !== undefined && this.#now.inode(target).kind === "directory") {
          if (this.#now.inode(number).kind === "file") throw systemError("EISDIR", to);
          if (this.names(to).length > 0) throw systemError("ENOTEMPTY", to);
        }
        const { folder, name } = this.#place(from);
        const { folder: toFolder, name: toName } = this.#place(to);
        this.#do({ type: "rename", folder, name, toFolder, toName });
      },
      unlink: async (path) => {
        fail("unlink", path);
        unlink(path);
      },
      link: async (existing, path) => {
        fail("link", path);
        const inode = this.#inodeOf(existing);
        if (this.#now.find(path) !== undefined) throw systemError("EEXIST", path);
        this.#do({ type: "link", ...this.#place(path), inode });
      },
      mkdir: async (path, mode) => {
        fail("mkdir", path);
        const place = this.#place(path);
        if (this.#now.find(path) !== undefined) throw systemError("EEXIST", path);
        this.#do({ type: "mkdir", ...place, inode: this.#next++, mode });
      },
      rmdir: async (path) => {
        fail("rmdir", path);
        rmdir(path);
      },
      removeTree: async (path) => {
        fail("removeTree", path);
        removeTree(path);
      },
      readDirectory: async (path) => {
        fail("readDirectory", path);
        const { kind } = this.#now.inode(this.#inodeOf(path));
        if (kind === "file") throw systemError("ENOTDIR", path);
        return this.names(path).map((name): DirectoryEntry => {
          const { kind } = this.#now.inode(this.#inodeOf(join(path, name)));
          return { name, kind };
        });
      },
      lstat: async (path) => {
        fail("lstat", path);
        return this.#stats(this.#inodeOf(path));
      },
      stat: async (path) => {
        fail("stat", path);
        return this.#stats(this.#inodeOf(path));
      },
      realpath: async (path) => {
        fail("realpath", path);
        this.#inodeOf(path);
        return resolve(path);
      },
      chmod: async (path, mode) => {
        fail("chmod", path);
        this.#do({ type: "chmod", inode: this.#inodeOf(path), mode });
      },
      copyFile: async (from, to) => {
        fail("copyFile", to);
        const { bytes } = this.#now.file(this.#inodeOf(from));
        const inode = create(to, 0o600);
        this.#do({ type: "write", inode, position: 0, bytes });
      },
    };
  }

  #handle(
    path: string,
    inode: number,
    fail: (call: CallName, path: string) => boolean,
    isOurs: boolean,
  ): FileHandleCalls {
    const syncName = this.#now.inode(inode).kind === "file" ? "file sync" : "folder sync";
    const write = async (bytes: Uint8Array, position: number): Promise<number> => {
      const isShort = fail("file write", path);
      const taken = isShort ? bytes.slice(0, Math.ceil(bytes.length / 2)) : bytes.slice();
      this.#do({ type: "write", inode, position, bytes: taken });
      return taken.length;
    };
    return {
      read: async (buffer, position) => {
        const isShort = fail("file read", path);
        const { bytes } = this.#now.file(inode);
        const wanted = isShort ? Math.ceil(buffer.length / 2) : buffer.length;
        const found = bytes.subarray(position, position + wanted);
        buffer.set(found);
        return found.length;
      },
      write,
      writev: (parts, position) => write(Buffer.concat(parts), position),
      sync: async () => {
        try {
          fail(syncName, path);
        } catch (error) {
          this.#do({ type: "failed-sync", inode });
          throw error;
        }
        if (!this.ignoredSyncs(syncName, path, isOurs)) this.#do({ type: "sync", inode });
      },
      stat: async () => {
        fail("file stat", path);
        return this.#stats(inode);
      },
      truncate: async (lengthBytes) => {
        fail("file truncate", path);
        this.#do({ type: "write", inode, position: lengthBytes, bytes: undefined });
      },
      setModified: () => Promise.resolve(),
      chmod: async (mode) => {
        fail("file chmod", path);
        this.#do({ type: "chmod", inode, mode });
      },
      close: async () => void fail("file close", path),
    };
  }

  #textHandle(text: Uint8Array): FileHandleCalls {
    const refuse = (): never => {
      throw systemError("EBADF", "/proc");
    };
    return {
      read: async (buffer, position) => {
        const found = text.subarray(position, position + buffer.length);
        buffer.set(found);
        return found.length;
      },
      stat: async () => ({ ...this.#stats(1), kind: "file", size: 0 }),
      close: async () => undefined,
      write: refuse,
      writev: refuse,
      sync: refuse,
      truncate: refuse,
      setModified: refuse,
      chmod: refuse,
    };
  }
}

/** Without a stack, as errors of the system have none either, and making one would be the costliest thing here. */
function systemError(code: string, text: string): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return Object.assign(new Error(`${code}: ${text}`), { code });
  } finally {
    Error.stackTraceLimit = limit;
  }
}
