/**
 * A damaged database as a store in memory: of each record the newest version that opens, wherever its files hold it;
 * of a record that opens nowhere, the newest. Nothing is written, and LevelDB, which damaged files can make abort the process, has no part in it.
 * @module
 */
import { join } from "node:path";
import { compare, hex } from "../bytes.ts";
import { DamagedError, IoError } from "../errors.ts";
import type { DatabaseGround } from "./database-ground.ts";
import { type FileSystem, hasErrno } from "./file-system.ts";
import { ioError } from "./io-error.ts";
import { keptFolder } from "./kept-database.ts";
import { type ScannedEntry, scanLog, scanTable } from "./level-file-scan.ts";
import { opens } from "./key-tables.ts";
import { openMemoryStore } from "./memory-store.ts";
import { SealedStore } from "./sealed-store.ts";
import type { Store } from "./store.ts";

/** A file of LevelDB has 2 to 4 MiB; one write of ours is far below that. */
const MAX_FILE_BYTES = 1_073_741_824;

/** The ground of a salvage: nothing is made ready, and nothing can be written. */
export class SalvagedDatabase implements DatabaseGround {
  readonly #database: string;

  /** @param database path of `db-N`. */
  constructor(database: string) {
    this.#database = database;
  }

  async prepare(): Promise<string> {
    return this.#database;
  }

  async abandon(): Promise<void> {}

  async beforeCommit(): Promise<void> {
    throw new IoError("A vault opened for salvage cannot be changed. Take what you need into a new vault.", {
      details: { reason: "read-only" },
    });
  }

  async end(): Promise<void> {}
}

/** What tells a whole record from a damaged one. Lent. */
export interface SalvageKeys {
  /** Kdb, 32 bytes. */
  readonly database: Uint8Array;
  readonly vaultId: Uint8Array;
}

/** A version of a record, and whether it opens. A removal carries no seal: it is believed. */
interface Version extends ScannedEntry {
  readonly isWhole: boolean;
}

/**
 * Reads every log and table in `database` and in what was kept of it before an open. What it returns is untrusted.
 * @throws DamagedError when there is no database. @throws IoError.
 */
export async function openSalvagedStore(fs: FileSystem, database: string, keys: SalvageKeys): Promise<Store> {
  const newest = new Map<string, Version>();
  const folders = await Promise.all([database, keptFolder(database)].map((path) => filesIn(fs, path)));
  if (folders.every((names) => names === undefined)) {
    throw new DamagedError("The vault's database is missing. Restore a backup.", {
      details: { part: "database" },
    });
  }
  const store = openMemoryStore();
  const sealed = new SealedStore(store, keys.database, keys.vaultId);
  try {
    for (const path of folders.flatMap((paths) => paths ?? [])) {
      const bytes = await readWhole(fs, path);
      for (const entry of path.endsWith(".log") ? scanLog(bytes) : scanTable(bytes)) {
        const name = hex(entry.key);
        const version = {
          ...entry,
          isWhole: entry.value === undefined || opens(sealed, entry.key, entry.value),
        };
        if (isBetter(version, newest.get(name))) newest.set(name, version);
      }
    }
  } finally {
    sealed.forget();
  }
  await store.write(
    [...newest.values()]
      .toSorted((a, b) => compare(a.key, b.key))
      .flatMap(({ key, value }) => (value === undefined ? [] : [{ type: "put" as const, key, value }])),
  );
  return store;
}

/** One flipped bit in the newest version must not cost the whole one before it. */
function isBetter(version: Version, known: Version | undefined): boolean {
  if (known === undefined || version.isWhole !== known.isWhole) return known === undefined || version.isWhole;
  return version.sequence >= known.sequence;
}

/** Paths of the logs and tables in a folder; undefined when there is none. */
async function filesIn(fs: FileSystem, folder: string): Promise<string[] | undefined> {
  try {
    const entries = await fs.readDirectory(folder);
    return entries
      .filter(({ name, kind }) => kind === "file" && /^\d+\.(?:log|ldb|sst)$/u.test(name))
      .map(({ name }) => join(folder, name));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw ioError(error, "look at the database", folder);
  }
}

async function readWhole(fs: FileSystem, path: string): Promise<Uint8Array> {
  try {
    return await fs.readFile(path, { maxBytes: MAX_FILE_BYTES });
  } catch (error) {
    // A sector that cannot be read costs its file, not the vault.
    if (hasErrno(error, "EIO")) return new Uint8Array(0);
    throw ioError(error, "read the database", path);
  }
}
