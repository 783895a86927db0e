/**
 * A folder of the disk into the store: files, empty folders, times. Links are not followed, and nothing outside the
 * folder is read.
 * @module
 */
import { basename, dirname, join, sep } from "node:path";
import { Progress, type ProgressListener } from "../envelope/progress.ts";
import type { SourceFile } from "../envelope/source-file.ts";
import { isCofferError } from "../errors.ts";
import { parseStorePath } from "../formats/store-path.ts";
import {
  type DirectoryEntry,
  type FileSystem,
  hasErrno,
  UnexpectedFileError,
} from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { concurrently } from "./concurrently.ts";
import type { DurabilityOption, StoreCallOptions, StoreKeyOption } from "./store-options.ts";
import type { StoreSession } from "./store-session.ts";
import { recordedTime } from "./write-content.ts";

/** Why something was left out of an import. */
export type ImportSkipReason =
  /** A symbolic link. */
  | "link"
  /** A pipe, a socket, a device. */
  | "special"
  /** A name that is not UTF-8, is no name in the store, or is too long. */
  | "name"
  /** Another of the same folder has the same name in Unicode's NFC. */
  | "collision"
  /** A file of this name is in the store, or a directory where a file was. */
  | "exists"
  /** The vault's own folder. */
  | "vault"
  /** It was changed, moved or removed while it was imported. */
  | "changed"
  /** This user may not read it. */
  | "denied"
  /** The drive cannot read it. */
  | "unreadable";

export interface StoreImportOptions extends StoreCallOptions, StoreKeyOption, DurabilityOption {
  /** Replaces files of the store; what they had as metadata stays. @defaultValue false: they are passed over, and told */
  readonly overwrite?: boolean | undefined;
  /** Passes over files that are in the store with the same length and time, so that an import is made to the end. */
  readonly resume?: boolean | undefined;
  /** Told bytes that were imported or passed over, and of all. */
  readonly onProgress?: ProgressListener | undefined;
  /** Told what is left out: its path on the disk, and why. */
  readonly onSkip?:
    ((skipped: { readonly path: string; readonly reason: ImportSkipReason }) => void) | undefined;
}

export interface ImportedTree {
  readonly files: number;
  readonly directories: number;
  /** Plaintext bytes of the files. */
  readonly bytes: number;
  /** Files that `resume` has passed over. */
  readonly unchanged: number;
  readonly skipped: number;
}

/** Small files share their commits. */
const AT_ONCE = 16;

/** Of files from this length on, progress is told while they are read, in bytes. */
const LONG_BYTES = 16_777_216;

interface FoundFile {
  readonly path: string;
  readonly parts: readonly string[];
  readonly size: number;
}

interface FoundTree {
  isFolder: boolean;
  readonly files: FoundFile[];
  readonly directories: (readonly string[])[];
}

export interface Importing {
  readonly signal: AbortSignal;
  readonly onUse: () => void;
  /** Performs a change in turn with those that look into directories. */
  readonly commit: <T>(work: () => Promise<T>) => Promise<T>;
  readonly flush: () => Promise<void>;
}

