/**
 * The store port on LevelDB (package `level`): synced batches, no compression, nothing created by accident.
 *
 * LevelDB reads without checking its checksums and may open a damaged directory as an empty one: what comes out of
 * this file is untrusted, and the sealed store above judges it. It creates its files with 0666 minus the umask, at
 * moments of its own, so the guard is the directory: 0700 from its first moment. Files are set to 0600 as well:
 * after open, after every {@link SWEEP_BYTES} written, after compaction and on close. A umask would do it at once,
 * but belongs to the whole process and cannot be set in a worker.
 * @module
 */
import { join } from "node:path";
import { copy } from "../bytes.ts";
import { DIRECTORY_MODE, FILE_MODE, type FileSystem, hasErrno, nodeFileSystem } from "./file-system.ts";
import { ioError } from "./io-error.ts";
import {
  damagedError,
  databaseInUseError,
  existsError,
  openError,
  readError,
  systemError,
} from "./level-errors.ts";
import {
  assertBatch,
  type Store,
  StoreClosedError,
  type StoreEntry,
  StoreFailedError,
  type StoreOperation,
  type StoreRange,
  type StoreSnapshot,
} from "./store.ts";
import { inspectTables } from "./table-checksums.ts";

/** LevelDB starts a new log about every 4 MiB, and writes a table then. */
const SWEEP_BYTES = 1_048_576;

const ENTRIES_PER_READ = 256;

const OPEN_DATABASES: unique symbol = Symbol.for("coffer.open-databases");

export interface LevelStoreOptions {
  /** True makes the directory, which must be absent or empty; false opens an existing database. */
  readonly create: boolean;
  /** Not offered: LevelDB rewrites its directory merely by opening it. Open a copy. */
  readonly readOnly?: never;
  /** For modes and checks; LevelDB itself reads and writes past it. @defaultValue the node file system */
  readonly fileSystem?: FileSystem;
}

// What we use of `level`, whose own type is the part that it shares with browsers.
interface LevelDatabase {
  open(options: { createIfMissing: boolean; errorIfExists: boolean; compression: boolean }): Promise<void>;
  close(): Promise<void>;
  getSync(key: Uint8Array, options?: { snapshot?: LevelSnapshot }): Uint8Array | undefined;
  batch(operations: readonly LevelOperation[], options: { sync: boolean }): Promise<void>;
  iterator(options: StoreRange & { snapshot?: LevelSnapshot }): LevelIterator;
  snapshot(): LevelSnapshot;
  compactRange(start: Uint8Array, end: Uint8Array): Promise<void>;
}
interface LevelIterator {
  nextv(size: number): Promise<[Uint8Array, Uint8Array][]>;
  close(): Promise<void>;
}
interface LevelSnapshot {
  close(): Promise<void>;
}
type LevelOperation = { type: "put"; key: Uint8Array; value: Uint8Array } | { type: "del"; key: Uint8Array };

/**
 * Opens or creates a database. `directory` must be canonical: LevelDB's own lock within one process goes by the
 * text of the path.
 * @throws CofferError `COFFER_VAULT_IN_USE` when somebody has it open, `COFFER_DAMAGED` when it is absent or
 *   LevelDB refuses it, `COFFER_VAULT_EXISTS` when it should be created and exists, `COFFER_IO`.
 */
export async function openLevelStore(directory: string, options: LevelStoreOptions): Promise<Store> {
  const fs = options.fileSystem ?? nodeFileSystem;
  let rottenBlocks = 0;
  if (options.create) await makeDirectory(fs, directory);
  else rottenBlocks = await inspectDatabase(fs, directory);
  const identity = await identityOf(fs, directory);
  if (openDatabases().has(identity)) throw databaseInUseError();
  openDatabases().add(identity);
  let store: LevelStore | undefined;
  try {
    store = new LevelStore(await openDatabase(directory, options.create), fs, directory, {
      identity,
      rottenBlocks,
    });
    await store.restrictModes();
    // LevelDB renames its new CURRENT into place and leaves that to chance; batches are to be durable from here on.
    await fs.syncDirectory(directory);
    return store;
  } catch (error) {
    await store?.close().catch(() => undefined);
    openDatabases().delete(identity);
    throw ioError(error, "open the database");
  }
}

async function openDatabase(directory: string, create: boolean): Promise<LevelDatabase> {
  const { Level } = await import("level");
  const encodings = { keyEncoding: "view", valueEncoding: "view" };
  const database = new Level<Uint8Array, Uint8Array>(directory, encodings) as unknown as LevelDatabase;
  try {
    await database.open({ createIfMissing: create, errorIfExists: create, compression: false });
    return database;
  } catch (error) {
    await database.close().catch(() => undefined);
    throw openError(error);
  }
}

