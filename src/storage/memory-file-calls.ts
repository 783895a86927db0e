/**
 * The calls behind the file-system port with one folder of files in memory, for tests of applications: nothing is
 * durable, nothing is left. All other paths are the real ones.
 * @module
 */
import { basename, dirname, sep } from "node:path";
import { concat } from "../bytes.ts";
import {
  type FileHandleCalls,
  type FileStats,
  type FileSystemCalls,
  OPEN_CREATES,
  OPEN_EXCLUSIVE,
} from "./file-system-calls.ts";

interface MemoryFile {
  readonly kind: "file";
  readonly inode: bigint;
  bytes: Uint8Array;
  mode: number;
  links: number;
  changed: bigint;
}

interface MemoryFolder {
  readonly kind: "directory";
  readonly inode: bigint;
  readonly names: Map<string, MemoryNode>;
  mode: number;
  changed: bigint;
}

type MemoryNode = MemoryFile | MemoryFolder;

const NS_PER_MS = 1_000_000n;

/**
 * Returns the calls.
 * @param root absolute path of the folder in memory, which exists.
 * @param others for all else.
 * @param clock milliseconds since 1970, for the times of files.
 */
export function memoryFileCalls(
  root: string,
  others: FileSystemCalls,
  clock: () => number = Date.now,
): FileSystemCalls {
  const memory = new MemoryFiles(root, clock);
  const isHere = (path: string): boolean => path === root || path.startsWith(root + sep);
  const of = (path: string): FileSystemCalls => (isHere(path) ? memory : others);
  const ofBoth = (from: string, to: string): FileSystemCalls => {
    if (isHere(from) !== isHere(to)) throw errno("EXDEV");
    return of(from);
  };
  return {
    open: (path, flags, mode) => of(path).open(path, flags, mode),
    rename: async (from, to) => ofBoth(from, to).rename(from, to),
    unlink: (path) => of(path).unlink(path),
    link: async (existing, path) => ofBoth(existing, path).link(existing, path),
    mkdir: (path, mode) => of(path).mkdir(path, mode),
    rmdir: (path) => of(path).rmdir(path),
    removeTree: (path) => of(path).removeTree(path),
    readDirectory: (path) => of(path).readDirectory(path),
    lstat: (path) => of(path).lstat(path),
    stat: (path) => of(path).stat(path),
    realpath: (path) => of(path).realpath(path),
    chmod: (path, mode) => of(path).chmod(path, mode),
    copyFile: async (from, to) => ofBoth(from, to).copyFile(from, to),
  };
}

class MemoryFiles implements FileSystemCalls {
  readonly #root: string;
  readonly #top: MemoryFolder;
  readonly #clock: () => number;
  #inodes = 1n;
  #changes = 0n;

  constructor(root: string, clock: () => number) {
    this.#root = root;
    this.#clock = clock;
    this.#top = { kind: "directory", inode: 1n, names: new Map(), mode: 0o700, changed: this.#now() };
  }

  async open(path: string, flags: number, mode: number): Promise<FileHandleCalls> {
    let node = this.#find(path);
    if (node !== undefined && (flags & OPEN_EXCLUSIVE) !== 0) throw errno("EEXIST");
    if (node === undefined && (flags & OPEN_CREATES) !== 0) {
      node = {
        kind: "file",
        inode: ++this.#inodes,
        bytes: new Uint8Array(0),
        mode,
        links: 1,
        changed: this.#now(),
      };
      this.#put(path, node);
    }
    if (node === undefined) throw errno("ENOENT");
    return this.#handle(node);
  }

  async rename(from: string, to: string): Promise<void> {
    const node = this.#get(from);
    const there = this.#find(to);
    if (there === node) return;
    if (there?.kind === "directory" && there.names.size > 0) throw errno("ENOTEMPTY");
    if (there !== undefined && there.kind !== node.kind) {
      throw errno(there.kind === "directory" ? "EISDIR" : "ENOTDIR");
    }
    this.#put(to, node);
    this.#remove(from);
    node.changed = this.#now();
    if (there?.kind === "file") there.links--;
  }

  async unlink(path: string): Promise<void> {
    const node = this.#get(path);
    if (node.kind === "directory") throw errno("EISDIR");
    this.#remove(path);
    node.links--;
  }