/** See `FileStore.importFrom`. */
export async function importTree(
  session: StoreSession,
  source: string,
  into: readonly string[],
  options: StoreImportOptions,
  { signal, onUse, commit, flush }: Importing,
): Promise<ImportedTree> {
  session.assertWritable();
  const { catalog, host } = session;
  let skipped = 0;
  const skip = (path: string, reason: ImportSkipReason): void => {
    skipped += 1;
    options.onSkip?.({ path, reason });
  };
  const root = await canonical(host.fs, source);
  const found = await scan(session, root, into, signal, skip);
  const progress = new Progress(
    options.onProgress,
    found.files.reduce((sum, { size }) => sum + size, 0),
  );
  let [files, bytes, unchanged, directories] = [0, 0, 0, 0];
  // Also when nothing goes into it.
  if (found.isFolder && into.length > 0) {
    await commit(() => session.change((change) => void catalog.makeDirectory(change, into)));
  }
  await concurrently(found.directories, AT_ONCE, async (parts) => {
    signal.throwIfAborted();
    try {
      await commit(() => session.change((change) => void catalog.makeDirectory(change, parts)));
      directories += 1;
    } catch (error) {
      if (!isInTheWay(error)) throw error;
      skip(join(root, ...parts.slice(into.length)), "exists");
    }
  });
  await concurrently(found.files, AT_ONCE, async (file) => {
    signal.throwIfAborted();
    let told = 0;
    const onProgress: ProgressListener = (now) => {
      progress.add(now.bytes - told);
      told = now.bytes;
    };
    const isLong = file.size >= LONG_BYTES && options.onProgress !== undefined;
    const outcome = await importFile(session, file, options, {
      signal,
      onUse,
      commit,
      ...(isLong && { onProgress }),
    });
    progress.add(Math.max(0, file.size - told));
    if (outcome === "unchanged") unchanged += 1;
    else if (typeof outcome === "string") skip(file.path, outcome);
    else {
      files += 1;
      bytes += outcome.bytes;
    }
  });
  await flush();
  await progress.finish();
  return { files, directories, bytes, unchanged, skipped };
}

async function canonical(fs: FileSystem, source: string): Promise<string> {
  try {
    return await fs.realpath(source);
  } catch (error) {
    throw ioError(error, "read what is to be imported", source);
  }
}

async function scan(
  { host }: StoreSession,
  root: string,
  into: readonly string[],
  signal: AbortSignal,
  skip: (path: string, reason: ImportSkipReason) => void,
): Promise<FoundTree> {
  const { fs } = host;
  const found: FoundTree = { isFolder: false, files: [], directories: [] };
  const isOfVault = (path: string): boolean =>
    path === host.directory || path.startsWith(host.directory + sep);
  const add = async (
    path: string,
    { name, kind }: DirectoryEntry,
    parts: readonly string[],
    isTaken: boolean,
  ): Promise<void> => {
    const place = placeOf(parts, name);
    if (isOfVault(path)) return skip(path, "vault");
    if (kind === "symlink") return skip(path, "link");
    if (kind === "other") return skip(path, "special");
    if (place === undefined) return skip(path, "name");
    if (isTaken) return skip(path, "collision");
    if (kind === "file") {
      const size = (await statsOf(fs, path))?.size;
      if (size === undefined) return skip(path, "changed");
      found.files.push({ path, parts: place, size });
    } else {
      found.directories.push(place);
      open.push({ path, parts: place });
    }
  };
  const addAll = async (
    path: string,
    entries: readonly DirectoryEntry[],
    parts: readonly string[],
  ): Promise<void> => {
    const taken = new Set<string>();
    for (const entry of normalFirst(entries)) {
      const name = entry.name.normalize("NFC");
      await add(join(path, entry.name), entry, parts, taken.has(name));
      if (entry.kind === "file" || entry.kind === "directory") taken.add(name);
    }
  };
  const open: { readonly path: string; readonly parts: readonly string[] }[] = [];
  const { kind } = (await statsOf(fs, root)) ?? { kind: "other" };
  found.isFolder = kind === "directory" && !isOfVault(root);
  if (found.isFolder) open.push({ path: root, parts: into });
  else await add(root, { name: basename(root), kind }, into, false);
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    signal.throwIfAborted();
    const { path, parts } = directory;
    const entries = await entriesOf(fs, path);
    if (typeof entries === "string") skip(path, entries);
    else await addAll(path, entries, parts);
  }
  return found;
}

/** Of two names that are one in NFC, the one that is so already has it. */
function normalFirst(entries: readonly DirectoryEntry[]): readonly DirectoryEntry[] {
  const isNormal = ({ name }: DirectoryEntry): boolean => name === name.normalize("NFC");
  if (entries.every(isNormal)) return entries;
  return [...entries.filter(isNormal), ...entries.filter((entry) => !isNormal(entry))];
}