/**
 * Databases that this process has open, by device and inode. A second open must not even reach LevelDB: it opens the
 * file LOCK, sees that the path is taken, and closes it, and with that POSIX drops the lock of the first. The set is
 * shared by all copies of this package in a thread; between threads the vault lock stands guard.
 */
function openDatabases(): Set<string> {
  const realm = globalThis as { [OPEN_DATABASES]?: Set<string> };
  realm[OPEN_DATABASES] ??= new Set();
  return realm[OPEN_DATABASES];
}

async function identityOf(fs: FileSystem, directory: string): Promise<string> {
  const { device, inode } = await fs.lstat(directory);
  return `${device}:${inode}`;
}

class LevelStore implements Store {
  readonly rottenBlocks: number;
  readonly #database: LevelDatabase;
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #identity: string;
  #failure: StoreFailedError | undefined;
  #closing: Promise<void> | undefined;
  // Writes share this with each other; a compaction waits for them and holds up those that come later.
  #compacting: Promise<void> | undefined;
  readonly #writing = new Set<Promise<void>>();
  #bytesSinceSweep = 0;

  constructor(
    database: LevelDatabase,
    fs: FileSystem,
    directory: string,
    known: { readonly identity: string; readonly rottenBlocks: number },
  ) {
    this.#database = database;
    this.#identity = known.identity;
    this.rottenBlocks = known.rottenBlocks;
    this.#fs = fs;
    this.#directory = directory;
  }

  get(key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    return this.#get(key);
  }

  entries(range: StoreRange = {}): AsyncIterable<StoreEntry> {
    return this.#entries(range);
  }

  async write(batch: readonly StoreOperation[]): Promise<void> {
    this.#assertOpen();
    assertBatch(batch);
    if (batch.length === 0) return;
    let operations: LevelOperation[];
    if (this.#compacting === undefined) {
      operations = levelOperations(batch); // LevelDB copies them before batch() returns
    } else {
      operations = levelOperations(batch, copy);
      while (this.#compacting !== undefined) await this.#compacting;
      this.#assertOpen();
    }
    const writing = this.#apply(operations);
    this.#writing.add(writing);
    try {
      await writing;
    } finally {
      this.#writing.delete(writing);
    }
    await this.#sweepWhenDue(batch);
  }

  async compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    this.#assertOpen();
    while (this.#compacting !== undefined) await this.#compacting;
    this.#assertOpen();
    const compaction = this.#compact(copy(start), copy(end));
    this.#compacting = compaction.then(
      () => undefined,
      () => undefined,
    );
    try {
      await compaction;
    } finally {
      this.#compacting = undefined;
    }
  }

