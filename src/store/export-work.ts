/**
 * The writing of an export. Nothing is written outside its folder, through a link, or over another file of the same
 * export; no file appears before all of it is verified.
 * @module
 */
import { dirname, join } from "node:path";
import { decryptBody } from "../envelope/decrypt-file.ts";
import { DestinationFile } from "../envelope/destination-file.ts";
import { StaleTemporaries } from "../envelope/temporary-names.ts";
import type { Progress } from "../envelope/progress.ts";
import { IoError, isCofferError } from "../errors.ts";
import type { EntryRecord } from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { syncFolder } from "../storage/atomic-file.ts";
import { DIRECTORY_MODE, type FileStats, type FileSystem, hasErrno } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { exportName } from "./export-names.ts";
import type { ExportedTree, StoreExportOptions, ExportSkipReason } from "./export-options.ts";
import { asDamage, missingRecord, openInline, openObject, type StoredFile } from "./read-content.ts";
import { salvageStream } from "./salvage-stream.ts";
import type { DamagedRange } from "./store-options.ts";
import type { StoreSession } from "./store-session.ts";

/** FAT keeps even seconds alone. */
const COARSEST_TIME_MS = 2000;

/** What the keys of a vault answer that do not serve. */
const KEY_CODES: ReadonlySet<string> = new Set([
  "COFFER_KEY_DISABLED",
  "COFFER_INVALID_KEY_STATE",
  "COFFER_NOT_FOUND",
]);

/** What failed of an object, rather than of the destination. */
const READ_ACTIONS: ReadonlySet<unknown> = new Set(["read the source", "read a file of the store"]);

export interface Exporting {
  readonly signal: AbortSignal;
  /** Opens what can be read of a content. */
  readonly openDamaged: (entry: EntryRecord) => Promise<StoredFile>;
}

/** A file that is to be written, and the folder that it goes into. */
export interface ExportFile {
  readonly parts: readonly string[];
  readonly folder: string;
  readonly size: number;
}

export class ExportWork {
  readonly #session: StoreSession;
  readonly #fs: FileSystem;
  readonly #options: StoreExportOptions;
  readonly #exporting: Exporting;
  readonly #platform: NodeJS.Platform;
  /** What killed exports have left. */
  readonly #stale: StaleTemporaries;
  /** By path in the store, from where the export began. */
  readonly #folders = new Map<string, string>();
  /** Files and directories of this export, by device and inode. */
  readonly #written = new Set<string>();
  /** By path, without regard to case, the last file that is or was written there. */
  readonly #writing = new Map<string, Promise<void>>();
  readonly #unsynced = new Set<string>();
  readonly #renamed: { path: string; name: string }[] = [];
  readonly #counts = { files: 0, directories: 0, bytes: 0, unchanged: 0, skipped: 0, damaged: 0 };

  constructor(session: StoreSession, root: string, options: StoreExportOptions, exporting: Exporting) {
    this.#session = session;
    this.#fs = session.host.fs;
    this.#stale = new StaleTemporaries(this.#fs);
    this.#options = options;
    this.#exporting = exporting;
    this.#platform = options.portableNames === true ? "win32" : this.#fs.platform;
    this.#folders.set("", root);
  }