  async link(existing: string, path: string): Promise<void> {
    const node = this.#get(existing);
    if (node.kind === "directory") throw errno("EPERM");
    if (this.#find(path) !== undefined) throw errno("EEXIST");
    this.#put(path, node);
    node.links++;
    node.changed = this.#now();
  }

  async mkdir(path: string, mode: number): Promise<void> {
    if (this.#find(path) !== undefined) throw errno("EEXIST");
    const inode = ++this.#inodes;
    this.#put(path, { kind: "directory", inode, names: new Map(), mode, changed: this.#now() });
  }

  async rmdir(path: string): Promise<void> {
    if (this.#folder(path).names.size > 0) throw errno("ENOTEMPTY");
    this.#remove(path);
  }

  async removeTree(path: string): Promise<void> {
    if (this.#find(path) !== undefined) this.#remove(path);
  }

  async readDirectory(path: string): Promise<{ name: string; kind: "file" | "directory" }[]> {
    return [...this.#folder(path).names].map(([name, { kind }]) => ({ name, kind }));
  }

  async lstat(path: string): Promise<FileStats> {
    return statsOf(this.#get(path));
  }

  stat(path: string): Promise<FileStats> {
    return this.lstat(path);
  }

  async realpath(path: string): Promise<string> {
    this.#get(path);
    return path;
  }

  async chmod(path: string, mode: number): Promise<void> {
    this.#get(path).mode = mode;
  }

  async copyFile(from: string, to: string): Promise<void> {
    const node = this.#get(from);
    if (node.kind === "directory") throw errno("EISDIR");
    const target = await this.open(to, OPEN_CREATES | OPEN_EXCLUSIVE, node.mode);
    await target.write(node.bytes, 0);
  }

  #handle(node: MemoryNode): FileHandleCalls {
    const file = (): MemoryFile => {
      if (node.kind === "directory") throw errno("EISDIR");
      return node;
    };
    const write = async (bytes: Uint8Array, position: number): Promise<number> => {
      const { bytes: before } = file();
      const gap = new Uint8Array(Math.max(0, position - before.length));
      const rest = before.subarray(position + bytes.length);
      file().bytes = concat(before.subarray(0, position), gap, bytes, rest);
      node.changed = this.#now();
      return bytes.length;
    };
    return {
      async read(buffer, position) {
        const part = file().bytes.subarray(position, position + buffer.length);
        buffer.set(part);
        return part.length;
      },
      write,
      writev: (parts, position) => write(concat(...parts), position),
      sync: () => Promise.resolve(),
      stat: async () => statsOf(node),
      truncate: async (lengthBytes) => {
        const { bytes } = file();
        file().bytes = concat(
          bytes.subarray(0, lengthBytes),
          new Uint8Array(Math.max(0, lengthBytes - bytes.length)),
        );
      },
      setModified: async (modifiedAtMs) => {
        node.changed = BigInt(Math.trunc(modifiedAtMs)) * NS_PER_MS;
      },
      chmod: async (mode) => {
        node.mode = mode;
      },
      close: () => Promise.resolve(),
    };
  }

  #find(path: string): MemoryNode | undefined {
    let node: MemoryNode | undefined = this.#top;
    for (const name of path.slice(this.#root.length).split(sep)) {
      if (name === "") continue;
      node = node?.kind === "directory" ? node.names.get(name) : undefined;
    }
    return node;
  }

  #get(path: string): MemoryNode {
    const node = this.#find(path);
    if (node === undefined) throw errno("ENOENT");
    return node;
  }

  #folder(path: string): MemoryFolder {
    const node = this.#get(path);
    if (node.kind === "file") throw errno("ENOTDIR");
    return node;
  }

  #put(path: string, node: MemoryNode): void {
    const folder = this.#folder(dirname(path));
    folder.names.set(basename(path), node);
    folder.changed = this.#now();
  }

  #remove(path: string): void {
    const folder = this.#folder(dirname(path));
    folder.names.delete(basename(path));
    folder.changed = this.#now();
  }

  /** The clock's time, and a nanosecond more with each change: a file's times differ from one to the next. */
  #now(): bigint {
    return BigInt(Math.floor(this.#clock())) * NS_PER_MS + (++this.#changes % NS_PER_MS);
  }
}

function statsOf(node: MemoryNode): FileStats {
  return {
    kind: node.kind,
    size: node.kind === "file" ? node.bytes.length : node.names.size,
    mode: node.mode,
    owner: process.geteuid?.() ?? 0,
    links: node.kind === "file" ? node.links : 1,
    // No drive has this number: an inode here is never taken for a real one.
    device: -1n,
    inode: node.inode,
    changedAtNs: node.changed,
    modifiedAtMs: Number(node.changed / NS_PER_MS),
  };
}

function errno(code: string): Error {
  return Object.assign(new Error(`memory: ${code}`), { code });
}
