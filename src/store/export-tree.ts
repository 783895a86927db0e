/**
 * A file or directory of the store into a folder of the disk. Nothing is written outside the folder, through a link,
 * or over another file of the same export; no file appears before all of it is verified.
 * @module
 */
import { join } from "node:path";
import { decryptBody } from "../envelope/decrypt-file.ts";
import { DestinationFile } from "../envelope/destination-file.ts";
import { Progress, type ProgressListener } from "../envelope/progress.ts";
import { IoError, isCofferError } from "../errors.ts";
import type { EntryRecord } from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { syncFolder } from "../storage/atomic-file.ts";
import { DIRECTORY_MODE, type FileStats, type FileSystem, hasErrno } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { concurrently } from "./concurrently.ts";
import { exportName } from "./export-names.ts";
import { type WalkedEntry, walkEntries } from "./listing.ts";
import { asDamage, missingRecord, openInline, openObject, type StoredFile } from "./read-content.ts";
import { salvageStream } from "./salvage-stream.ts";
import type { DamagedRange, StoreCallOptions } from "./store-options.ts";
import type { StoreSession } from "./store-session.ts";

/** Why something of the store was not written. */
export type ExportSkipReason =
  /** Something of this name is there, and is not replaced. */
  | "exists"
  /** Two names of the store are one on this drive, or would be. */
  | "collision"
  /** A link, a special file, or a file where a directory is needed is in the way. */
  | "in-the-way"
  /** This system has no name for it. */
  | "name"
  /** The content was altered or is missing. */
  | "damaged";

export interface ExportOptions extends StoreCallOptions {
  /** Replaces files; never directories, and never what the same export has written. @defaultValue false */
  readonly overwrite?: boolean | undefined;
  /** Passes over files that are there with the same length and time, so that an export is made to the end. */
  readonly resume?: boolean | undefined;
  /** Told bytes that were written or passed over, and of all. */
  readonly onProgress?: ProgressListener | undefined;
  /** Told what is not written: its path in the store, and why. */
  readonly onSkip?:
    ((skipped: { readonly path: string; readonly reason: ExportSkipReason }) => void) | undefined;
  /** Writes damaged files too, with zeros for what does not verify. @defaultValue they are not written, and told */
  readonly onDamage?: ((range: DamagedRange & { readonly path: string }) => void) | undefined;
}

export interface ExportedTree {
  readonly files: number;
  readonly directories: number;
  /** Plaintext bytes of the files. */
  readonly bytes: number;
  /** Files that `resume` has passed over. */
  readonly unchanged: number;
  readonly skipped: number;
  /** Names that this system refuses, and what they became. */
  readonly renamed: readonly { readonly path: string; readonly name: string }[];
}

const AT_ONCE = 8;

export interface Exporting {
  readonly signal: AbortSignal;
  readonly open: (entry: EntryRecord) => Promise<StoredFile>;
}

/** See `FileStore.exportTo`. */
export async function exportTree(
  session: StoreSession,
  source: WalkedEntry | { readonly parts: readonly string[]; readonly directoryId: Uint8Array },
  destination: string,
  options: ExportOptions,
  exporting: Exporting,
): Promise<ExportedTree> {
  const { fs } = session.host;
  const root = await makeRoot(fs, destination);
  const work = new ExportWork(session, root, options, exporting);
  const { signal } = exporting;
  // A directory comes before what it holds: its place is known by then.
  const files: { readonly entry: WalkedEntry; readonly folder: string }[] = [];
  let total = 0;
  const add = async (entry: WalkedEntry, depth: number): Promise<void> => {
    const folder = work.folderOf(entry.parts.slice(depth, -1));
    if (folder === undefined) return work.skipBelow(entry);
    if (entry.record.kind === "directory") return work.makeDirectory(entry, folder, entry.parts.slice(depth));
    files.push({ entry, folder });
    total += entry.record.size;
  };
  if ("record" in source) await add(source, source.parts.length - 1);
  else {
    const walk = walkEntries(session, source.parts, source.directoryId, { isDeep: true, signal });
    for await (const entry of walk) await add(entry, source.parts.length);
  }
  const progress = new Progress(options.onProgress, total);
  await concurrently(files, AT_ONCE, async ({ entry, folder }) => {
    signal.throwIfAborted();
    await work.writeFile(entry, folder, progress);
  });
  await progress.finish();
  return work.result;
}