  get result(): ExportedTree {
    return { ...this.#counts, renamed: this.#renamed };
  }

  /** The folder of a directory that was made; undefined where that was not possible. */
  folderOf(parts: readonly string[]): string | undefined {
    return this.#folders.get(parts.join("/"));
  }

  skip(parts: readonly string[], reason: ExportSkipReason): void {
    this.#counts.skipped += 1;
    if (reason === "damaged") this.#counts.damaged += 1;
    this.#options.onSkip?.({ path: parts.join("/"), reason });
  }

  /** Counts what is in a directory that was told already. */
  skipBelow(): void {
    this.#counts.skipped += 1;
  }

  /** @param parts in the store. @param place the same from where the export began. @throws IoError. */
  async makeDirectory(parts: readonly string[], folder: string, place: readonly string[]): Promise<void> {
    const name = this.#nameOf(parts);
    if (name === undefined) return this.skip(parts, "name");
    const path = join(folder, name);
    await this.#assertPlace(folder);
    try {
      await this.#fs.mkdir(path, DIRECTORY_MODE);
      this.#unsynced.add(folder);
    } catch (error) {
      if (isNoName(error)) return this.skip(parts, "name");
      if (!hasErrno(error, "EEXIST")) throw ioError(error, "make a folder of the export");
    }
    const there = await this.#lookAt(path);
    if (there?.kind !== "directory") return this.skip(parts, "in-the-way");
    // Where case does not count, the folder that was there keeps its own.
    const real = await this.#realPath(path);
    if (dirname(real) !== folder || real === this.#session.host.directory)
      return this.skip(parts, "in-the-way");
    if (this.#written.has(identityOf(there))) return this.skip(parts, "collision");
    this.#written.add(identityOf(there));
    this.#folders.set(place.join("/"), real);
    this.#counts.directories += 1;
  }

  /** Makes the names of the folders durable. @throws IoError. */
  async syncFolders(): Promise<void> {
    for (const folder of this.#unsynced) await syncFolder(this.#fs, folder);
  }

  /** @throws IoError, and what the listeners throw. */
  async writeFile(file: ExportFile, progress: Progress): Promise<void> {
    const name = this.#nameOf(file.parts);
    if (name === undefined) return this.skip(file.parts, "name");
    const path = join(file.folder, name);
    // Two that may be one on this drive are written one after the other, so that the second meets the first.
    const folded = path.normalize("NFC").toUpperCase().toLowerCase();
    const writing = (this.#writing.get(folded) ?? Promise.resolve()).then(() =>
      this.#writeFile(file, path, progress),
    );
    this.#writing.set(
      folded,
      writing.catch(() => undefined),
    );
    await writing;
  }

  async #writeFile({ parts, folder }: ExportFile, path: string, progress: Progress): Promise<void> {
    const { catalog, database } = this.#session;
    const record = catalog.find(database, parts);
    if (record?.kind !== "file") return this.skip(parts, "changed");
    try {
      const there = await this.#lookAt(path);
      if (there !== undefined) {
        if (this.#written.has(identityOf(there))) return this.skip(parts, "collision");
        if (there.kind !== "file") return this.skip(parts, "in-the-way");
        if (this.#options.resume === true && isSame(there, record)) {
          this.#counts.unchanged += 1;
          progress.add(record.size);
          return;
        }
        if (this.#options.overwrite !== true) return this.skip(parts, "exists");
      }
      await this.#write(parts, record, { path, folder }, progress);
      this.#counts.files += 1;
      this.#counts.bytes += record.size;
    } catch (error) {
      this.#exporting.signal.throwIfAborted();
      const reason = reasonOf(error);
      if (reason === undefined) throw error;
      this.skip(parts, reason);
    }
  }

  async #write(
    parts: readonly string[],
    record: EntryRecord,
    { path, folder }: { readonly path: string; readonly folder: string },
    progress: Progress,
  ): Promise<void> {
    await this.#assertPlace(folder);
    await this.#stale.remove(path);
    const destination = await DestinationFile.create(this.#fs, path, this.#options.overwrite ?? false);
    try {
      // Before anything readable is in it: a link may have taken the folder's place since.
      await this.#assertPlace(folder);
      await this.#writeContent(parts, record, destination, progress);
      await setModified(destination, record.modified);
      await this.#assertPlace(folder);
      await destination.publish();
      this.#written.add(identityOf(destination.handle.opened));
    } catch (error) {
      await destination.discard();
      throw error;
    }
  }

  async #writeContent(
    parts: readonly string[],
    record: EntryRecord,
    destination: DestinationFile,
    progress: Progress,
  ): Promise<void> {
    const { host } = this.#session;
    if (this.#options.onDamage !== undefined) await this.#writeAround(parts, record, destination, progress);
    else if (record.blob !== undefined || record.size === 0) {
      const plaintext = await openInline(host, record);
      try {
        await destination.write(plaintext, 0);
      } finally {
        wipe(plaintext);
      }
      progress.add(record.size);
    } else await this.#writeObject(record, destination, progress);
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
    parts: readonly string[],
    record: EntryRecord,
    destination: DestinationFile,
    progress: Progress,
  ): Promise<void> {
    const path = parts.join("/");
    const file = await this.#exporting.openDamaged(record);
    let isDamaged = false;
    try {
      let at = 0;
      const onDamage = (range: DamagedRange): void => {
        isDamaged = true;
        this.#options.onDamage?.({ ...range, path });
      };
      for await (const piece of salvageStream(file, {}, onDamage)) {
        await destination.write(piece, at);
        at += piece.length;
        progress.add(piece.length);
      }
    } finally {
      await file.close();
    }
    if (isDamaged) this.#counts.damaged += 1;
  }

  /** @throws IoError reason `swapped`. */
  async #assertPlace(folder: string): Promise<void> {
    if ((await this.#realPath(folder)) === folder) return;
    throw new IoError(
      "A folder of the export was exchanged while it was written to. Find out by whom, and export to another place.",
      { details: { reason: "swapped" } },
    );
  }

  async #realPath(path: string): Promise<string> {
    try {
      return await this.#fs.realpath(path);
    } catch (error) {
      throw ioError(error, "look at the place of an export");
    }
  }

  #nameOf(parts: readonly string[]): string | undefined {
    const part = parts.at(-1) as string;
    const name = exportName(part, this.#platform);
    if (name !== undefined && name !== part) this.#renamed.push({ path: parts.join("/"), name });
    return name;
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

/** Returns why one file alone is left out; undefined for what ends the export. */
function reasonOf(error: unknown): ExportSkipReason | undefined {
  if (!isCofferError(error)) return undefined;
  if (error.code === "COFFER_ALREADY_EXISTS") return "exists";
  if (error.code === "COFFER_DAMAGED") return "damaged";
  if (KEY_CODES.has(error.code)) return "key";
  if (READ_ACTIONS.has(error.details["action"])) return "unreadable";
  return isNoName(error.cause) ? "name" : undefined;
}

/** What systems answer to a name that they cannot have. */
function isNoName(error: unknown): boolean {
  return hasErrno(error, "ENAMETOOLONG", "EILSEQ");
}

async function setModified({ handle, path }: DestinationFile, modifiedAtMs: number): Promise<void> {
  try {
    await handle.setModified(modifiedAtMs);
  } catch (error) {
    throw ioError(error, "write the destination", path);
  }
}

function isSame(there: FileStats, { size, modified }: EntryRecord): boolean {
  if (there.size !== size) return false;
  const thereMs = Math.trunc(there.modifiedAtMs);
  const isCoarse = thereMs % COARSEST_TIME_MS === 0;
  return thereMs === modified || (isCoarse && Math.abs(thereMs - modified) < COARSEST_TIME_MS);
}

function identityOf({ device, inode }: FileStats): string {
  return `${device}:${inode}`;
}
