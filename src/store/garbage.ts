/**
 * Removes what no name leads to: what removed directories held, and objects that nobody reads any more. Works behind
 * the calls that made it garbage; what is left when the vault closes is done at the next open.
 * Source: docs/format.md#store-garbage [F-240], [F-245].
 * @module
 */
import { equal, hex } from "../bytes.ts";
import { isCofferError } from "../errors.ts";
import { type EntryRecord, type GarbageRecord, TABLES } from "../formats/records/tables.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import type { Catalog } from "./catalog.ts";
import { gatherNamedIds } from "./name-check.ts";
import type { Objects } from "./objects.ts";
import type { FileStoreHost } from "./store-ground.ts";
import type { StoreUse } from "./store-use.ts";

/** Records that one change removes. */
const CHANGES = 128;
/** Objects that are removed before their folders are flushed. */
const OBJECTS = 4096;

/** What collecting needs of the session that it belongs to. */
export interface GarbageGround {
  readonly host: FileStoreHost;
  readonly database: VaultDatabase;
  readonly catalog: Catalog;
  readonly objects: Objects;
  readonly use: StoreUse;
  readonly ended: AbortSignal;
  change<T>(plan: (change: Transaction) => T): Promise<T>;
}

const ALTERED =
  "The list of removed files was altered on disk, so nothing of it is removed. Run store.verify, and restore a backup or run coffer doctor --repair.";
const NAMED =
  "The list of removed files holds some that still have a name: it is an older one, or names are. What has a name is not removed. Run coffer doctor --repair, or restore a backup.";

export class Garbage {
  readonly #session: GarbageGround;
  #isWanted = false;
  readonly #told = new Set<string>();
  /**
   * True once every content and directory was seen to have one name at most, and those on the list none. Changes of ours
   * keep that so: what they list loses its one name with the same batch, and what is listed gets none.
   */
  #areNamesSingle = false;
  #running: Promise<void> | undefined;

  constructor(session: GarbageGround) {
    this.#session = session;
    session.database.observe((changedKeys) => {
      // Opened anew, it may hold what it did not before.
      if (changedKeys === undefined) this.#areNamesSingle = false;
    });
  }

  /** Begins to collect, unless it is being done. Never rejects: what fails is a warning, and done at the next open. */
  collect(): Promise<void> {
    this.#isWanted = true;
    this.#running ??= Promise.resolve().then(() => this.#run());
    return this.#running;
  }

  /** Resolves when nothing is being removed: what was begun before somebody held the objects, goes on. Never rejects. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { ended, host } = this.#session;
    try {
      while (this.#isWanted && !ended.aborted) {
        this.#isWanted = false;
        await this.#pass().catch((error: unknown) => {
          // Another root key meanwhile: all that was read has other names now.
          if (!isOpenedAnew(error)) throw error;
          this.#isWanted = true;
        });
      }
    } catch (error) {
      if (ended.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      const message = `Removed files of the store still take up space (${why}). It is tried again when the vault is opened.`;
      host.report({ type: "warning", message });
    } finally {
      // In the turn that found nothing more to do: who asks later begins anew.
      this.#running = undefined;
    }
  }

  async #pass(): Promise<void> {
    const { use } = this.#session;
    if (!(await this.#isListSound())) return;
    const listed = await this.#listed();
    for (const { id } of listed.filter(({ kind }) => kind === "directory")) {
      if (!use.isStaged(id)) await this.#clearDirectory(id);
    }
    const contents = listed.filter(({ id, kind }) => kind === "content" && !use.isPinned(id));
    while (contents.length > 0) await this.#removeObjects(contents.splice(0, OBJECTS));
  }

  /** What is on the list, and has no name [F-245]. */
  async #listed(): Promise<readonly GarbageRecord[]> {
    const { database, ended } = this.#session;
    const before = await this.#list();
    if (before.length === 0 || this.#areNamesSingle) return before;
    // Said before it is known, so that a database that is opened anew meanwhile takes it back.
    this.#areNamesSingle = true;
    let isProven = false;
    try {
      const names = await gatherNamedIds(database, ended);
      // Read after the names: what had none then gets none, and what lost its name since waits for the next pass.
      const listed = await this.#list();
      const unnamed = listed.filter(({ id }) => !names.has(id));
      isProven = names.areSingle && unnamed.length === listed.length;
      const known = new Set(before.map(({ id }) => hex(id)));
      if (listed.some(({ id }) => names.has(id) && known.has(hex(id)))) this.#warn(NAMED);
      return unnamed;
    } finally {
      if (!isProven) this.#areNamesSingle = false;
    }
  }

  async #list(): Promise<GarbageRecord[]> {
    const listed: GarbageRecord[] = [];
    const { database } = this.#session;
    for await (const { record } of database.records(TABLES.garbage, Uint8Array.of(TABLES.garbage))) {
      if (record !== undefined) listed.push(record);
    }
    return listed;
  }

  /** Of an older list, put back, files would be removed that have their names still. */
  async #isListSound(): Promise<boolean> {
    const { database, ended } = this.#session;
    const [check] = await database.checkFileTables(() => ended.throwIfAborted(), TABLES.garbage);
    if (check === undefined || check.isSound) return true;
    this.#warn(ALTERED);
    return false;
  }

  #warn(message: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#session.host.report({ type: "damage", message });
  }

  /** What a directory held is garbage in turn, and found by the next pass. */
  async #clearDirectory(id: Uint8Array): Promise<void> {
    const { catalog, database } = this.#session;
    const prefix = catalog.entriesOf(id);
    // A directory that was being filled when the list was read may have its name by now; and under another root key
    // its entries have other names.
    const isGarbage = (change: Transaction): boolean =>
      equal(prefix, catalog.entriesOf(id)) && catalog.isListed(change, id);
    let found: { readonly key: Uint8Array; readonly record: EntryRecord }[] = [];
    const remove = async (): Promise<void> => {
      const entries = found;
      found = [];
      await this.#session.change((change) => {
        if (!isGarbage(change)) return;
        for (const { key } of entries) {
          const entry = change.get(TABLES.entries, key);
          if (entry !== undefined) catalog.removeEntry(change, key, entry);
        }
      });
      this.#isWanted = true;
    };
    let unreadable = 0;
    for await (const { key, record } of database.records(TABLES.entries, prefix)) {
      if (record === undefined) unreadable += 1;
      else found.push({ key, record });
      if (found.length >= CHANGES) await remove();
    }
    if (found.length > 0) await remove();
    // A damaged record is evidence: verify reports it, and a repair decides.
    if (unreadable > 0) return;
    await this.#session.change((change) => {
      if (isGarbage(change)) catalog.unlist(change, id);
      else this.#isWanted = true;
    });
  }

  async #removeObjects(contents: readonly GarbageRecord[]): Promise<void> {
    const { catalog, objects } = this.#session;
    const unused = contents.filter(({ id }) => !this.#session.use.isPinned(id));
    // Before the records that tell of them: an object that came back would be one that no record names.
    await objects.removeDurably(unused.map(({ id }) => id));
    for (let at = 0; at < unused.length; at += CHANGES) {
      await this.#session.change((change) => {
        for (const { id } of unused.slice(at, at + CHANGES)) catalog.unlist(change, id);
      });
      // A long list must not keep others waiting.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
}

function isOpenedAnew(error: unknown): boolean {
  return isCofferError(error, "COFFER_IO") && error.details["reason"] === "opened-anew";
}