  snapshot(): StoreSnapshot {
    this.#assertOpen();
    const snapshot = this.#database.snapshot();
    return {
      get: (key) => this.#get(key, snapshot),
      entries: (range = {}) => this.#entries(range, snapshot),
      dispose: () => snapshot.close(),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /**
   * Sets the directory to 0700 and its files to 0600, where they are not. Fails silently: on a file system without
   * modes, for files of another owner. Whoever opens a vault looks at modes and owners with access.ts.
   */
  async restrictModes(): Promise<void> {
    const fs = this.#fs;
    if (fs.platform === "win32") return;
    this.#bytesSinceSweep = 0;
    try {
      await restrict(fs, this.#directory, DIRECTORY_MODE);
      for (const { name, kind } of await fs.readDirectory(this.#directory)) {
        // LevelDB removes files while we look.
        if (kind === "file")
          await restrict(fs, join(this.#directory, name), FILE_MODE).catch(() => undefined);
      }
    } catch {
      // Nothing depends on it: see above.
    }
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new StoreClosedError();
  }

  #assertSound(): void {
    if (this.#failure === undefined) return;
    const { message, details } = this.#failure;
    throw new StoreFailedError(message, { cause: this.#failure, details });
  }

  #get(key: Uint8Array, snapshot?: LevelSnapshot): Uint8Array<ArrayBuffer> | undefined {
    this.#assertOpen();
    try {
      const value = this.#database.getSync(key, snapshot === undefined ? {} : { snapshot });
      return value === undefined ? undefined : plain(value);
    } catch (error) {
      throw readError(error);
    }
  }

  #entries(range: StoreRange, snapshot?: LevelSnapshot): AsyncIterable<StoreEntry> {
    return {
      [Symbol.asyncIterator]: (): AsyncIterator<StoreEntry> => {
        this.#assertOpen();
        const options = snapshot === undefined ? { ...range } : { ...range, snapshot };
        return iterate(this.#database.iterator(options));
      },
    };
  }

  async #apply(operations: readonly LevelOperation[]): Promise<void> {
    this.#assertSound();
    try {
      await this.#database.batch(operations, { sync: true });
      // LevelDB flushes a log that it has just begun, but not its name. Where nothing is new this costs next to nothing.
      await this.#fs.syncDirectory(this.#directory);
    } catch (error) {
      throw this.#fail(error, "write to the database");
    }
  }

  #fail(error: unknown, action: string): StoreFailedError {
    const { message, details } = ioError(systemError(error), action);
    this.#failure ??= new StoreFailedError(message, { cause: error, details });
    return this.#failure;
  }

  async #sweepWhenDue(batch: readonly StoreOperation[]): Promise<void> {
    for (const operation of batch) {
      this.#bytesSinceSweep += operation.key.length + (operation.type === "put" ? operation.value.length : 0);
    }
    if (this.#bytesSinceSweep < SWEEP_BYTES) return;
    await this.restrictModes();
  }

  async #compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    await Promise.allSettled(this.#writing);
    this.#assertSound();
    try {
      await this.#database.compactRange(start, end);
      // LevelDB flushes its memory as it stands, dead values and all, to a level that it then takes for the last
      // one and does not rewrite. A newer table that spans the range makes the next pass merge the two.
      await this.#database.batch([this.#again(start), this.#again(end)], { sync: true });
      await this.#database.compactRange(start, end);
    } catch (error) {
      throw this.#fail(error, "compact the database");
    }
    await this.restrictModes();
  }

  // What the key holds, once more. Writes wait meanwhile, so this cannot bring an older value back.
  #again(key: Uint8Array): LevelOperation {
    const value = this.#database.getSync(key);
    return value === undefined ? { type: "del", key } : { type: "put", key, value };
  }

  async #close(): Promise<void> {
    if (this.#compacting !== undefined) await this.#compacting;
    await Promise.allSettled(this.#writing);
    await this.restrictModes();
    try {
      await this.#database.close();
      openDatabases().delete(this.#identity);
    } catch (error) {
      throw ioError(systemError(error), "close the database");
    }
  }
}

async function restrict(fs: FileSystem, path: string, mode: number): Promise<void> {
  if ((await fs.lstat(path)).mode !== mode) await fs.chmod(path, mode);
}

async function* iterate(iterator: LevelIterator): AsyncGenerator<StoreEntry, void, undefined> {
  try {
    for (;;) {
      const entries = await iterator.nextv(ENTRIES_PER_READ);
      if (entries.length === 0) return;
      for (const [key, value] of entries) yield [plain(key), plain(value)];
    }
  } catch (error) {
    throw readError(error);
  } finally {
    await iterator.close();
  }
}

function levelOperations(
  batch: readonly StoreOperation[],
  take: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
): LevelOperation[] {
  return batch.map((operation) =>
    operation.type === "put"
      ? { type: "put", key: take(operation.key), value: take(operation.value) }
      : { type: "del", key: take(operation.key) },
  );
}

// LevelDB hands out Buffers, each on memory of its own.
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  const ownsMemory = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length;
  return ownsMemory ? new Uint8Array(buffer) : copy(bytes);
}

async function makeDirectory(fs: FileSystem, directory: string): Promise<void> {
  try {
    await fs.mkdir(directory, DIRECTORY_MODE);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw ioError(error, "make the database's folder", directory);
    const { kind } = await fs.lstat(directory);
    if (kind !== "directory") throw ioError({ code: "ENOTDIR" }, "make the database's folder", directory);
    if ((await fs.readDirectory(directory)).length > 0) throw existsError(error);
    await fs.chmod(directory, DIRECTORY_MODE);
  }
}

/**
 * LevelDB makes a directory, a lock and a log even where it then refuses to open, and writes through links.
 * @returns how many blocks are not what LevelDB wrote.
 */
async function inspectDatabase(fs: FileSystem, directory: string): Promise<number> {
  try {
    if ((await fs.lstat(directory)).kind !== "directory") throw damagedError("its folder is not a folder");
    const entries = await fs.readDirectory(directory);
    if (!entries.some(({ name }) => name === "CURRENT")) throw damagedError("its file CURRENT is missing");
    // `lost` is where LevelDB's own repair puts things.
    const strange = entries.find(
      ({ name, kind }) => kind !== "file" && !(kind === "directory" && name === "lost"),
    );
    if (strange !== undefined) throw damagedError("its folder holds something that is not a regular file");
    const { fatal, rottenBlocks } = await inspectTables(fs, directory);
    if (fatal !== undefined) throw damagedError("one of its tables cannot be read");
    return rottenBlocks;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) throw damagedError("its folder is missing", error);
    throw ioError(error, "look at the database", directory);
  }
}
