/**
 * What an open database is known to hold, and checked reads of it. One session lasts until the engine fails or the
 * vault is locked; then another one begins with the full check.
 * @module
 */
import { equal } from "../bytes.ts";
import { DamagedError, isCofferError } from "../errors.ts";
import type { ParsedHeader } from "../formats/header.ts";
import { assertOwnKey, endOfPrefix, mirrorKey } from "../formats/records/record-key.ts";
import { setHmac } from "../formats/records/set-sum.ts";
import {
  decodeRecord,
  type FileTable,
  type RecordTable,
  type StateRecord,
  type TableRecords,
  type TableSum,
} from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { checkFileTables, type FileTableCheck } from "./file-tables.ts";
import { checkKeyTables, readState } from "./key-tables.ts";
import { assertNotRolledBack } from "./rollback.ts";
import { salvageKeyTables, UNKNOWN_STATE } from "./salvage.ts";
import type { IndexRange, RecordIndex } from "./record-index.ts";
import { isIndexed, type SealedChange, setsAfter } from "./sealed-change.ts";
import { SealedStore } from "./sealed-store.ts";
import type { Store, StoreOperation, StoreReader, StoreSnapshot } from "./store.ts";
import type { RecordReader } from "./transaction.ts";

/** What happened to the files, for the vault to tell its user. */
export interface StorageEvent {
  /** `damage`: found, and healed or worked around. `warning`: durable, but not as well protected as it should be. */
  readonly type: "damage" | "warning";
  readonly message: string;
}

export interface SessionKeys {
  /** Kdb, 32 bytes. */
  readonly database: Uint8Array;
  /** Kset, 32 bytes. */
  readonly set: Uint8Array;
  /** Kname, 32 bytes. */
  readonly name: Uint8Array;
}

/** A record of a file table, or its place where it does not open. */
export interface FoundRecord<FileRecord> {
  readonly key: Uint8Array;
  readonly record: FileRecord | undefined;
}

export class DatabaseSession implements RecordReader {
  readonly store: SealedStore;
  readonly #keys: SessionKeys;
  readonly #index: RecordIndex;
  readonly #report: (event: StorageEvent) => void;
  #state: StateRecord;
  #repairs: StoreOperation[];
  /** What reads see: the engine, or, while a batch is written, what was before it. */
  #reads: StoreReader;

  private constructor(
    store: SealedStore,
    keys: SessionKeys,
    report: (event: StorageEvent) => void,
    state: StateRecord,
    found: { readonly index: RecordIndex; readonly repairs: readonly StoreOperation[] },
  ) {
    this.store = store;
    this.#reads = store.inner;
    this.#keys = keys;
    this.#report = report;
    this.#state = state;
    this.#index = found.index;
    this.#repairs = [...found.repairs];
  }

  /**
   * Checks the state record against the header, and the key tables against the state record. Reads only.
   * @param keys lent for the session.
   * @throws DamagedError, RolledBackError.
   */
  static async begin(
    this: void,
    engine: Store,
    keys: SessionKeys,
    header: ParsedHeader,
    report: (event: StorageEvent) => void,
  ): Promise<DatabaseSession> {
    const store = new SealedStore(engine, keys.database, header.vaultId);
    try {
      assertNotRolledBack(readState(store), header);
    } finally {
      store.forget();
    }
    return DatabaseSession.beginAnyAge(engine, keys, header, report);
  }

  /** {@link DatabaseSession.begin} for a database or header that may be older than the other. @throws DamagedError. */
  static async beginAnyAge(
    this: void,
    engine: Store,
    keys: SessionKeys,
    header: ParsedHeader,
    report: (event: StorageEvent) => void,
  ): Promise<DatabaseSession> {
    const store = new SealedStore(engine, keys.database, header.vaultId);
    try {
      const state = readState(store);
      const found = await checkKeyTables(store, keys.set, state.sets);
      if (found.repairs.length > 0) {
        report({
          type: "damage",
          message: "Key records were damaged on disk and are restored from their mirrors.",
        });
      }
      return new DatabaseSession(store, keys, report, state, found);
    } catch (error) {
      store.forget();
      throw error;
    }
  }

  /**
   * Begins without any of these checks: each record that opens is given out, the newest that LevelDB has of it, and
   * all others are passed over. For reading only.
   */
  static async salvage(
    this: void,
    engine: Store,
    keys: SessionKeys,
    header: ParsedHeader,
    report: (event: StorageEvent) => void,
  ): Promise<DatabaseSession> {
    const store = new SealedStore(engine, keys.database, header.vaultId);
    const { index, lost } = await salvageKeyTables(store, keys.set);
    report({
      type: "damage",
      message: `Salvaged ${index.total} records; ${lost} could not be read. Records may be missing or older than the last.`,
    });
    return new DatabaseSession(store, keys, report, UNKNOWN_STATE, { index, repairs: [] });
  }

  /** The durable state. */
  get state(): StateRecord {
    return this.#state;
  }

  /** Stored bytes to write back with the next batch, of records found right in one place only. */
  get repairs(): readonly StoreOperation[] {
    return this.#repairs;
  }

