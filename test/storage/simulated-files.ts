/**
 * What a simulated disk holds, and what is left of it after a power cut.
 *
 * The rules are those of POSIX and no kinder: a name is durable only after the fsync of its folder, content only
 * after the fsync of its file, and neither waits for the other. Content that a failed fsync should have flushed is
 * taken for clean by the kernel: it can still be read, and no later fsync makes it durable. Names are not.
 * @module
 */
import { createHash } from "node:crypto";
import { concat } from "../../src/bytes.ts";

/** One step that changes the disk, in the order in which they happened. Inodes are numbered for good. */
export type DiskStep =
  | {
      readonly type: "create" | "mkdir";
      readonly folder: number;
      readonly name: string;
      readonly inode: number;
      readonly mode: number;
    }
  | { readonly type: "link"; readonly folder: number; readonly name: string; readonly inode: number }
  | { readonly type: "unlink" | "rmdir"; readonly folder: number; readonly name: string }
  | {
      readonly type: "rename";
      readonly folder: number;
      readonly name: string;
      readonly toFolder: number;
      readonly toName: string;
    }
  | FileWrite
  | { readonly type: "chmod"; readonly inode: number; readonly mode: number }
  | { readonly type: "sync" | "failed-sync"; readonly inode: number };

/** `bytes` undefined: the file is cut or lengthened to `position`. */
export interface FileWrite {
  readonly type: "write";
  readonly inode: number;
  readonly position: number;
  readonly bytes: Uint8Array | undefined;
}

/** A name that is set to an inode, or removed, or both at once by a rename. */
interface NameChange {
  readonly set?: { readonly name: string; readonly inode: number };
  readonly remove?: string;
}

type Names = ReadonlyMap<string, number>;

/** Never changed in place: a changed inode replaces the old one. */
export type Inode = FileInode | FolderInode;

export interface FileInode {
  readonly kind: "file";
  readonly mode: number;
  /** Counts up with each change, as ctime does. */
  readonly changed: number;
  readonly bytes: Uint8Array;
  readonly durable: Uint8Array;
  readonly pending: readonly FileWrite[];
  /** True when a failed fsync has left something in memory that no later one flushes. */
  readonly isLossy: boolean;
}

export interface FolderInode {
  readonly kind: "directory";
  readonly mode: number;
  readonly changed: number;
  readonly names: Names;
  readonly durable: Names;
  readonly pending: readonly NameChange[];
}

/** What a power cut may leave, as far as nothing was flushed. */
export type CutKind =
  | "all kept"
  | "unsynced dropped"
  | "unsynced names dropped"
  | "unsynced content dropped"
  | "only the last unsynced name kept"
  | "torn after 1 byte"
  | "torn in the middle"
  | "torn before the last byte";

const TORN: readonly (readonly [CutKind, (lengthBytes: number) => number])[] = [
  ["torn after 1 byte", () => 1],
  ["torn in the middle", (lengthBytes) => lengthBytes >> 1],
  ["torn before the last byte", (lengthBytes) => lengthBytes - 1],
];

const ROOT_INODE = 1;
const NOTHING = new Uint8Array(0);
const NO_NAMES: Names = new Map();

/** The content of a disk at one moment: what programs read, and what of it is durable. */
export class SimulatedFiles {
  readonly #inodes: Map<number, Inode>;
  #changes: number;

  private constructor(inodes: Map<number, Inode>, changes: number) {
    this.#inodes = inodes;
    this.#changes = changes;
  }

  static empty(): SimulatedFiles {
    const inodes = new Map<number, Inode>([[ROOT_INODE, folder(0o755, 0)]]);
    return new SimulatedFiles(inodes, 1);
  }

