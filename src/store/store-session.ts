/**
 * The file store for as long as its vault stays unlocked: changes of the index, and what follows from them.
 * @module
 */
import { hex } from "../bytes.ts";
import { IoError } from "../errors.ts";
import { TABLES } from "../formats/records/tables.ts";
import type { UnlockedVault } from "../keystore/unlocked-vault.ts";
import type { FileTableCheck } from "../storage/file-tables.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import { Catalog, hiddenNames } from "./catalog.ts";
import { Garbage, type GarbageGround } from "./garbage.ts";
import type { Objects } from "./objects.ts";
import type { FileStoreHost } from "./store-ground.ts";
import type { StoreUse } from "./store-use.ts";
import type { RemovedTraces } from "./removed-traces.ts";
import { removeLeftovers, settleIncoming } from "./sweep-incoming.ts";
import type { KnownSource } from "./content-source.ts";
import { type NewContent, type NewContentOptions, writeContent } from "./write-content.ts";

/** What a file store has, locked or not. */
export interface SessionGround {
  readonly objects: Objects;
  readonly use: StoreUse;
  readonly traces: RemovedTraces;
}

export class StoreSession implements GarbageGround {
  readonly host: FileStoreHost;
  readonly objects: Objects;
  readonly use: StoreUse;
  readonly database: VaultDatabase;
  readonly catalog: Catalog;
  readonly garbage: Garbage;
  readonly traces: RemovedTraces;
  readonly unlocked: UnlockedVault;

  /** @param ground what stays from one session to the next. */
  constructor(host: FileStoreHost, unlocked: UnlockedVault, ground: SessionGround) {
    this.host = host;
    this.unlocked = unlocked;
    this.objects = ground.objects;
    this.use = ground.use;
    this.traces = ground.traces;
    this.database = unlocked.database;
    this.traces.watch(this.database);
    this.catalog = new Catalog(
      unlocked.keystore.keys.name,
      (key) => this.traces.note(key),
      () => {
        if (this.database.rottenBlocks > 0) throw hiddenNames();
      },
    );
    this.garbage = new Garbage(this);
  }

  /** Aborts, with a LockedError, when the vault is locked. */
  get ended(): AbortSignal {
    return this.unlocked.ended;
  }

  /**
   * Commits one change of the index; what it has made garbage is collected behind it.
   * @throws IoError reason `read-only`. @throws what the plan throws.
   */
  async change<T>(plan: (change: Transaction) => T): Promise<T> {
    this.assertWritable();
    return this.database.change((change) => {
      this.ended.throwIfAborted();
      return plan(change);
    });
  }

  /**
   * Writes a content and commits a change that names it. A flush that is left for later is noted.
   * @param commit performs the change when its turn has come. @defaultValue at once
   * @throws as `writeContent` does, and what the plan throws; then nothing is left.
   */
  async put<T>(
    source: KnownSource,
    options: NewContentOptions,
    plan: (change: Transaction, content: NewContent) => T,
    commit: (work: () => Promise<T>) => Promise<T> = (work) => work(),
  ): Promise<T> {
    const { content, end } = await writeContent(this.host, this.objects, this.use, source, options);
    try {
      const answer = await commit(() =>
        this.#name(content, (change) => {
          // Whoever gave up while it was flushed gets no file.
          options.signal.throwIfAborted();
          return plan(change, content);
        }),
      );
      if (!options.isDurable && content.headerTag !== undefined) this.use.owesFlush(content.id);
      return answer;
    } finally {
      end();
    }
  }

  /**
   * Commits a change that names a new content, and puts its object into its place. When the change fails, the object
   * is removed.
   */
  async #name<T>(content: NewContent, plan: (change: Transaction) => T): Promise<T> {
    let answer: T;
    try {
      answer = await this.change(plan);
    } catch (error) {
      // After an outcome that nobody knows, the next open finds out whether a record names it.
      const isUnknown = error instanceof IoError && error.reason === "outcome-unknown";
      if (content.headerTag !== undefined && !isUnknown) {
        await this.objects.remove(content.id).catch(() => undefined);
      }
      throw error;
    }
    if (content.headerTag !== undefined) await this.#settle(content.id);
    return answer;
  }

  /**
   * Puts in order what a crash has left: objects are moved to their places or removed, and listed garbage is collected [F-238].
   * Never rejects: what fails is a warning.
   */
  async recover(isAfterCrash: boolean): Promise<void> {
    try {
      // Where a record may not be found, nothing is removed for want of one.
      const isRotten = this.database.rottenBlocks > 0;
      const unnamed = isRotten ? [] : await settleIncoming(this);
      if (isAfterCrash || unnamed.length > 0) {
        const checks = await this.database.checkFileTables(() => this.ended.throwIfAborted());
        if (isAfterCrash) this.#reportUnsound(checks);
        await removeLeftovers(this, unnamed, checks);
      }
      if (!isRotten && this.database.state.sets.has(TABLES.garbage)) await this.garbage.collect();
    } catch (error) {
      if (this.ended.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      const message = `What an interrupted program has left of the file store was not put in order (${why}). It is tried again when the vault is opened.`;
      this.host.report({ type: "warning", message });
    }
  }

  /** After a crash the index is looked through once, as an open does not do that. */
  #reportUnsound(checks: readonly FileTableCheck[]): void {
    if (checks.every(({ isSound }) => isSound)) return;
    const message =
      "Names of the file store were altered, lost or mixed with older ones on disk. Run store.verify, and restore a backup or run coffer doctor --repair.";
    this.host.report({ type: "damage", message });
  }

  /** Waits until what was removed is gone from the vault's files. @throws IoError reason `traces-left`. */
  async purge(): Promise<void> {
    await this.garbage.collect();
    if (!this.database.state.sets.has(TABLES.garbage) && (await this.traces.remove())) return;
    throw new IoError(
      "What was removed is still in the vault's files, as somebody reads it at this moment. It goes when that ends, or when the vault is closed.",
      { details: { reason: "traces-left" } },
    );
  }

  /** @throws IoError reason `read-only`. */
  assertWritable(): void {
    if (this.host.mayWrite) return;
    throw new IoError("The vault is open for reading only. Open it where it can be written.", {
      details: { reason: "read-only" },
    });
  }

  /** An object that stays in `incoming/` is found there, and moved at the next open. */
  async #settle(id: Uint8Array): Promise<void> {
    try {
      await this.objects.settle(id);
    } catch (error) {
      const why = error instanceof Error ? error.message : hex(id);
      this.host.report({
        type: "warning",
        message: `A file of the store is durable, but not in its place yet (${why}). It is moved when the vault is opened again.`,
      });
    }
  }
}
