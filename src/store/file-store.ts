/**
 * `vault.store`: an encrypted tree of files in the vault.
 * @module
 */
import { setMaxListeners } from "node:events";
import type { ReadableStream } from "node:stream/web";
import { assertPath } from "../envelope/file-options.ts";
import { InvalidArgumentError } from "../errors.ts";
import { type EntryRecord, TABLES } from "../formats/records/tables.ts";
import { encodeMetadata } from "../formats/store-metadata.ts";
import { parseStorePath } from "../formats/store-path.ts";
import type { UnlockedVault } from "../keystore/unlocked-vault.ts";
import { redact } from "../secret.ts";
import { hiddenNames, nothingThere } from "./catalog.ts";
import { closingStream } from "./closing-stream.ts";
import { type ContentSource, sourceOf } from "./content-source.ts";
import { copyTree } from "./copy-tree.ts";
import type { ExportedTree, StoreExportOptions } from "./export-options.ts";
import { exportTree } from "./export-tree.ts";
import { type ImportedTree, type StoreImportOptions, importTree } from "./import-tree.ts";
import { describeEntry, type StoreEntry, type WalkedEntry, walkEntries } from "./listing.ts";
import { recoverLost, type RecoveredStore } from "./lost-and-found.ts";
import { Objects } from "./objects.ts";
import {
  InlineFile,
  missingRecord,
  ObjectFile,
  openInline,
  openDamagedObject,
  type OpenedFile,
  openObject,
  type StoredFile,
} from "./read-content.ts";
import { reencryptContents, type ReencryptedFiles } from "./reencrypt-contents.ts";
import { type StoreRenewOptions, rewrapContents, type RewrappedStore } from "./renew-contents.ts";
import { RemovedTraces } from "./removed-traces.ts";
import { salvageStream } from "./salvage-stream.ts";
import type { FileStoreHost } from "./store-ground.ts";
import {
  assertStoreOptions,
  type StoreCopyOptions,
  type StoreMoveOptions,
  type StoreRemoveOptions,
  type StoreCallOptions,
  type StoreReadOptions,
  type StoreWriteOptions,
} from "./store-options.ts";
import { StoreSession } from "./store-session.ts";
import { StoreUse } from "./store-use.ts";
import { type StoreVerification, verifyStore, type StoreVerifyOptions } from "./verify.ts";
import { AsyncTurn } from "./async-turn.ts";
import { concurrently } from "./concurrently.ts";

/** What a directory holds, all the way down. */
export interface StoreUsage {
  readonly files: number;
  readonly directories: number;
  /** Plaintext bytes of the files. */
  readonly bytes: number;
}

/** What a vault does with its store, and applications do not. */
export interface FileStoreLife {
  /**
   * Performs work while every object stays, those of removed files too, and no key area is written.
   * @throws the signal's reason, when it aborts while keys are still being exchanged.
   */
  keepObjects<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /**
   * Begins with an unlocked vault: what a crash has left is put into order behind the calls.
   * @param isAfterCrash true looks through the index too, and reports what was lost from it.
   */
  begin(unlocked: UnlockedVault, isAfterCrash: boolean): void;
  /**
   * Does what was left for later, before the vault is closed, as far as a locked one lets it. Never rejects: what fails
   * is a warning.
   */
  end(): Promise<void>;
}

let lifeOf: (store: FileStore) => FileStoreLife;

/** For the vault that owns the store. */
export function fileStoreLife(store: FileStore): FileStoreLife {
  return lifeOf(store);
}

/**
 * An encrypted file store. Paths are parts joined by `/`, of any Unicode text in NFC: parts of up to 255 bytes, paths
 * of up to 4,096; `""` is the topmost directory. Nothing of names, metadata, contents or the tree is readable on disk;
 * the number of larger files and their lengths are. Every change is all or nothing, and durable when it resolves.
 * Every method @throws LockedError, also when the vault is locked while it runs; InvalidArgumentError reason `path` and
 * LimitExceededError for what is no path; DamagedError for what was altered on disk; IoError.
 */
export class FileStore {
  readonly #host: FileStoreHost;
  readonly #objects: Objects;
  readonly #use: StoreUse;
  readonly #traces = new RemovedTraces();
  /** Changes of one name share it; those that look into a directory first have it alone. */
  readonly #structure = new AsyncTurn();
  #session: StoreSession | undefined;
  #beginning: Promise<void> = Promise.resolve();
  #collecting: NodeJS.Timeout | undefined;

