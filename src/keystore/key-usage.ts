/**
 * When each key was last used, for people who want to know before they disable or delete one. Exact in memory, and
 * on disk to the hour: written at most hourly and when the vault is closed, as a use must not cost a write.
 * @module
 */
import { fromHex } from "../bytes.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { TABLES } from "../formats/records/tables.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import type { VaultKeys } from "./vault-keys.ts";

const FLUSH_MS = 3_600_000;
/** Beyond this many keys used since the last write, it is written earlier. */
const MAX_PENDING = 4096;

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
  /** By key id as a UUID. */
  #pending = new Map<string, KeyUse>();
  #writtenAtMs: number | undefined;

  constructor(database: VaultDatabase, keys: VaultKeys) {
    this.#database = database;
    this.#keys = keys;
  }

  /** Takes note of a use, and begins to write when it is time: nobody waits for that. */
  note(keyIds: readonly string[], operation: string): void {
    const { nowMs: time } = this.#database.time();
    for (const keyId of keyIds) this.#pending.set(keyId, { operation, time });
    this.#writtenAtMs ??= time;
    if (time - this.#writtenAtMs >= FLUSH_MS || this.#pending.size > MAX_PENDING) void this.flush();
  }

  /** Returns the last use of a key, or undefined. */
  lastUse(id: Uint8Array, keyId: string): KeyUse | undefined {
    const pending = this.#pending.get(keyId);
    if (pending !== undefined) return pending;
    return this.#database.get(TABLES.usage, recordKey.usage(this.#keys.name, id));
  }

  /** Writes what was noted. Never rejects: what cannot be written is kept for the next time. */
  async flush(): Promise<void> {
    const noted = this.#pending;
    if (noted.size === 0) return;
    this.#pending = new Map();
    this.#writtenAtMs = this.#database.time().nowMs;
    try {
      await this.#database.change((transaction) => {
        for (const [keyId, use] of noted) {
          const id = fromHex(keyId.replaceAll("-", ""));
          // A key that was deleted meanwhile leaves no trace of its use.
          if (transaction.get(TABLES.keys, recordKey.key(this.#keys.name, id)) === undefined) continue;
          const usageKey = recordKey.usage(this.#keys.name, id);
          const written = transaction.get(TABLES.usage, usageKey);
          // Many short sessions must not write at each close.
          if (written !== undefined && use.time - written.time < FLUSH_MS) continue;
          transaction.put(TABLES.usage, usageKey, { id, ...use });
        }
      });
    } catch {
      // Where nothing can be written, as on a read-only medium, memory stays bounded.
      if (noted.size > MAX_PENDING) return;
      for (const [keyId, use] of noted) if (!this.#pending.has(keyId)) this.#pending.set(keyId, use);
    }
  }
}
