/**
 * When each key was last used, for people who want to know before they disable or delete one. Exact in memory, and
 * on disk to the hour: written at most hourly and when the vault is closed, as a use must not cost a write.
 * @module
 */
import { fromHex } from "../bytes.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { TABLES } from "../formats/records/tables.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import type { VaultKeys } from "./vault-keys.ts";

const FLUSH_MS = 3_600_000;
/** Beyond this many keys used since the last write, it is written earlier. */
const MAX_NOTED = 1024;

/** A key's last successful use. */
export interface KeyUse {
  /** The operation, as `vault.kms` has it. */
  readonly operation: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export class KeyUsage {
  readonly #database: VaultDatabase;
  readonly #keys: VaultKeys;
  /** Uses that are not on the disk, by key id as a UUID. One stays here until it is durably there. */
  readonly #noted = new Map<string, KeyUse>();
  #writing: Promise<void> | undefined;
  #writtenAtMs: number | undefined;

  constructor(database: VaultDatabase, keys: VaultKeys) {
    this.#database = database;
    this.#keys = keys;
  }

  /** Takes note of a use, and begins to write when it is time: nobody waits for that. */
  note(keyIds: readonly string[], operation: string): void {
    const { nowMs: time } = this.#database.time();
    for (const keyId of keyIds) this.#noted.set(keyId, { operation, time });
    this.#writtenAtMs ??= time;
    if (this.#writing !== undefined) return;
    if (time - this.#writtenAtMs >= FLUSH_MS || this.#noted.size > MAX_NOTED) void this.flush();
  }

  /** Returns the last use of a key, or undefined. */
  lastUse(id: Uint8Array, keyId: string): KeyUse | undefined {
    return this.#noted.get(keyId) ?? this.#database.get(TABLES.usage, recordKey.usage(this.#keys.name, id));
  }

  /** Writes what was noted. Never rejects: what cannot be written is kept for the next time. */
  async flush(): Promise<void> {
    await this.#writing;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  async #write(): Promise<void> {
    if (this.#noted.size === 0) return;
    const noted = new Map(this.#noted);
    const isFull = noted.size > MAX_NOTED;
    try {
      // Refused as well while the database is closed after a failed write.
      this.#writtenAtMs = this.#database.time().nowMs;
      const done = await this.#database.change((transaction) =>
        [...noted].filter(([keyId, use]) => this.#put(transaction, keyId, use, isFull)),
      );
      for (const [keyId, use] of done) if (this.#noted.get(keyId) === use) this.#noted.delete(keyId);
    } catch {
      // Where nothing can be written, as on a read-only medium, memory stays bounded.
      if (isFull) this.#noted.clear();
    }
  }

  /** @returns false for a use that is too soon after the one on the disk: many short sessions must not write at each close. */
  #put(transaction: Transaction, keyId: string, use: KeyUse, isFull: boolean): boolean {
    const id = fromHex(keyId.replaceAll("-", ""));
    // A key that was deleted meanwhile leaves no trace of its use.
    if (transaction.get(TABLES.keys, recordKey.key(this.#keys.name, id)) === undefined) return true;
    const usageKey = recordKey.usage(this.#keys.name, id);
    const written = transaction.get(TABLES.usage, usageKey);
    if (!isFull && written !== undefined && use.time - written.time < FLUSH_MS) return false;
    transaction.put(TABLES.usage, usageKey, { id, ...use });
    return true;
  }
}
