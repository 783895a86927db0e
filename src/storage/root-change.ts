/**
 * The files of a root change: the database sealed anew beside the old one and the header that names it, then the end
 * of the old one. Source: docs/format.md#root-change [F-140…F-142].
 * @module
 */
import { isCofferError } from "../errors.ts";
import type { HeaderSlot } from "../formats/header.ts";
import type { DatabaseSession, SessionKeys, StorageEvent } from "./database-session.ts";
import type { FileSystem } from "./file-system.ts";
import type { HeaderWriter } from "./header-writer.ts";
import { ioError } from "./io-error.ts";
import { type ConvertRecord, readBack, type Rewrite, rewriteDatabase } from "./rewrite-database.ts";
import type { Store } from "./store.ts";
import { databaseDirectory } from "./vault-directory.ts";

/** The keys of header and database, each of one use. */
export interface DatabaseKeys extends SessionKeys {
  /** Kheader, 64 bytes. */
  readonly header: Uint8Array;
}

/** Opens or creates the engine of `db-N`. */
export type OpenDatabase = (database: number, options: { readonly create: boolean }) => Promise<Store>;

/** What is given for a change of the root key. */
export interface RootChange {
  /** Those of the new root key. Copied. */
  readonly keys: DatabaseKeys;
  /** All of the new header's slots, made for the new root key. */
  readonly slots: readonly HeaderSlot[];
  readonly convert: ConvertRecord;
  /** Gives up as long as the old root key counts. */
  readonly signal: AbortSignal;
  /** Called at the moment when the new root key counts, before any read or change. Does not throw. */
  readonly adopt: () => void;
}

interface Ground {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly openDatabase: OpenDatabase;
  readonly report: (event: StorageEvent) => void;
}

/** The database to be made: its number, its keys, its slots. */
export interface NewDatabase extends Rewrite {
  readonly database: number;
  readonly keys: DatabaseKeys;
  readonly slots: readonly HeaderSlot[];
}

/**
 * Makes the new database, reads it back and commits the header that names it.
 * @throws CofferError or the signal's reason; then the old header counts, and what was made is gone, or swept later.
 */
export async function makeNewDatabase(
  { fs, directory, openDatabase, report }: Ground,
  headers: HeaderWriter,
  made: NewDatabase,
): Promise<{ readonly engine: Store; readonly session: DatabaseSession }> {
  const { database, slots, sequence, signal } = made;
  const { header: headerKey } = made.keys;
  const path = databaseDirectory(directory, database);
  let engine: Store | undefined;
  let session: DatabaseSession | undefined;
  try {
    await fs.removeTree(path);
    engine = await openDatabase(database, { create: true });
    const count = await rewriteDatabase(engine, made);
    // What is read back comes from the files.
    await engine.close();
    engine = await openDatabase(database, { create: false });
    const next = await headers.prepare({ sequence, slots, database, headerKey });
    session = await readBack(engine, made, count, next, report);
    await fs.syncDirectory(path);
    await fs.syncDirectory(directory);
    signal.throwIfAborted();
    await headers.commit(next, headerKey);
    return { engine, session };
  } catch (error) {
    session?.end();
    await headers.discard();
    await engine?.close().catch(() => undefined);
    await fs.removeTree(path).catch(() => undefined);
    if (signal.aborted || isCofferError(error)) throw error;
    throw ioError(error, "write the vault's new database", path);
  }
}

/**
 * Makes the new header durable and named by the database, then removes what only the old root key opens.
 * @returns whether it is gone; where it is not, a warning says so. Never rejects.
 */
export async function dropOldDatabase(
  { fs, directory, report }: Ground,
  database: number,
  engine: Store | undefined,
  nameHeader: () => Promise<void>,
): Promise<boolean> {
  try {
    await nameHeader();
    await engine?.close();
    await fs.removeTree(databaseDirectory(directory, database));
    await fs.syncDirectory(directory);
    return true;
  } catch (error) {
    await engine?.close().catch(() => undefined);
    const why = error instanceof Error ? error.message : String(error);
    report({
      type: "warning",
      message: `The new root key counts, but not all of the old files could be removed (${why}). Close the vault and open it again: what is left goes then.`,
    });
    return false;
  }
}
