/**
 * The database's files as they were before an open. LevelDB rewrites its directory merely by opening it, so they
 * get second names in `db-N.keep` first; a failed check puts them back, and the first commit drops them.
 * The folder is made and dropped under another name: under its own it is always whole. It says under which header it
 * was made: nothing is committed while it is there, so that one of another header has come back from elsewhere, by a copy
 * program for instance, and is not put back over newer files.
 * Source: docs/format.md#open [F-129].
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { equal, utf8 } from "../bytes.ts";
import { unlinkIfPresent, writeTemporary } from "./atomic-file.ts";
import {
  type DirectoryEntry,
  DIRECTORY_MODE,
  type FileSystem,
  hasErrno,
  UnexpectedFileError,
} from "./file-system.ts";
import { ioError } from "./io-error.ts";
import type { DatabaseGround } from "./database-ground.ts";

const KEPT = ".keep";
const MAKING = ".keep-new";
const DROPPING = ".keep-old";
const FAILED = ".failed";
const STALE = ".keep-stale";
/** In the folder: SHA-256 of the header, in hexadecimal digits. */
const HEADER_NAME = "HEADER";
const MAX_MARK_BYTES = 256;
/** Where LevelDB's own repair puts things. */
const REPAIR_FOLDER = "lost";
/** Never opened: closing it would drop LevelDB's lock on it. */
const LEVEL_LOCK = "LOCK";

/** True for the names that this file gives to folders beside a database. */
export function isKeptName(name: string): boolean {
  return /^db-\d+(?:\.keep|\.keep-new|\.keep-old|\.keep-stale|\.failed)$/u.test(name);
}

/** Path of the folder in which the files of `db-N` are kept. */
export function keptFolder(database: string): string {
  return database + KEPT;
}

/** True for kept files that the next open puts back: they were kept under this header. Errors are those of the calls. */
export async function isKeptFor(fs: FileSystem, database: string, headerBytes: Uint8Array): Promise<boolean> {
  try {
    const mark = await fs.readFile(join(keptFolder(database), HEADER_NAME), { maxBytes: MAX_MARK_BYTES });
    return equal(mark, markOf(headerBytes));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR") || error instanceof UnexpectedFileError) return false;
    throw error;
  }
}

function markOf(headerBytes: Uint8Array): Uint8Array {
  return utf8(createHash("sha256").update(headerBytes).digest("hex"));
}

export class KeptDatabase implements DatabaseGround {
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #database: string;
  readonly #headerBytes: Uint8Array;
  #isKept = false;

  /** @param database path of `db-N`. @param directory the vault's. @param headerBytes of the header that counts. */
  constructor(fs: FileSystem, directory: string, database: string, headerBytes: Uint8Array) {
    this.#fs = fs;
    this.#directory = directory;
    this.#database = database;
    this.#headerBytes = headerBytes;
  }

