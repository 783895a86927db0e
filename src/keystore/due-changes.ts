/**
 * Deletions and rotations that happen by themselves. A library has no daemon: what has fallen due is done when the
 * vault opens and before each access, by a clock that is believed.
 * Source: docs/format.md#commit [F-116].
 * @module
 */
import { hex } from "../bytes.ts";
import { isCofferError } from "../errors.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { type DueRecord, type KeyRecord, TABLES } from "../formats/records/tables.ts";
import type { RecordReader, Transaction } from "../storage/transaction.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import { deleteKeys, secretPrefixes } from "./delete-key.ts";
import { DueSchedule } from "./due-schedule.ts";
import { rotateKey, setDue } from "./key-changes.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** How many due records one batch takes. */
const MAX_AT_ONCE = 64;
/** After a failure the next attempt waits this long, by the clock. */
const RETRY_MS = 60_000;

export class DueChanges {
  readonly #database: VaultDatabase;
  readonly #keys: VaultKeys;
  readonly #forgetKey: (id: Uint8Array) => void;
  readonly #schedule: DueSchedule;
  #running: Promise<void> | undefined;
  #failedAtMs: number | undefined;
  #hasWarned = false;
  /** First bytes of removed secrets that may still be in the files, for the next attempt to search for. */
  #traces: Uint8Array[] = [];

  /** @param forgetKey told of each key that is gone. */
  constructor(database: VaultDatabase, keys: VaultKeys, forgetKey: (id: Uint8Array) => void) {
    this.#database = database;
    this.#keys = keys;
    this.#forgetKey = forgetKey;
    this.#schedule = new DueSchedule(database);
    database.observe((changedKeys) => {
      if (changedKeys === undefined) this.#schedule.clear();
      else for (const key of changedKeys) this.#schedule.note(key);
    });
  }

  /** True when {@link DueChanges.settle} has something to do. */
  get isDue(): boolean {
    const { clockMs, nowMs, isBelieved, leap } = this.#database.time();
    if (this.#failedAtMs !== undefined && Math.abs(clockMs - this.#failedAtMs) < RETRY_MS) return false;
    return leap !== this.#database.state.leap || (isBelieved && this.#schedule.earliestMs <= nowMs);
  }

  /**
   * Does what is due. Never rejects: it serves calls that have another purpose. What fails is a warning, once, and
   * is tried again a minute later; a key that should be gone is blocked all the same.
   */
  async settle(): Promise<void> {
    if (!this.isDue) return this.#running;
    this.#running ??= this.#settle().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async #settle(): Promise<void> {
    const database = this.#database;
    try {
      // Nothing but the state record: what is seen of the clock is noted.
      if (database.time().leap !== database.state.leap) await database.change(() => undefined);
      while (this.isDue)
        await this.#settleSome(this.#schedule.dueAt(database.time().nowMs).slice(0, MAX_AT_ONCE));
      this.#failedAtMs = undefined;
    } catch (error) {
      // Locked or reopened meanwhile: the next session sees to it.
      if (!database.isReady || isCofferError(error, "COFFER_LOCKED")) return;
      this.#fail(error);
    }
  }

  async #settleSome(levelKeys: readonly Uint8Array[]): Promise<void> {
    const database = this.#database;
    const found = new Map(levelKeys.flatMap((key) => this.#tracesOf(database.get(TABLES.due, key))));
    const gone = await database.change((transaction) => planDue(transaction, this.#keys, levelKeys));
    for (const id of gone) this.#forgetKey(id);
    if (gone.length === 0) return;
    for (const id of gone) this.#traces.push(...(found.get(hex(id)) ?? []));
    const prefixes = gone.flatMap((id) => secretPrefixes(this.#keys, id));
    if (!(await database.removeTraces({ prefixes, patterns: this.#traces }))) {
      throw new Error("the bytes of a deleted key are still in the database's files");
    }
    this.#traces = [];
    await database.change((transaction) => {
      for (const id of gone) setDue(transaction, this.#keys, id, "delete", undefined);
    });
  }

  /** The stored bytes of a key that is to go, by its id. Only versions and the key itself hold secrets. */
  #tracesOf(due: DueRecord | undefined): [string, Uint8Array[]][] {
    if (due?.what !== "delete") return [];
    const records = secretPrefixes(this.#keys, due.id).flatMap((prefix) => this.#database.keys({ prefix }));
    const traces = records.map((key) => this.#database.traceOf(key));
    return [[hex(due.id), traces.filter((trace) => trace !== undefined)]];
  }

  #fail(error: unknown): void {
    this.#failedAtMs = this.#database.time().clockMs;
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#database.report({
      type: "warning",
      message: `A deletion or rotation that is due could not be completed (${why}). It is tried again a minute later, and when the vault opens.`,
    });
  }
}

/**
 * Plans what is due by the transaction's time; a record that was put off meanwhile is passed over.
 * @returns ids of the keys that are gone, now or since an earlier batch whose bytes still have to be removed.
 */
function planDue(transaction: Transaction, keys: VaultKeys, levelKeys: readonly Uint8Array[]): Uint8Array[] {
  const gone: Uint8Array[] = [];
  const deleted: KeyRecord[] = [];
  for (const levelKey of levelKeys) {
    const due = transaction.get(TABLES.due, levelKey);
    if (due === undefined || due.at > transaction.nowMs) continue;
    const key = keyOf(transaction, keys, due.id);
    if (due.what === "rotate") {
      if (key?.state === "Enabled" && key.rotateAt === due.at) rotateKey(transaction, keys, key, "automatic");
      else setDue(transaction, keys, due.id, "rotate", undefined);
    } else if (due.what === "delete") {
      gone.push(due.id);
      if (key !== undefined) deleted.push(key);
    }
  }
  deleteKeys(transaction, keys, deleted);
  return gone;
}

function keyOf(records: RecordReader, keys: VaultKeys, id: Uint8Array): KeyRecord | undefined {
  return records.get(TABLES.keys, recordKey.key(keys.name, id));
}
