/**
 * The keys of an unlocked vault: records found by name, key material opened and cached. Operations of the KMS stand
 * on this and on nothing below it.
 * @module
 */
import { equal, hex } from "../bytes.ts";
import { DamagedError, NotFoundError } from "../errors.ts";
import { blobKey } from "../formats/key-schedule.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { type AliasRecord, type KeyRecord, TABLES, type VersionRecord } from "../formats/records/tables.ts";
import { redact, wipe } from "../secret.ts";
import type { RecordReader, Transaction } from "../storage/transaction.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import { MAX_CANDIDATES, nearestAliases } from "./alias-suggestion.ts";
import { DueChanges } from "./due-changes.ts";
import { BlobKeyCache } from "./key-cache.ts";
import { type MaterialOwner, openMaterial } from "./key-material.ts";
import { DEFAULT_ALIAS, formatKeyId, type KeyReference, parseKeyReference } from "./key-reference.ts";
import { KeyUsage } from "./key-usage.ts";
import { RecordCache } from "./record-cache.ts";
import type { VaultKeys } from "./vault-keys.ts";

export class Keystore {
  readonly #database: VaultDatabase;
  /** Lent to those who put records into a change. */
  readonly keys: VaultKeys;
  readonly #cache = new BlobKeyCache();
  readonly #keyRecords = new RecordCache<KeyRecord>();
  readonly #aliasRecords = new RecordCache<AliasRecord>();
  readonly #due: DueChanges;
  /** When keys were last used. */
  readonly usage: KeyUsage;