  copy(): SimulatedFiles {
    return new SimulatedFiles(new Map(this.#inodes), this.#changes);
  }

  /** A number that no inode has. */
  get nextInode(): number {
    return Math.max(...this.#inodes.keys()) + 1;
  }

  inode(number: number): Inode {
    const inode = this.#inodes.get(number);
    if (inode === undefined) throw new Error(`disk: no inode ${number}`);
    return inode;
  }

  file(number: number): FileInode {
    const inode = this.inode(number);
    if (inode.kind !== "file") throw new Error(`disk: inode ${number} is no file`);
    return inode;
  }

  folder(number: number): FolderInode {
    const inode = this.inode(number);
    if (inode.kind !== "directory") throw new Error(`disk: inode ${number} is no folder`);
    return inode;
  }

  /** Returns the inode of an absolute path, or undefined. */
  find(path: string): number | undefined {
    let number: number | undefined = ROOT_INODE;
    for (const name of path.split("/").filter((part) => part !== "")) {
      const inode: Inode | undefined = number === undefined ? undefined : this.#inodes.get(number);
      number = inode?.kind === "directory" ? inode.names.get(name) : undefined;
    }
    return number;
  }

  apply(step: DiskStep): void {
    const changed = ++this.#changes;
    switch (step.type) {
      case "create":
        this.#inodes.set(step.inode, file(NOTHING, step.mode, changed));
        this.#rename(step.folder, { set: step });
        break;
      case "mkdir":
        this.#inodes.set(step.inode, folder(step.mode, changed));
        this.#rename(step.folder, { set: step });
        break;
      case "link":
        this.#touch(step.inode);
        this.#rename(step.folder, { set: step });
        break;
      case "unlink":
      case "rmdir": {
        const inode = this.folder(step.folder).names.get(step.name);
        if (inode !== undefined) this.#touch(inode);
        this.#rename(step.folder, { remove: step.name });
        break;
      }
      case "rename": {
        const inode = this.folder(step.folder).names.get(step.name);
        if (inode === undefined) throw new Error(`disk: ${step.name} is not there to rename`);
        this.#touch(inode);
        const set = { name: step.toName, inode };
        if (step.folder === step.toFolder) {
          this.#rename(step.folder, { set, remove: step.name });
        } else {
          this.#rename(step.folder, { remove: step.name });
          this.#rename(step.toFolder, { set });
        }
        break;
      }
      case "write": {
        const found = this.file(step.inode);
        const bytes = written(found.bytes, step);
        this.#inodes.set(step.inode, { ...found, changed, bytes, pending: [...found.pending, step] });
        break;
      }
      case "chmod":
        this.#inodes.set(step.inode, { ...this.inode(step.inode), changed, mode: step.mode });
        break;
      default:
        this.#inodes.set(step.inode, flushed(this.inode(step.inode), step.type === "sync"));
    }
  }

  /**
   * Returns what power cuts at this moment may leave, each different from the ones before it. Everything left is
   * durable. `last` is the step before the cut.
   */
  cuts(last: DiskStep | undefined): { readonly kind: CutKind; readonly files: SimulatedFiles }[] {
    const inodes = [...this.#inodes.values()];
    const folders = inodes.filter((inode) => inode.kind === "directory");
    const hasNames = folders.some((inode) => !hasSameNames(inode.names, inode.durable));
    const hasContent = inodes.some((inode) => inode.kind === "file" && inode.bytes !== inode.durable);
    const cuts = [{ kind: "all kept" as CutKind, files: this.#cut({}) }];
    const add = (kind: CutKind, kept: Kept): void => void cuts.push({ kind, files: this.#cut(kept) });
    if (hasNames || hasContent) add("unsynced dropped", { names: "none", content: "none" });
    if (hasNames && hasContent) {
      add("unsynced names dropped", { names: "none" });
      add("unsynced content dropped", { content: "none" });
    }
    if (folders.some((inode) => inode.pending.length > 1)) {
      add("only the last unsynced name kept", { names: "last" });
    }
    if (last?.type === "write" && last.bytes !== undefined && last.bytes.length > 2) {
      const { bytes } = last;
      for (const [kind, cutAt] of TORN) {
        add(kind, { torn: { ...last, bytes: bytes.subarray(0, cutAt(bytes.length)) } });
      }
    }
    return cuts;
  }

  /**
   * A text that is the same for disks on which programs find the same files, or, with `withDurable`, on which
   * they would also find the same after a power cut. `nameOf` may give files one name, or leave them out.
   */
  fingerprint(nameOf: (name: string) => string | undefined, withDurable: boolean): string {
    const lines: string[] = [];
    const walk = (number: number, path: string, isDurable: boolean): void => {
      const inode = this.inode(number);
      if (inode.kind === "file") {
        lines.push(`${path} ${digestOf(isDurable ? inode.durable : inode.bytes)}`);
        return;
      }
      lines.push(`${path}/`);
      const names = [...(isDurable ? inode.durable : inode.names)].sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [name, child] of names) {
        const shown = nameOf(name);
        if (shown === name) walk(child, `${path}/${name}`, isDurable);
        else if (shown !== undefined) lines.push(`${path}/${shown}`);
      }
    };
    walk(ROOT_INODE, "", false);
    if (withDurable) walk(ROOT_INODE, "durable", true);
    return lines.join("\n");
  }

  #touch(number: number): void {
    this.#inodes.set(number, { ...this.inode(number), changed: this.#changes });
  }

  #rename(number: number, change: NameChange): void {
    const inode = this.folder(number);
    const names = renamed(inode.names, change);
    this.#inodes.set(number, {
      ...inode,
      names,
      changed: this.#changes,
      pending: [...inode.pending, change],
    });
  }

  #cut(kept: Kept): SimulatedFiles {
    const inodes = new Map<number, Inode>();
    for (const [number, inode] of this.#inodes) inodes.set(number, inodeAfterCut(number, inode, kept));
    return new SimulatedFiles(inodes, this.#changes);
  }
}

interface Kept {
  readonly names?: "none" | "last";
  readonly content?: "none";
  /** In place of the last write. */
  readonly torn?: FileWrite;
}

function inodeAfterCut(number: number, inode: Inode, { names, content, torn }: Kept): Inode {
  if (inode.kind === "file") {
    let { bytes } = inode;
    if (content === "none") bytes = inode.durable;
    // The last write of this file is the torn one: all before it, then its part.
    else if (torn?.inode === number) {
      const before = inode.pending.slice(0, -1).reduce(written, inode.durable);
      bytes = written(before, torn);
    }
    return { ...inode, bytes, durable: bytes, pending: [], isLossy: false };
  }
  let left = inode.names;
  if (names === "none") left = inode.durable;
  else if (names === "last") left = inode.pending.slice(-1).reduce(renamed, inode.durable);
  return { ...inode, names: left, durable: left, pending: [] };
}

function file(bytes: Uint8Array, mode: number, changed: number): FileInode {
  return { kind: "file", mode, changed, bytes, durable: NOTHING, pending: [], isLossy: false };
}

function folder(mode: number, changed: number): FolderInode {
  return { kind: "directory", mode, changed, names: NO_NAMES, durable: NO_NAMES, pending: [] };
}

function flushed(inode: Inode, isGood: boolean): Inode {
  if (inode.kind === "directory") {
    return isGood ? { ...inode, durable: inode.names, pending: [] } : inode;
  }
  if (!isGood) return { ...inode, pending: [], isLossy: inode.isLossy || inode.pending.length > 0 };
  const durable = inode.isLossy ? inode.pending.reduce(written, inode.durable) : inode.bytes;
  return { ...inode, durable, pending: [] };
}

function renamed(names: Names, { set, remove }: NameChange): Names {
  const after = new Map(names);
  if (remove !== undefined) after.delete(remove);
  if (set !== undefined) after.set(set.name, set.inode);
  return after;
}

/** Contents are shared between the moments of a disk, and never changed in place. */
const digests = new WeakMap<Uint8Array, string>();

function digestOf(bytes: Uint8Array): string {
  let digest = digests.get(bytes);
  if (digest === undefined) {
    digest = createHash("sha256").update(bytes).digest("base64");
    digests.set(bytes, digest);
  }
  return digest;
}

function hasSameNames(a: Names, b: Names): boolean {
  return a === b || (a.size === b.size && [...a].every(([name, inode]) => b.get(name) === inode));
}

function written(before: Uint8Array, { position, bytes }: FileWrite): Uint8Array {
  if (bytes === undefined)
    return concat(before.subarray(0, position), new Uint8Array(Math.max(0, position - before.length)));
  const gap = new Uint8Array(Math.max(0, position - before.length));
  return concat(before.subarray(0, position), gap, bytes, before.subarray(position + bytes.length));
}