class ExportWork {
  readonly #session: StoreSession;
  readonly #fs: FileSystem;
  readonly #options: ExportOptions;
  readonly #exporting: Exporting;
  /** By path in the store, from where the export began. */
  readonly #folders = new Map<string, string>();
  /** Files and directories of this export, by device and inode. */
  readonly #written = new Set<string>();
  /** By path, without regard to case, the last file that is or was written there. */
  readonly #writing = new Map<string, Promise<void>>();
  readonly #renamed: { path: string; name: string }[] = [];
  #counts = { files: 0, directories: 0, bytes: 0, unchanged: 0, skipped: 0 };

  constructor(session: StoreSession, root: string, options: ExportOptions, exporting: Exporting) {
    this.#session = session;
    this.#fs = session.host.fs;
    this.#options = options;
    this.#exporting = exporting;
    this.#folders.set("", root);
  }

  get result(): ExportedTree {
    return { ...this.#counts, renamed: this.#renamed };
  }

  /** The folder of a directory that was made; undefined where that was not possible. */
  folderOf(parts: readonly string[]): string | undefined {
    return this.#folders.get(parts.join("/"));
  }

  /** Its directory was told already. */
  skipBelow(_entry: WalkedEntry): void {
    this.#counts.skipped += 1;
  }

  async makeDirectory(entry: WalkedEntry, folder: string, parts: readonly string[]): Promise<void> {
    const name = this.#nameOf(entry);
    if (name === undefined) return this.#skip(entry, "name");
    const path = join(folder, name);
    try {
      await this.#fs.mkdir(path, DIRECTORY_MODE);
      await syncFolder(this.#fs, folder);
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw ioError(error, "make a folder of the export");
    }
    const there = await this.#lookAt(path);
    if (there?.kind !== "directory") return this.#skip(entry, "in-the-way");
    if (this.#written.has(identityOf(there))) return this.#skip(entry, "collision");
    this.#written.add(identityOf(there));
    this.#folders.set(parts.join("/"), path);
    this.#counts.directories += 1;
  }

  async writeFile(entry: WalkedEntry, folder: string, progress: Progress): Promise<void> {
    const name = this.#nameOf(entry);
    if (name === undefined) return this.#skip(entry, "name");
    const path = join(folder, name);
    // Two that may be one on this drive are written one after the other, so that the second meets the first.
    const folded = path.normalize("NFC").toLowerCase();
    const writing = (this.#writing.get(folded) ?? Promise.resolve()).then(() =>
      this.#writeFile(entry, path, folder, progress),
    );
    this.#writing.set(
      folded,
      writing.catch(() => undefined),
    );
    await writing;
  }

  async #writeFile(entry: WalkedEntry, path: string, folder: string, progress: Progress): Promise<void> {
    const { record } = entry;
    try {
      const there = await this.#lookAt(path);
      if (there !== undefined) {
        if (this.#written.has(identityOf(there))) return this.#skip(entry, "collision");
        if (there.kind !== "file") return this.#skip(entry, "in-the-way");
        const isSame = there.size === record.size && Math.trunc(there.modifiedAtMs) === record.modified;
        if (this.#options.resume === true && isSame) {
          this.#counts.unchanged += 1;
          progress.add(record.size);
          return;
        }
        if (this.#options.overwrite !== true) return this.#skip(entry, "exists");
      }
      await this.#assertPlace(folder);
      await this.#write(entry, path, folder, progress);
      const written = await this.#lookAt(path);
      if (written !== undefined) this.#written.add(identityOf(written));
      this.#counts.files += 1;
      this.#counts.bytes += record.size;
    } catch (error) {
      this.#exporting.signal.throwIfAborted();
      if (isCofferError(error, "COFFER_ALREADY_EXISTS")) return this.#skip(entry, "exists");
      if (!isCofferError(error, "COFFER_DAMAGED")) throw error;
      this.#skip(entry, "damaged");
    }
  }

  async #write(entry: WalkedEntry, path: string, folder: string, progress: Progress): Promise<void> {
    const { record } = entry;
    const destination = await DestinationFile.create(this.#fs, path, this.#options.overwrite ?? false);
    try {
      if (this.#options.onDamage !== undefined) await this.#writeAround(entry, destination, progress);
      else if (record.blob !== undefined || record.size === 0) {
        const plaintext = await openInline(this.#session.host, record);
        await destination.write(plaintext, 0);
        wipe(plaintext);
        progress.add(record.size);
      } else await this.#writeObject(record, destination, progress);
      await destination.handle.setModified(record.modified);
      // Nobody may have put a link into the place of the folder meanwhile.
      await this.#assertPlace(folder);
      await destination.publish();
    } catch (error) {
      await destination.discard();
      throw ioError(error, "write a file of the export");
    }
  }

  async #writeObject(record: EntryRecord, destination: DestinationFile, progress: Progress): Promise<void> {
    const { catalog, database, host, objects, use } = this.#session;
    const { signal } = this.#exporting;
    const release = use.read(record.id);
    try {
      const content = catalog.content(database, record.id);
      if (content === undefined || content.length !== record.size) throw missingRecord(record.id);
      const { source, opened } = await openObject(host, objects, content, signal);
      try {
        await decryptBody(host, { source, opened, destination, progress, signal });
        progress.add(opened.lastPlaintext.length);
      } catch (error) {
        throw asDamage(error);
      } finally {
        opened.segments.close();
        wipe(opened.lastPlaintext);
        await source.handle.close().catch(() => undefined);
      }
    } finally {
      release();
    }
  }

  async #writeAround(
    { parts, record }: WalkedEntry,
    destination: DestinationFile,
    progress: Progress,
  ): Promise<void> {
    const path = parts.join("/");
    const file = await this.#exporting.open(record);
    try {
      let at = 0;
      const onDamage = (range: DamagedRange): void => this.#options.onDamage?.({ ...range, path });
      for await (const piece of salvageStream(file, {}, onDamage)) {
        await destination.write(piece, at);
        at += piece.length;
        progress.add(piece.length);
      }
    } finally {
      await file.close();
    }
  }

  async #assertPlace(folder: string): Promise<void> {
    if ((await this.#fs.realpath(folder)) === folder) return;
    throw new IoError(
      "A folder of the export was exchanged while it was written to. Find out by whom, and export to another place.",
      { details: { reason: "swapped" } },
    );
  }

  #nameOf({ parts, record }: WalkedEntry): string | undefined {
    const name = exportName(record.name, this.#fs.platform);
    if (name !== undefined && name !== record.name) this.#renamed.push({ path: parts.join("/"), name });
    return name;
  }

  #skip({ parts }: WalkedEntry, reason: ExportSkipReason): void {
    this.#counts.skipped += 1;
    this.#options.onSkip?.({ path: parts.join("/"), reason });
  }

  async #lookAt(path: string): Promise<FileStats | undefined> {
    try {
      return await this.#fs.lstat(path);
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      throw ioError(error, "look at the place of an export");
    }
  }
}

/** The folder itself may be reached through links: who asked for it knows where it leads. */
async function makeRoot(fs: FileSystem, destination: string): Promise<string> {
  try {
    await fs.mkdir(destination, DIRECTORY_MODE).catch((error: unknown) => {
      if (!hasErrno(error, "EEXIST")) throw error;
    });
    return await fs.realpath(destination);
  } catch (error) {
    throw ioError(error, "make the folder of the export", destination);
  }
}

function identityOf({ device, inode }: FileStats): string {
  return `${device}:${inode}`;
}