  /**
   * Puts back what an earlier open left, then keeps the files as they are now. A file system without hard links
   * gets copies. @returns the path to open. @throws IoError; then nothing has changed.
   */
  async prepare(): Promise<string> {
    try {
      await this.#judgeFound();
      await this.#removeUnfinished();
      await this.#make();
      return this.#database;
    } catch (error) {
      throw ioError(error, "keep the database as it is before opening it", this.#database);
    }
  }

  /** Puts the kept files back, every byte, after an open that failed. The engine is closed. */
  async abandon(): Promise<void> {
    if (this.#isKept) {
      this.#isKept = false;
      await this.#putBack();
    }
    await this.#bringStaleBack();
  }

  /** Forgets the kept files: what LevelDB has made of them counts from now on. Does nothing the second time. */
  async beforeCommit(): Promise<void> {
    if (!this.#isKept) return;
    const fs = this.#fs;
    try {
      await fs.rename(this.#database + KEPT, this.#database + DROPPING).catch(async (error: unknown) => {
        // Renamed already where only the flush failed the last time; one that is there after all would be put back
        // over a commit.
        if (!hasErrno(error, "ENOENT") || (await this.#exists(this.#database + KEPT))) throw error;
      });
      // Were this rename lost, the next open would put the old files back over a commit.
      await fs.syncDirectory(this.#directory);
    } catch (error) {
      // What a failed flush was to make durable is not flushed by the next one: it is renamed anew then.
      await fs.rename(this.#database + DROPPING, this.#database + KEPT).catch(() => undefined);
      throw ioError(error, "drop the kept database", this.#database);
    }
    this.#isKept = false;
    // What is left of them is swept at the next open.
    for (const suffix of [DROPPING, STALE]) {
      await fs.removeTree(this.#database + suffix).catch(() => undefined);
    }
  }

  /** After an orderly close nothing needs putting back. */
  async end(): Promise<void> {
    await this.beforeCommit();
  }

  async #make(): Promise<void> {
    const fs = this.#fs;
    let entries: readonly DirectoryEntry[];
    try {
      entries = await fs.readDirectory(this.#database);
    } catch (error) {
      // No database: opening it says so.
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return;
      throw error;
    }
    // The engine refuses such a folder untouched; what was put there has to stay, too.
    if (
      entries.some(({ kind, name }) => kind !== "file" && (kind !== "directory" || name !== REPAIR_FOLDER))
    ) {
      return;
    }
    const names = entries
      .filter(({ kind, name }) => kind === "file" && name !== HEADER_NAME)
      .map(({ name }) => name);
    await fs.mkdir(this.#database + MAKING, DIRECTORY_MODE);
    await writeTemporary(fs, join(this.#database + MAKING, HEADER_NAME), markOf(this.#headerBytes));
    for (const name of names) {
      // A killed process leaves a batch that can be read and is not durable. LevelDB would write it anew, but these
      // are the files that count until the first commit.
      if (name !== LEVEL_LOCK) await this.#flush(join(this.#database, name));
      await this.#linkOrCopy(join(this.#database, name), join(this.#database + MAKING, name));
    }
    await fs.syncDirectory(this.#database + MAKING);
    await fs.rename(this.#database + MAKING, this.#database + KEPT);
    await fs.syncDirectory(this.#directory);
    this.#isKept = true;
  }

  async #linkOrCopy(from: string, to: string): Promise<void> {
    const fs = this.#fs;
    try {
      await fs.link(from, to);
    } catch (error) {
      if (!hasErrno(error, "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EXDEV")) throw error;
      await fs.copyFile(from, to);
      await this.#flush(to);
    }
  }

  async #flush(path: string): Promise<void> {
    const handle = await this.#fs.open(path, "update");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** What an open that was killed has kept is put back; what came from elsewhere is laid aside, until this open counts. */
  async #judgeFound(): Promise<void> {
    const fs = this.#fs;
    await this.#bringStaleBack();
    if (!(await this.#exists(this.#database + KEPT))) return;
    if (!(await this.#exists(this.#database)) || (await isKeptFor(fs, this.#database, this.#headerBytes))) {
      return this.#putBack();
    }
    await fs.removeTree(this.#database + STALE);
    await fs.rename(this.#database + KEPT, this.#database + STALE);
    await fs.syncDirectory(this.#directory);
  }

  /** Beside files that were kept since, it stays aside. */
  async #bringStaleBack(): Promise<void> {
    if (!(await this.#exists(this.#database + STALE)) || (await this.#exists(this.#database + KEPT))) return;
    await this.#fs.rename(this.#database + STALE, this.#database + KEPT);
    await this.#fs.syncDirectory(this.#directory);
  }

  async #putBack(): Promise<void> {
    const fs = this.#fs;
    if (!(await this.#exists(this.#database + KEPT))) return;
    if (await this.#exists(this.#database)) {
      await fs.removeTree(this.#database + FAILED);
      await fs.rename(this.#database, this.#database + FAILED);
    }
    await fs.rename(this.#database + KEPT, this.#database);
    await fs.syncDirectory(this.#directory);
    // LevelDB passes over it.
    await unlinkIfPresent(fs, join(this.#database, HEADER_NAME)).catch(() => undefined);
    await fs.removeTree(this.#database + FAILED).catch(() => undefined);
  }

  async #removeUnfinished(): Promise<void> {
    // A folder is emptied only after its new name is durable: under the old one it would be taken for whole.
    if (await this.#exists(this.#database + DROPPING)) await this.#fs.syncDirectory(this.#directory);
    for (const suffix of [MAKING, DROPPING, FAILED]) await this.#fs.removeTree(this.#database + suffix);
  }

  async #exists(path: string): Promise<boolean> {
    try {
      return (await this.#fs.lstat(path)).kind === "directory";
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return false;
      throw error;
    }
  }
}