  /** The vault makes its own. */
  constructor(host: FileStoreHost) {
    this.#host = host;
    this.#objects = new Objects(host.fs, host.directory);
    this.#use = new StoreUse(() => this.#collectSoon());
  }

  /**
   * Writes a file, and makes the directories on the way.
   * @param content bytes, a string (as UTF-8), a stream or other async iterable of bytes, or `{ path }` of a file. A
   *   stream is cancelled, one of Node destroyed, when the write ends before it.
   * @throws AlreadyExistsError unless `overwrite`; for a directory always. @throws SourceChangedError, and what the
   *   source throws; then nothing is changed.
   * @example
   * await vault.store.write("photos/cat.jpg", { path: "./cat.jpg" });
   */
  async write(path: string, content: ContentSource, options: StoreWriteOptions = {}): Promise<StoreEntry> {
    const parts = parseStorePath(path, "path");
    assertStoreOptions("write", options);
    const source = sourceOf(content);
    const { keyId, overwrite = false, durability = "durable", onProgress } = options;
    const metadata = encodeMetadata(options.metadata);
    return this.#run(options, async (session, signal) => {
      session.assertWritable();
      // Refused before it costs anything, and again when its turn has come.
      const before = session.catalog.find(session.database, parts);
      if (parts.length === 0 || (before !== undefined && (before.kind === "directory" || !overwrite))) {
        session.catalog.refuse(before);
      }
      const isDurable = durability === "durable";
      const entry = await session.put(
        source,
        { keyId, isDurable, onProgress, signal, onUse: this.#onUse },
        (change, written) => session.catalog.putFile(change, parts, written, { overwrite, metadata }),
        (work) => this.#structure.shared(work),
      );
      return describeEntry(parts, entry);
    });
  }

  /** Returns a file's whole content in a new array. @throws NotFoundError. */
  async read(path: string, options: StoreCallOptions = {}): Promise<Uint8Array> {
    assertStoreOptions("call", options);
    const parts = parseStorePath(path, "path");
    return this.#run(options, async (session, signal) => {
      const file = await this.#open(session, parts, signal);
      try {
        return await file.read(0, file.size);
      } finally {
        await file.close();
      }
    });
  }

  /**
   * Returns a file's content, or a range of it, as a stream. A failure ends it with an error, never with a clean end.
   * Read it to its end or cancel it: until then, or until its memory is collected, the file stays open.
   * @throws NotFoundError, RangeError.
   */
  async readStream(path: string, options: StoreReadOptions = {}): Promise<ReadableStream<Uint8Array>> {
    assertStoreOptions("read", options);
    const parts = parseStorePath(path, "path");
    const { start, end, onDamage } = options;
    const range = { ...(start !== undefined && { start }), ...(end !== undefined && { end }) };
    return this.#run(options, async (session) => {
      const signal = endOf(session, options);
      const entry = session.catalog.file(session.database, parts);
      const file = await this.#openEntry(session, entry, signal, onDamage && openDamagedObject);
      try {
        // Checks the range as well.
        const plain = file.stream(range);
        if (onDamage === undefined) return closingStream(plain, file, signal);
        await plain.cancel();
        return closingStream(salvageStream(file, range, onDamage), file, signal);
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  /** Opens a file for reading anywhere in it. Close it. Locking the vault ends it. @throws NotFoundError. */
  async open(path: string, options: StoreCallOptions = {}): Promise<StoredFile> {
    assertStoreOptions("call", options);
    const parts = parseStorePath(path, "path");
    return this.#run(options, (session) => {
      const signal = endOf(session, options);
      return this.#open(session, parts, signal);
    });
  }

  /** Describes a file or directory. @throws NotFoundError. */
  async stat(path: string, options: StoreCallOptions = {}): Promise<StoreEntry> {
    assertStoreOptions("call", options);
    const parts = parseStorePath(path, "path");
    if (parts.length === 0) throw noEntry();
    return this.#run(options, async ({ catalog, database }) => {
      const entry = catalog.find(database, parts);
      if (entry === undefined) throw nothingThere();
      return describeEntry(parts, entry);
    });
  }

  /**
   * Lists a directory in the order of names (by their UTF-8 bytes), as it is when the first one is asked for. Where
   * names were damaged on disk, it gives all others and then @throws DamagedError. @throws NotFoundError.
   */
  list(directory = "", options: StoreCallOptions = {}): AsyncIterable<StoreEntry> {
    return this.#entries(directory, options, false);
  }

  /** Lists a directory and all below it, a directory before what it holds; else like {@link FileStore.list}. */
  walk(directory = "", options: StoreCallOptions = {}): AsyncIterable<StoreEntry> {
    return this.#entries(directory, options, true);
  }

  /** Makes a directory, and those on the way. One that is there is fine. @throws AlreadyExistsError for a file. */
  async createDirectory(path: string, options: StoreCallOptions = {}): Promise<void> {
    assertStoreOptions("call", options);
    const parts = parseStorePath(path, "path");
    await this.#run(options, (session) =>
      this.#structure.shared(() =>
        session.change((change) => void session.catalog.makeDirectory(change, parts)),
      ),
    );
  }

  /**
   * Moves or renames a file or a directory with all in it, in one step, and makes the directories on the way.
   * @throws NotFoundError. @throws AlreadyExistsError for what is in the way, unless both are files and `overwrite`.
   * @throws InvalidArgumentError reason `into-itself`.
   */
  async move(from: string, to: string, options: StoreMoveOptions = {}): Promise<void> {
    assertStoreOptions("move", options);
    const [source, target] = [parseStorePath(from, "from"), parseStorePath(to, "to")];
    const { overwrite = false } = options;
    await this.#run(options, (session) =>
      this.#structure.shared(() =>
        session.change((change) => session.catalog.move(change, source, target, { overwrite })),
      ),
    );
    this.#collectSoon();
  }

  /**
   * Copies a file, or a directory with all in it, under new data keys. A directory appears whole, or not at all. Each
   * copy is under the CMK that its file is under, or, with `keyId`, under another one.
   * @throws NotFoundError, KeyDisabledError, InvalidKeyStateError. @throws AlreadyExistsError for what is in the way, unless both are files and `overwrite`.
   */
  async copy(from: string, to: string, options: StoreCopyOptions = {}): Promise<void> {
    assertStoreOptions("copy", options);
    const [source, target] = [parseStorePath(from, "from"), parseStorePath(to, "to")];
    await this.#run(options, (session, signal) =>
      copyTree(session, source, target, {
        ...options,
        signal,
        onUse: this.#onUse,
        open: (entry) => this.#openEntry(session, entry, signal),
        commit: (work) => this.#structure.shared(work),
      }),
    );
    this.#collectSoon();
  }

  /**
   * Removes a file, or a directory: one that is not empty only with `recursive`. Durable when it resolves. Open readers
   * keep what they have opened. With `purge`, waits until the names and contents are gone from the vault's files;
   * copies that the drive or a backup has made are not reached.
   * @throws NotFoundError. @throws InvalidArgumentError reason `not-empty` or `root`. @throws IoError reason
   *   `traces-left` when a purge was not possible now: the removal stands, and what is left goes later.
   */
  async remove(path: string, options: StoreRemoveOptions = {}): Promise<void> {
    assertStoreOptions("remove", options);
    const parts = parseStorePath(path, "path");
    const { recursive = false, purge = false } = options;
    await this.#run(options, async (session, signal) => {
      await this.#remove(session, parts, recursive, signal);
      if (purge) await session.purge();
      else this.#collectSoon();
    });
  }

  /** Counts what a directory holds, all the way down. @throws NotFoundError. */
  async usage(directory = "", options: StoreCallOptions = {}): Promise<StoreUsage> {
    let [files, directories, bytes] = [0, 0, 0];
    for await (const { kind, size } of this.walk(directory, options)) {
      if (kind === "file") files += 1;
      else directories += 1;
      bytes += size;
    }
    return { files, directories, bytes };
  }

  /**
   * Checks the whole store: the index against its sums, every content to its last byte, and what no name leads to.
   * Changes nothing, and finds everything that is wrong; whole, it reads all files. Files can be used meanwhile.
   */
  async verify(options: StoreVerifyOptions = {}): Promise<StoreVerification> {
    assertStoreOptions("verify", options);
    return this.#run(options, (session, signal) =>
      verifyStore(session, options, {
        signal,
        open: (entry, onKeyArea) => this.#openEntry(session, entry, signal, openObject, onKeyArea),
        openDamaged: (entry, onKeyArea) =>
          this.#openEntry(session, entry, signal, openDamagedObject, onKeyArea),
        alone: (work) => this.#structure.alone(work),
      }),
    );
  }

  /**
   * Brings a file of the disk, or what a folder holds, into a directory of the store. Links are not followed. When it
   * is ended by a signal or an error, what was imported stays, whole files only: `resume` does the rest. Times of files
   * are kept, those of folders are not.
   * @param source path on the disk. @param into directory of the store. @defaultValue the topmost
   * @throws InvalidArgumentError reason `not-directory`, and what the CMK answers. What cannot be imported is told to `onSkip`, and counted.
   */
  async importFrom(source: string, into = "", options: StoreImportOptions = {}): Promise<ImportedTree> {
    assertPath("source", source);
    assertStoreOptions("importFrom", options);
    const parts = parseStorePath(into, "into");
    return this.#run(options, (session, signal) =>
      importTree(session, source, parts, options, {
        signal,
        onUse: this.#onUse,
        commit: (work) => this.#structure.shared(work),
        flush: () => this.#flush(),
      }),
    );
  }

  /**
   * Writes a file of the store, or what a directory holds, into a folder of the disk, which is made if need be: files
   * of mode 0600, with their times, each whole or not at all. Names that this system refuses are written otherwise, and
   * told. Nothing is written through links; a folder that is exchanged meanwhile ends the export.
   * @param path in the store; `""` for all of it. @param destination path of the folder.
   * @throws NotFoundError. @throws InvalidArgumentError reason `inside-vault`. @throws IoError, also reason `swapped`.
   *   What is not written is told to `onSkip`, and counted.
   */
  async exportTo(path: string, destination: string, options: StoreExportOptions = {}): Promise<ExportedTree> {
    assertPath("destination", destination);
    assertStoreOptions("exportTo", options);
    const parts = parseStorePath(path, "path");
    return this.#run(options, (session, signal) => {
      const { catalog, database } = session;
      const record = catalog.find(database, parts);
      const source =
        record?.kind === "file"
          ? { parts, record }
          : { parts, directoryId: catalog.directory(database, parts) };
      return exportTree(session, source, destination, options, {
        signal,
        openDamaged: (entry) => this.#openEntry(session, entry, signal, openDamagedObject),
      });
    });
  }

  /**
   * Seals the data keys of all files anew, after a rotation: under the newest version of the CMK that each has, or, with
   * `keyId`, under another one. Bodies stay as they are. What is as it should be is passed over, so that a call that was
   * interrupted is made again. What is moved, copied or encrypted anew meanwhile is no exception: when the promise
   * resolves, no file that was there is under the old key. Waits for a backup that holds the files, and a backup waits for it: what seals a file
   * must be in the same backup. Who had an old data key keeps it: see {@link FileStore.reencrypt}.
   * @throws NotFoundError for a key, KeyDisabledError, InvalidKeyStateError. @throws DamagedError for contents and names
   *   that are missing or damaged, once all others are done: `reason` of the first, and `count`.
   */
  async rewrapAll(options: StoreRenewOptions = {}): Promise<RewrappedStore> {
    assertStoreOptions("rewrapAll", options);
    const { keyAreas, keyChoice } = this.#use;
    return this.#run(options, (session, signal) => {
      const rewrap = (): Promise<RewrappedStore> => rewrapContents(session, options, signal);
      return keyAreas.alone(() => keyChoice.alone(rewrap, signal), signal);
    });
  }

  /**
   * Encrypts a file, or all files of a directory, anew under new data keys: for the case that one leaked. Each file has
   * the old content or the new one, at any moment. It stays under the CMK that it is under, or goes, with `keyId`, under
   * another one. What is moved away meanwhile is encrypted anew as well: when the promise resolves, no file has a data
   * key that one of these had when the call began.
   * @param path `""` for all files. @throws NotFoundError, KeyDisabledError, InvalidKeyStateError. @throws DamagedError
   *   as {@link FileStore.rewrapAll}.
   */
  async reencrypt(path: string, options: StoreRenewOptions = {}): Promise<ReencryptedFiles> {
    assertStoreOptions("reencrypt", options);
    const parts = parseStorePath(path, "path");
    const reencrypted = await this.#run(options, (session, signal) => {
      const { catalog, database } = session;
      const find = (): AsyncIterable<WalkedEntry> => {
        const entry = catalog.find(database, parts);
        return entry?.kind === "file"
          ? single({ parts, record: entry })
          : walkEntries(session, parts, catalog.directory(database, parts), { isDeep: true, signal });
      };
      return reencryptContents(session, options, {
        signal,
        onUse: this.#onUse,
        find,
        alone: (work) => this.#structure.alone(work, signal),
        open: (record) => this.#openEntry(session, record, signal),
      });
    });
    this.#collectSoon();
    return reencrypted;
  }

  /**
   * Gives what has lost its name in the index, or its record, one again: contents and directories in `lost+found`,
   * under their ids. For after damage; `coffer doctor --repair` calls it once it has put the index in order. Objects
   * that do not open stay where they are. Changes of names wait meanwhile.
   * @throws DamagedError while records of the index do not open. @throws IoError reason `read-only`.
   */
  async recover(options: StoreCallOptions = {}): Promise<RecoveredStore> {
    assertStoreOptions("call", options);
    return this.#run(options, async (session, signal) => {
      // What is swept meanwhile must not get a name.
      await this.#beginning;
      return this.#structure.alone(() => recoverLost(session, signal));
    });
  }

  /** Makes all that was written with relaxed durability durable. @throws IoError. */
  async flush(options: StoreCallOptions = {}): Promise<void> {
    assertStoreOptions("call", options);
    await this.#run(options, () => this.#flush());
  }

  #keepObjects<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#use.keyAreas.shared(async () => {
      const release = this.#use.hold();
      try {
        return await work();
      } finally {
        release();
      }
    }, signal);
  }

  #begin(unlocked: UnlockedVault, isAfterCrash: boolean): void {
    const session = this.#sessionOf(unlocked);
    if (!this.#host.mayWrite) return;
    if (isAfterCrash) this.#objects.distrust();
    this.#beginning = session.recover(isAfterCrash);
  }

  async #end(): Promise<void> {
    if (!this.#host.mayWrite) return;
    const session = this.#session;
    try {
      await this.#beginning;
      await this.#flush();
      if (session !== undefined && !session.ended.aborted) await session.garbage.collect();
      await this.#traces.remove();
      await this.#objects.flushMoves();
    } catch (error) {
      if (session?.ended.aborted === true) return this.#endLocked();
      this.#reportUnfinished(error);
    }
  }

  /** The vault was locked while it was closed. */
  async #endLocked(): Promise<void> {
    try {
      await this.#flush();
      await this.#objects.flushMoves();
      await this.#traces.remove();
    } catch (error) {
      this.#reportUnfinished(error);
    }
  }

  #reportUnfinished(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const message = `The file store was closed before all was done (${why}). Files written with relaxed durability may be damaged by a power cut.`;
    this.#host.report({ type: "warning", message });
  }

  static {
    redact(this, "[FileStore]");
    lifeOf = (store) => ({
      keepObjects: (work, signal) => store.#keepObjects(work, signal),
      begin: (unlocked, isAfterCrash) => store.#begin(unlocked, isAfterCrash),
      end: () => store.#end(),
    });
  }

  /** A stream or a reader at work is use of the vault, however long it lasts. */
  readonly #onUse = (): void => void this.#host.unlocked();

  async #remove(
    session: StoreSession,
    parts: readonly string[],
    recursive: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const entry = session.catalog.find(session.database, parts);
    if (recursive || entry?.kind !== "directory") {
      await this.#structure.shared(() =>
        session.change((change) => {
          const present = session.catalog.find(change, parts);
          // What is a directory by now may hold something.
          if (!recursive && present?.kind === "directory") throw notEmpty();
          session.catalog.remove(change, parts);
        }),
      );
      return;
    }
    // Nothing is put into it between the look and the change.
    await this.#structure.alone(async () => {
      if (!(await isEmpty(session, session.catalog.directory(session.database, parts)))) throw notEmpty();
      signal.throwIfAborted();
      await session.change((change) => session.catalog.remove(change, parts));
    });
  }

  #open(session: StoreSession, parts: readonly string[], signal: AbortSignal): Promise<StoredFile> {
    return this.#openEntry(session, session.catalog.file(session.database, parts), signal);
  }

  async #openEntry(
    session: StoreSession,
    entry: EntryRecord,
    signal: AbortSignal,
    openContent: typeof openObject | typeof openDamagedObject = openObject,
    onKeyArea?: () => void,
  ): Promise<OpenedFile> {
    const options = { signal, onUse: this.#onUse };
    if (entry.blob !== undefined || entry.size === 0) {
      return new InlineFile(await openInline(this.#host, entry), entry.blob, options);
    }
    const end = this.#use.read(entry.id);
    try {
      const record = session.catalog.content(session.database, entry.id);
      if (record === undefined || record.length !== entry.size) throw missingRecord(entry.id);
      return new ObjectFile(
        await openContent(this.#host, this.#objects, record, signal, onKeyArea),
        options,
        end,
      );
    } catch (error) {
      end();
      throw error;
    }
  }

  async *#entries(directory: string, options: StoreCallOptions, isDeep: boolean): AsyncGenerator<StoreEntry> {
    assertStoreOptions("call", options);
    const parts = parseStorePath(directory, "directory");
    const { session, walk } = await this.#run(options, async (opened) => {
      const signal = endOf(opened, options);
      const id = opened.catalog.directory(opened.database, parts);
      return { session: opened, walk: walkEntries(opened, parts, id, { isDeep, signal }) };
    });
    try {
      for await (const { parts: path, record } of walk) {
        yield describeEntry(path, record);
        session.ended.throwIfAborted();
        options.signal?.throwIfAborted();
      }
    } catch (error) {
      session.ended.throwIfAborted();
      throw error;
    }
  }

  async #flush(): Promise<void> {
    const owed = this.#use.unflushed;
    if (owed.length === 0) return;
    await concurrently(owed, FLUSHES, async (id) => this.#objects.flush(id));
    await this.#objects.flushNames();
    for (const id of owed) this.#use.flushed(id);
  }

  /** Work on the store; what fails because the vault was locked says so. */
  async #run<T>(
    options: StoreCallOptions,
    work: (session: StoreSession, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    return this.#host.run(async (unlocked) => {
      const session = this.#sessionOf(unlocked);
      const signal = endOf(session, options);
      try {
        return await work(session, signal);
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      }
    });
  }

  #sessionOf(unlocked: UnlockedVault): StoreSession {
    if (this.#session?.unlocked !== unlocked) {
      this.#session = new StoreSession(this.#host, unlocked, {
        objects: this.#objects,
        use: this.#use,
        traces: this.#traces,
      });
    }
    return this.#session;
  }

  /** Not at once: many removals one after another are collected together. What fails in it is a warning. */
  #collectSoon(): void {
    if (this.#collecting !== undefined || !this.#host.mayWrite) return;
    this.#collecting = setTimeout(() => {
      this.#collecting = undefined;
      const session = this.#session;
      if (session !== undefined && !session.ended.aborted) void session.garbage.collect();
    }, COLLECT_MS);
    this.#collecting.unref();
  }
}