  /** Both are lent: the vault closes and wipes them. */
  constructor(database: VaultDatabase, keys: VaultKeys) {
    this.#database = database;
    this.keys = keys;
    database.observe((changedKeys) => this.#forgetRecords(changedKeys));
    this.#due = new DueChanges(database, keys, (id) => this.#cache.forget(id));
    this.usage = new KeyUsage(database, keys);
  }

  get vaultHint(): Uint8Array {
    return this.keys.hint;
  }

  /** The durable records. */
  get records(): RecordReader {
    return this.#database;
  }

  /** True when deletions or rotations have fallen due, which {@link Keystore.settleDue} does. Costs next to nothing. */
  get isDue(): boolean {
    return this.#due.isDue;
  }

  /** Does what has fallen due. Never rejects: what fails is a warning, and tried again. */
  settleDue(): Promise<void> {
    return this.#due.settle();
  }

  /** Commits one change; see {@link VaultDatabase.change}. */
  change<T>(plan: (transaction: Transaction) => T): Promise<T> {
    return this.#database.change(plan);
  }

  /**
   * Returns a CMK's record, never to be changed: without `records`, the durable one, from memory where it was read
   * before. @throws NotFoundError, telling a deleted key from an unknown one.
   */
  key(id: Uint8Array, records?: RecordReader): KeyRecord {
    if (records === undefined) {
      const cached = this.#keyRecords.get(hex(id));
      if (cached !== undefined) return cached;
    }
    const levelKey = recordKey.key(this.keys.name, id);
    const record = (records ?? this.#database).get(TABLES.keys, levelKey);
    if (record === undefined) throw this.#unknownKey(id, records ?? this.#database);
    if (!equal(record.id, id)) throw misplaced();
    if (records === undefined) this.#keyRecords.set(hex(id), levelKey, record);
    return record;
  }

  /** Returns an alias's record, or undefined; where from, as with {@link Keystore.key}. */
  alias(aliasName: string, records?: RecordReader): AliasRecord | undefined {
    if (records === undefined) {
      const cached = this.#aliasRecords.get(aliasName);
      if (cached !== undefined) return cached;
    }
    const levelKey = recordKey.alias(this.keys.name, aliasName);
    const record = (records ?? this.#database).get(TABLES.aliases, levelKey);
    if (record !== undefined && record.name !== aliasName) throw misplaced();
    if (records === undefined && record !== undefined) this.#aliasRecords.set(aliasName, levelKey, record);
    return record;
  }

  /**
   * Returns the record of the key that a caller named, by id or by alias; without a name that of `alias/default`.
   * @throws NotFoundError; for an alias, with the nearest names that exist.
   */
  resolve(reference: string | undefined, records?: RecordReader): KeyRecord {
    return this.key(this.resolveId(parseKeyReference(reference ?? DEFAULT_ALIAS), records), records);
  }

  /** Returns the id that a reference names: an alias's present target. The key itself may be gone. */
  resolveId(reference: KeyReference, records?: RecordReader): Uint8Array {
    if (reference.kind === "id") return reference.id;
    const record = this.alias(reference.aliasName, records);
    if (record === undefined) throw this.unknownAlias(reference.aliasName, records);
    return record.keyId;
  }

  /** Returns one version of a key's material record, or undefined. */
  version(
    id: Uint8Array,
    version: number,
    records: RecordReader = this.#database,
  ): VersionRecord | undefined {
    const record = records.get(TABLES.versions, recordKey.version(this.keys.name, id, version));
    if (record !== undefined && (!equal(record.id, id) || record.version !== version)) throw misplaced();
    return record;
  }

  /**
   * Returns the key that seals blobs under one version of a CMK: lent until the next call, never to be kept or wiped.
   * @throws NotFoundError without such a version, or when its material is gone.
   */
  blobKey(key: MaterialOwner, version: number): Uint8Array {
    const cached = this.#cache.get(key.id, version);
    if (cached !== undefined) return cached;
    const record = this.version(key.id, version);
    if (record?.sealed === undefined) {
      throw new NotFoundError(`Key ${formatKeyId(key.id)} has no material of version ${version}.`);
    }
    const material = openMaterial(this.keys, key, version, record.sealed);
    try {
      const derived = blobKey(material, key.id, version);
      this.#cache.set(key.id, version, derived);
      return derived;
    } finally {
      wipe(material);
    }
  }

  /** Returns the error for an alias that is not there, with the nearest names that are. */
  unknownAlias(aliasName: string, records: RecordReader = this.#database): NotFoundError {
    const nearest = nearestAliases(aliasName, this.#aliasNames(records));
    const hint =
      nearest.length === 0 ? "See listAliases for those that do." : `Did you mean ${nearest.join(" or ")}?`;
    return new NotFoundError(`${aliasName} does not exist in this vault. ${hint}`, {
      details: { aliasName, nearest },
    });
  }

  /** Wipes and forgets what is cached. */
  wipe(): void {
    this.#cache.clear();
    this.#forgetRecords(undefined);
  }

  static {
    redact(this, "[Keystore]");
  }

  #forgetRecords(changedKeys: readonly Uint8Array[] | undefined): void {
    if (changedKeys === undefined) {
      this.#keyRecords.clear();
      this.#aliasRecords.clear();
      return;
    }
    for (const key of changedKeys) {
      if (key[0] === TABLES.keys) this.#keyRecords.forget(key);
      if (key[0] === TABLES.aliases) this.#aliasRecords.forget(key);
    }
  }

  #unknownKey(id: Uint8Array, records: RecordReader): NotFoundError {
    const keyId = formatKeyId(id);
    const tombstone = records.get(TABLES.tombstones, recordKey.tombstone(this.keys.name, id));
    if (tombstone === undefined) {
      return new NotFoundError(`Key ${keyId} does not exist in this vault. See listKeys for those that do.`, {
        details: { keyId },
      });
    }
    const deletedAt = new Date(tombstone.deleted).toISOString();
    return new NotFoundError(
      `Key ${keyId} was deleted on ${deletedAt}. What it encrypted cannot be decrypted.`,
      {
        details: { keyId, deletedAt },
      },
    );
  }

  *#aliasNames(records: RecordReader): Generator<string> {
    const prefix = Uint8Array.of(TABLES.aliases);
    for (const key of records.keys({ prefix, limit: MAX_CANDIDATES })) {
      const record = records.get(TABLES.aliases, key);
      if (record !== undefined) yield record.name;
    }
  }
}

function misplaced(): DamagedError {
  return new DamagedError(
    "A record of the vault's database lies under another record's name. Restore a backup.",
    {
      details: { part: "database" },
    },
  );
}
