/**
 * The objects of the file store: encrypted files named by their content's id, written into `incoming/` and moved into
 * `objects/ab/` once a record names them. Each carries its own data key, so that one can be read without the index.
 * Source: docs/format.md#store-objects [F-236], [F-237].
 * @module
 */
import { dirname, join } from "node:path";
import { fromHex, hex } from "../bytes.ts";
import { syncFolder } from "../storage/atomic-file.ts";
import {
  FILE_MODE,
  type FileHandle,
  type FileSystem,
  hasErrno,
  ignoreNoModes,
} from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import type { SourceFile } from "../envelope/source-file.ts";
import { AsyncTurn } from "./async-turn.ts";
import { concurrently } from "./concurrently.ts";
import { SharedSync } from "./shared-sync.ts";
import { StoreFolders } from "./store-folders.ts";

const NAME = /^([0-9a-f]{32})\.cof$/u;
const SHARD = /^[0-9a-f]{2}$/u;
/** Folders that are flushed at once. */
const FLUSHES = 4;

/** An object as a listing finds it. */
export interface FoundObject {
  readonly id: Uint8Array;
  readonly path: string;
}

/** What lies in the store's folders. */
export interface ObjectListing {
  readonly objects: readonly FoundObject[];
  /** Paths of what is no object of ours. */
  readonly others: readonly string[];
}

export class Objects {
  readonly #fs: FileSystem;
  readonly #folders: StoreFolders;
  readonly #incomingSync: SharedSync;
  /** Nothing is moved out of `incoming/` while that is flushed. */
  readonly #moves = new AsyncTurn();
  /** Folders into which objects were moved since they were flushed. */
  readonly #unflushed = new Set<string>();
  #isDistrusted = false;

  /** @param directory of the vault, canonical. */
  constructor(fs: FileSystem, directory: string) {
    this.#fs = fs;
    this.#folders = new StoreFolders(fs, directory);
    this.#incomingSync = new SharedSync(() => this.#moves.alone(() => this.#syncIncoming()));
  }

  /** Takes no name in `objects/` for durable: a killed process has moved objects there, and flushed nothing. */
  distrust(): void {
    this.#isDistrusted = true;
  }

  /** A path as reports name it: within the vault's directory. */
  nameOf(path: string): string {
    return this.#folders.nameOf(path);
  }

