/**
 * Where a database is opened: in its place, with a way back, or on a copy, for reading only.
 * @module
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hex } from "../bytes.ts";
import { randomId } from "../crypto/random.ts";
import { DamagedError, IoError } from "../errors.ts";
import { DIRECTORY_MODE, type FileSystem, hasErrno } from "./file-system.ts";
import { ioError } from "./io-error.ts";

export interface DatabaseGround {
  /** Makes ready to open. @returns the path to open. */
  prepare(): Promise<string>;
  /** After an open that failed; the engine is closed. */
  abandon(): Promise<void>;
  /** Before each commit. Rejects where nothing can be written. */
  beforeCommit(): Promise<void>;
  /** After an orderly close of the engine. */
  end(): Promise<void>;
}

/** What changes of a vault are refused with that is open for reading only. */
export function openForReadingOnly(): IoError {
  return new IoError("The vault is open for reading only. Open it where it can be written, and try again.", {
    details: { reason: "read-only" },
  });
}

/**
 * A copy in the system's folder for temporary files, for a medium that cannot be written: LevelDB
 * must write to open. It holds ciphertext only, and is removed at the end.
 */
export class CopiedDatabase implements DatabaseGround {
  readonly #fs: FileSystem;
  readonly #database: string;
  readonly #parent: string;
  #copy: string | undefined;

  /** @param database path of `db-N`. */
  constructor(fs: FileSystem, database: string, parent: string = tmpdir()) {
    this.#fs = fs;
    this.#database = database;
    this.#parent = parent;
  }

  async prepare(): Promise<string> {
    await this.end();
    const fs = this.#fs;
    try {
      const parent = await fs.realpath(this.#parent);
      const copy = join(parent, `coffer-${hex(randomId())}`);
      await fs.mkdir(copy, DIRECTORY_MODE);
      this.#copy = copy;
      for (const { name, kind } of await fs.readDirectory(this.#database)) {
        if (kind !== "file" || name === "LOCK") continue;
        await fs.copyFile(join(this.#database, name), join(copy, name));
        // A read-only original gives read-only copies.
        await fs.chmod(join(copy, name), 0o600);
      }
      return copy;
    } catch (error) {
      await this.end().catch(() => undefined);
      if (hasErrno(error, "ENOENT", "ENOTDIR")) {
        throw new DamagedError("The vault's database is missing. Restore a backup.", {
          cause: error,
          details: { part: "database" },
        });
      }
      throw ioError(error, "copy the database for reading", this.#database);
    }
  }

  async abandon(): Promise<void> {
    await this.end();
  }

  async beforeCommit(): Promise<void> {
    throw openForReadingOnly();
  }

  async end(): Promise<void> {
    const copy = this.#copy;
    this.#copy = undefined;
    if (copy !== undefined) await this.#fs.removeTree(copy);
  }
}
