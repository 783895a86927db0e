/**
 * The folders of the file store: `incoming/`, `objects/` and those in it. Nothing is read, written or removed through
 * one that is a link: whoever made the vault could have it lead to another one's files.
 * Source: docs/format.md#store-objects [F-236].
 * @module
 */
import { dirname, join, relative } from "node:path";
import { hex } from "../bytes.ts";
import { IoError } from "../errors.ts";
import { DIRECTORY_MODE, type FileStats, type FileSystem, hasErrno } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";

export class StoreFolders {
  readonly incoming: string;
  readonly objects: string;
  readonly #fs: FileSystem;
  readonly #directory: string;
  /** Folders that were found to be real ones. */
  readonly #proven = new Set<string>();

  /** @param directory of the vault, canonical. */
  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs;
    this.#directory = directory;
    this.incoming = join(directory, "incoming");
    this.objects = join(directory, "objects");
  }

  /** A path as reports name it: within the vault's directory. */
  nameOf(path: string): string {
    return relative(this.#directory, path);
  }

  /** The folder in which an object lies. */
  shardOf(id: Uint8Array): string {
    return join(this.objects, hex(id).slice(0, 2));
  }

  /** Has every folder looked at again before it is used next: before a sweep, and before many files are removed. */
  distrust(): void {
    this.#proven.clear();
  }

  /**
   * Looks at a folder, and at those that it lies in, once.
   * @returns false when it is absent. @throws IoError reason `not-a-folder`.
   */
  async isThere(folder: string): Promise<boolean> {
    if (this.#proven.has(folder)) return true;
    const parent = dirname(folder);
    if (parent !== this.#directory && !(await this.isThere(parent))) return false;
    let stats: FileStats;
    try {
      stats = await this.#fs.lstat(folder);
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return false;
      throw ioError(error, "look at the store's folders");
    }
    if (stats.kind !== "directory") throw this.#notAFolder(folder, stats);
    this.#proven.add(folder);
    return true;
  }

  /** Makes `incoming/` where a copy program has left it out. @throws as {@link StoreFolders.isThere}. */
  async makeIncoming(): Promise<void> {
    await this.#make(this.incoming);
  }

  /** Makes the folder in which an object lies, durably. @throws as {@link StoreFolders.isThere}. */
  async makeShard(id: Uint8Array): Promise<void> {
    await this.#make(this.objects);
    await this.#make(this.shardOf(id));
    await this.#fs.syncDirectory(this.objects);
  }

  /** What lies in a folder; nothing where it is absent. @throws as {@link StoreFolders.isThere}. */
  async entries(folder: string): ReturnType<FileSystem["readDirectory"]> {
    if (!(await this.isThere(folder))) return [];
    try {
      return await this.#fs.readDirectory(folder);
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return [];
      throw ioError(error, "look at the store's folders");
    }
  }

  async #make(folder: string): Promise<void> {
    if (await this.isThere(folder)) return;
    try {
      await this.#fs.mkdir(folder, DIRECTORY_MODE);
    } catch (error) {
      if (!hasErrno(error, "EEXIST")) throw error;
      // Made by another call meanwhile.
      await this.isThere(folder);
      return;
    }
    this.#proven.add(folder);
    // A folder of the vault itself was not there: a copy program has left it out.
    if (dirname(folder) === this.#directory) await this.#fs.syncDirectory(this.#directory);
  }

  #notAFolder(folder: string, { kind }: FileStats): IoError {
    return new IoError(
      `A folder of the file store (${this.nameOf(folder)}) is a link to elsewhere, or no folder. Nothing was read, written or removed through it: find out who put it there, and put the right folder back.`,
      { details: { reason: "not-a-folder", errno: kind === "symlink" ? "ELOOP" : "ENOTDIR" } },
    );
  }
}