  count(table: RecordTable): number {
    return this.#index.count(table);
  }

  keys(range: IndexRange): Uint8Array[] {
    return this.#index.keys(range);
  }

  get<T extends RecordTable>(table: T, key: Uint8Array): TableRecords[T] | undefined {
    const stored = this.#stored(key);
    return stored && this.#open(table, key, stored);
  }

  /**
   * Opens the records of a file table whose LevelDB keys begin with `prefix`, in key order, as they are when this
   * begins. What does not open comes as `undefined`: one damaged record must not hide the others.
   */
  async *records<T extends FileTable>(
    table: T,
    prefix: Uint8Array,
  ): AsyncGenerator<FoundRecord<TableRecords[T]>> {
    const range = { gte: prefix, lt: endOfPrefix(prefix) };
    for await (const [key, stored] of this.store.inner.entries(range)) {
      yield { key, record: this.#openUnlessDamaged(table, key, stored) };
    }
  }

  /** Returns what checks the file tables, or one, in records of this moment, against the sums of this moment. */
  fileTableCheck(
    onRecord?: () => void,
    only?: FileTable,
  ): (records: StoreReader) => Promise<FileTableCheck[]> {
    const ground = { store: this.store, keys: this.#keys, sets: this.#state.sets, onRecord, only };
    return (records) => checkFileTables(records, ground);
  }

  /** Returns the term of a record that is there in the sum of its file table, 32 bytes. */
  termOf(key: Uint8Array): Uint8Array {
    const term = this.#hmacOf(key);
    if (term === undefined) throw new Error("termOf: no such record");
    return term;
  }

  /** Returns the state's sets as they will be after these changes. */
  setsAfter(changes: readonly SealedChange[]): Map<number, TableSum> {
    return setsAfter(this.#state.sets, changes, this.#keys.set, (key) => this.#hmacOf(key));
  }

  /**
   * Keeps reads to what is durable now, until {@link DatabaseSession.adopt}: the engine shows a batch at a moment of
   * its own, before it says that it is durable, and a record of it would be taken for an altered one.
   * @returns what the caller disposes of afterwards.
   */
  holdReads(): StoreSnapshot {
    const before = this.store.inner.snapshot();
    this.#reads = before;
    return before;
  }

  /** Takes over what a durable batch has made true. */
  adopt(state: StateRecord, changes: readonly SealedChange[]): void {
    for (const { key, value } of changes) {
      if (!isIndexed(key)) continue;
      if (value === undefined) this.#index.delete(key);
      else this.#index.set(key, setHmac(this.#keys.set, key, value));
    }
    this.#state = state;
    this.#repairs = [];
    this.#reads = this.store.inner;
  }

  /** Forgets all. The keys belong to the caller. */
  end(): void {
    this.#index.clear();
    this.store.forget();
  }

  #open<T extends RecordTable>(table: T, key: Uint8Array, stored: Uint8Array): TableRecords[T] {
    const cbor = this.store.open(key, stored);
    try {
      const record = decodeRecord(table, cbor);
      assertOwnKey(this.#keys.name, table, key, record);
      return record;
    } finally {
      wipe(cbor);
    }
  }

  #openUnlessDamaged<T extends RecordTable>(
    table: T,
    key: Uint8Array,
    stored: Uint8Array,
  ): TableRecords[T] | undefined {
    try {
      return this.#open(table, key, stored);
    } catch (error) {
      if (isCofferError(error, "COFFER_DAMAGED")) return undefined;
      throw error;
    }
  }

  /** The present term of a record in its table's sum. A plan has opened what is not indexed. */
  #hmacOf(key: Uint8Array): Uint8Array | undefined {
    if (isIndexed(key)) return this.#index.get(key);
    const stored = this.#reads.get(key);
    return stored && setHmac(this.#keys.set, key, stored);
  }

  /** What is not in the index is taken as it lies: its seal alone vouches for it. */
  #stored(key: Uint8Array): Uint8Array | undefined {
    if (!isIndexed(key)) return this.#reads.get(key);
    const expected = this.#index.get(key);
    return expected && this.#storedBytes(key, expected);
  }

  /** A known record is taken from its mirror when its own bytes are gone or altered. */
  #storedBytes(key: Uint8Array, expected: Uint8Array): Uint8Array {
    const own = this.#reads.get(key);
    if (own !== undefined && equal(setHmac(this.#keys.set, key, own), expected)) return own;
    const mirror = mirrorKey(key);
    const copy = mirror === undefined ? undefined : this.#reads.get(mirror);
    if (copy !== undefined && equal(setHmac(this.#keys.set, key, copy), expected)) {
      this.#report({
        type: "damage",
        message: "A key record was damaged on disk. Its mirror is used instead.",
      });
      this.#repairs.push({ type: "put", key, value: copy });
      return copy;
    }
    throw new DamagedError(
      "A record of the vault's database was lost or altered on disk. Restore a backup.",
      {
        details: { part: "database", table: key[0] ?? 0 },
      },
    );
  }
}