/** How long after a removal its garbage is collected, in milliseconds. */
const COLLECT_MS = 50;

/** Flushes at once: more than the threads that a runtime has for them gain nothing. */
const FLUSHES = 4;

/** Aborts when the session ends or the caller's signal does. */
function endOf(session: StoreSession, { signal }: StoreCallOptions): AbortSignal {
  if (signal === undefined) return session.ended;
  const joined = AbortSignal.any([session.ended, signal]);
  // Each file that is open listens to it, and more are at once than Node takes for right.
  setMaxListeners(0, joined);
  return joined;
}

async function* single(entry: WalkedEntry): AsyncGenerator<WalkedEntry> {
  yield entry;
}

async function isEmpty(session: StoreSession, directoryId: Uint8Array): Promise<boolean> {
  if (session.database.rottenBlocks > 0) throw hiddenNames();
  const { catalog, database } = session;
  // A record that does not open is something, too.
  for await (const _ of database.records(TABLES.entries, catalog.entriesOf(directoryId))) return false;
  return true;
}

function noEntry(): InvalidArgumentError {
  return new InvalidArgumentError("The topmost directory has no entry of its own. Name something in it.", {
    details: { reason: "root" },
  });
}

function notEmpty(): InvalidArgumentError {
  return new InvalidArgumentError(
    "The directory is not empty. Remove what it holds first, or pass { recursive: true }.",
    { details: { reason: "not-empty" } },
  );
}