  /** Where an object lies once a record names it. */
  pathOf(id: Uint8Array): string {
    const name = hex(id);
    return join(this.#folders.shardOf(id), `${name}.cof`);
  }

  #incomingPath(id: Uint8Array): string {
    return join(this.#folders.incoming, `${hex(id)}.cof`);
  }

  /** Makes a new object, empty, with mode 0600. @throws IoError. */
  async create(id: Uint8Array): Promise<NewObject> {
    const path = this.#incomingPath(id);
    try {
      const handle = await this.#open(path);
      try {
        // An umask may have taken bits away.
        if (handle.opened.mode !== FILE_MODE) await handle.chmod(FILE_MODE).catch(ignoreNoModes);
      } catch (error) {
        await handle.close().catch(() => undefined);
        await this.#fs.unlink(path).catch(() => undefined);
        throw error;
      }
      return new NewObject(this.#fs, path, handle, this.#incomingSync);
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
  }

  /** Moves an object that a durable record names to its place. @throws IoError. */
  async settle(id: Uint8Array): Promise<void> {
    try {
      await this.#moves.shared(() => this.#move(id));
    } catch (error) {
      throw ioError(error, "put a file of the store into its place");
    }
  }

  async #move(id: Uint8Array): Promise<void> {
    const [from, to] = [this.#incomingPath(id), this.pathOf(id)];
    const isThere = await this.#folders.isThere(dirname(to));
    await this.#folders.isThere(dirname(from));
    this.#unflushed.add(dirname(to));
    try {
      if (isThere) return await this.#fs.rename(from, to);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
      this.#folders.distrust();
    }
    await this.#folders.makeShard(id);
    await this.#fs.rename(from, to);
  }

  /**
   * Opens an object for reading, wherever a crash or a failure has left it.
   * @returns undefined when there is none. @throws IoError.
   */
  async open(id: Uint8Array): Promise<SourceFile | undefined> {
    // It may be moved between the two looks.
    return (
      (await this.openIn("objects", id)) ??
      (await this.openIn("incoming", id)) ??
      (await this.openIn("objects", id))
    );
  }

  /** Opens what lies in one place under an object's name. @returns undefined when there is nothing. @throws IoError. */
  async openIn(place: "objects" | "incoming", id: Uint8Array): Promise<SourceFile | undefined> {
    const path = place === "objects" ? this.pathOf(id) : this.#incomingPath(id);
    if (!(await this.#folders.isThere(dirname(path)))) return undefined;
    try {
      const handle = await this.#fs.open(path, "read");
      return { path, handle, stats: handle.opened };
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      throw ioError(error, "read a file of the store");
    }
  }

  /** True when something lies where the object belongs, whatever it is. @throws IoError. */
  async isPlaceTaken(id: Uint8Array): Promise<boolean> {
    if (!(await this.#folders.isThere(this.#folders.shardOf(id)))) return false;
    try {
      await this.#fs.lstat(this.pathOf(id));
      return true;
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return false;
      throw ioError(error, "look at the store's folders");
    }
  }

  /** Flushes an object that was written without. @throws IoError; absent is fine. */
  async flush(id: Uint8Array): Promise<void> {
    const source = await this.open(id);
    try {
      await source?.handle.sync();
    } catch (error) {
      throw ioError(error, "flush a file of the store");
    } finally {
      await source?.handle.close().catch(() => undefined);
    }
  }

  /** Makes the names of all objects durable. @throws IoError. */
  flushNames(): Promise<void> {
    return this.#incomingSync.run();
  }

  /** Makes it durable that objects were moved, if any were. @throws IoError. */
  async flushMoves(): Promise<void> {
    if (this.#isDistrusted || this.#unflushed.size > 0) await this.#moves.alone(() => this.#syncShards());
  }

  /** The flush that makes it durable that an object has left must not be the first to do so that it came. */
  async #syncIncoming(): Promise<void> {
    await this.#syncShards();
    await this.#folders.isThere(this.#folders.incoming);
    await syncFolder(this.#fs, this.#folders.incoming);
  }

  async #syncShards(): Promise<void> {
    if (this.#isDistrusted) {
      this.#unflushed.add(this.#folders.objects);
      for (const { name, kind } of await this.#folders.entries(this.#folders.objects)) {
        if (kind === "directory" && SHARD.test(name)) this.#unflushed.add(join(this.#folders.objects, name));
      }
      this.#isDistrusted = false;
    }
    await concurrently([...this.#unflushed], FLUSHES, async (folder) => {
      await this.#syncIfPresent(folder);
      this.#unflushed.delete(folder);
    });
  }

  async #syncIfPresent(folder: string): Promise<void> {
    if (!(await this.#folders.isThere(folder))) return;
    try {
      await this.#fs.syncDirectory(folder);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw ioError(error, "flush a folder");
    }
  }

  /**
   * Removes objects for good: when it resolves, no power cut brings one back into `objects/`. Absent ones are fine,
   * and may be those of which that is not known. @throws IoError.
   */
  async removeDurably(ids: readonly Uint8Array[]): Promise<void> {
    this.#folders.distrust();
    for (const id of ids) await this.remove(id);
    const shards = new Set(ids.map((id) => this.#folders.shardOf(id)));
    await concurrently(shards, FLUSHES, (shard) => this.#syncIfPresent(shard));
  }

  /** Removes an object. Absent is fine. @throws IoError. */
  async remove(id: Uint8Array): Promise<void> {
    for (const path of [this.pathOf(id), this.#incomingPath(id)]) await this.#removeFile(path);
  }

  /** Removes what is in `incoming/`, and nothing of the same name in `objects/`. Absent is fine. @throws IoError. */
  async removeIncoming(id: Uint8Array): Promise<void> {
    await this.#moves.shared(async () => {
      // Its name there is durable before this one is gone.
      this.#unflushed.add(this.#folders.shardOf(id));
      await this.#removeFile(this.#incomingPath(id));
    });
  }

  async #removeFile(path: string): Promise<void> {
    if (!(await this.#folders.isThere(dirname(path)))) return;
    try {
      await this.#fs.unlink(path);
    } catch (error) {
      if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw ioError(error, "remove a file of the store");
    }
  }

  /** Lists what a write has not finished, or a crash has left. @throws IoError. */
  incoming(): Promise<ObjectListing> {
    this.#folders.distrust();
    return this.#list(this.#folders.incoming);
  }

  /** Lists what lies in `objects/`, one part at a time. @throws IoError. */
  async *stored(): AsyncGenerator<ObjectListing> {
    const folder = this.#folders.objects;
    for (const { name, kind } of await this.#folders.entries(folder)) {
      const path = join(folder, name);
      if (kind !== "directory" || !SHARD.test(name)) yield { objects: [], others: [path] };
      else yield await this.#list(path, name);
    }
  }

  async #list(folder: string, shard = ""): Promise<ObjectListing> {
    const objects: FoundObject[] = [];
    const others: string[] = [];
    for (const { name, kind } of await this.#folders.entries(folder)) {
      const path = join(folder, name);
      const id = NAME.exec(name)?.[1];
      if (kind === "file" && id?.startsWith(shard) === true) objects.push({ id: fromHex(id), path });
      else others.push(path);
    }
    return { objects, others };
  }

  async #open(path: string): Promise<FileHandle> {
    // It could be read nowhere if its place were a link.
    await this.#folders.isThere(this.#folders.objects);
    try {
      if (await this.#folders.isThere(this.#folders.incoming)) {
        return await this.#fs.open(path, "create", FILE_MODE);
      }
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
      this.#folders.distrust();
    }
    // A copy program may have left out an empty folder.
    await this.#folders.makeIncoming();
    return this.#fs.open(path, "create", FILE_MODE);
  }

  /** Makes the folder in which an object lies, durably. @throws IoError and errors of the system. */
  makeFolder(id: Uint8Array): Promise<void> {
    return this.#folders.makeShard(id);
  }
}

/** An object that is being written. Ended by {@link NewObject.finish} or {@link NewObject.discard}. */
export class NewObject {
  readonly path: string;
  /** The same: an object has one name until it is moved. */
  readonly temporaryPath: string;
  readonly handle: FileHandle;
  readonly #fs: FileSystem;
  readonly #folderSync: SharedSync;

  constructor(fs: FileSystem, path: string, handle: FileHandle, folderSync: SharedSync) {
    this.#fs = fs;
    this.path = path;
    this.temporaryPath = path;
    this.handle = handle;
    this.#folderSync = folderSync;
  }

  /** @throws IoError. */
  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.writev([bytes], position);
  }

  /** Writes parts one after another. @throws IoError. */
  async writev(parts: readonly Uint8Array[], position: number): Promise<void> {
    try {
      await this.handle.writev(parts, position);
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
  }

  /** Makes content and name durable, unless told otherwise, and closes the file. @throws IoError. */
  async finish(isDurable: boolean): Promise<void> {
    try {
      if (isDurable) await this.handle.sync();
      // Meanwhile its name is flushed.
      const closing = this.handle.close();
      closing.catch(() => undefined);
      if (isDurable) await this.#folderSync.run();
      await closing;
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
  }

  /** Removes the file. The error that led here is what counts, so this never fails. */
  async discard(): Promise<void> {
    await this.handle.close().catch(() => undefined);
    await this.#fs.unlink(this.path).catch(() => undefined);
  }
}