/** A folder that has become a link meanwhile would lead elsewhere. */
async function entriesOf(
  fs: FileSystem,
  path: string,
): Promise<readonly DirectoryEntry[] | ImportSkipReason> {
  try {
    const entries = await fs.readDirectory(path);
    return (await fs.realpath(path)) === path ? entries : "changed";
  } catch (error) {
    return reasonOf(error) ?? Promise.reject(ioError(error, "read a folder that is to be imported"));
  }
}

async function statsOf(
  fs: FileSystem,
  path: string,
): Promise<{ size: number; kind: DirectoryEntry["kind"] } | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (reasonOf(error) !== undefined) return undefined;
    throw ioError(error, "look at a file that is to be imported");
  }
}

/** Returns the path in the store, or undefined where it would be none. */
function placeOf(parts: readonly string[], name: string): string[] | undefined {
  // What stands for bytes that are no UTF-8: such a file would not be found by its name.
  if (name.includes("\ufffd")) return undefined;
  try {
    return parseStorePath([...parts, name].join("/"), "name");
  } catch (error) {
    if (isCofferError(error)) return undefined;
    throw error;
  }
}

async function importFile(
  session: StoreSession,
  { path, parts }: FoundFile,
  { keyId, durability = "durable", overwrite = false, resume = false }: StoreImportOptions,
  {
    signal,
    onUse,
    commit,
    onProgress,
  }: Omit<Importing, "flush"> & { readonly onProgress?: ProgressListener },
): Promise<{ readonly bytes: number } | ImportSkipReason | "unchanged"> {
  const { host, catalog, database } = session;
  const opened = await openStill(host.fs, path);
  if (typeof opened === "string") return opened;
  try {
    const before = catalog.find(database, parts);
    const { size } = opened.stats;
    const modifiedAtMs = recordedTime(opened.stats.modifiedAtMs);
    const isSame = before?.kind === "file" && before.size === size && before.modified === modifiedAtMs;
    if (resume && isSame) return "unchanged";
    if (before !== undefined && (before.kind === "directory" || !overwrite)) return "exists";
    const isDurable = durability === "durable";
    const content = { kind: "file", file: opened } as const;
    const write = { keyId, isDurable, onProgress, signal, onUse };
    const put = { overwrite, metadata: before?.metadata };
    await session.put(
      content,
      write,
      (change, written) => void catalog.putFile(change, parts, written, put),
      commit,
    );
    return { bytes: size };
  } catch (error) {
    if (isInTheWay(error)) return "exists";
    if (isCofferError(error, "COFFER_SOURCE_CHANGED")) return "changed";
    if (isCofferError(error, "COFFER_IO") && error.details["action"] === "read the source")
      return "unreadable";
    throw error;
  } finally {
    await opened.handle.close().catch(() => undefined);
  }
}

/** Opens a file where it was found: neither it nor a folder on the way may have become a link. */
async function openStill(fs: FileSystem, path: string): Promise<SourceFile | ImportSkipReason> {
  try {
    const handle = await fs.open(path, "read");
    try {
      const folder = dirname(path);
      if ((await fs.realpath(folder)) === folder) return { path, handle, stats: handle.opened };
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw error;
    }
    await handle.close().catch(() => undefined);
    return "changed";
  } catch (error) {
    return reasonOf(error) ?? Promise.reject(ioError(error, "read a file that is to be imported"));
  }
}

function reasonOf(error: unknown): ImportSkipReason | undefined {
  if (error instanceof UnexpectedFileError || hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return "changed";
  return hasErrno(error, "EACCES", "EPERM") ? "denied" : undefined;
}

/** Something of another kind has the name, or has taken it meanwhile. */
function isInTheWay(error: unknown): boolean {
  return (
    isCofferError(error, "COFFER_ALREADY_EXISTS") ||
    (isCofferError(error, "COFFER_INVALID_ARGUMENT") && error.reason === "not-directory")
  );
}
