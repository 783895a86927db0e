/**
 * A database sealed anew under another root key: every record of one is opened, sealed into a new one beside it, and
 * read back from there. Nothing of the old one is changed.
 * Source: docs/format.md#root-change [F-140…F-142].
 * @module
 */
import { DamagedError, UnsupportedFormatError } from "../errors.ts";
import type { ParsedHeader } from "../formats/header.ts";
import { isKnownTable, keyOfRecord, recordKey } from "../formats/records/record-key.ts";
import { addToSum, SET_SUM_BYTES, setHmac } from "../formats/records/set-sum.ts";
import {
  encodeRecord,
  isFileTable,
  type RecordTable,
  TABLES,
  type TableRecords,
  type TableSum,
} from "../formats/records/tables.ts";
import { MAX_COMMIT_BYTES, MAX_COMMIT_CHANGES } from "../limits.ts";
import { wipe } from "../secret.ts";
import { DatabaseSession, type SessionKeys, type StorageEvent } from "./database-session.ts";
import { isIndexed, isSummed, operationsOf } from "./sealed-change.ts";
import { SealedStore } from "./sealed-store.ts";
import type { Store, StoreOperation } from "./store.ts";

const FIRST_TABLE = TABLES.keys;
const PAST_TABLES = 0x80;

/** Returns a record as the new root key has it: what it holds may itself be sealed. */
export type ConvertRecord = <T extends RecordTable>(table: T, record: TableRecords[T]) => TableRecords[T];

export interface Rewrite {
  readonly from: DatabaseSession;
  readonly vaultId: Uint8Array;
  /** Keys of the new database; lent. */
  readonly keys: SessionKeys;
  readonly convert: ConvertRecord;
  /** Sequence of the new state, and the generation that it may name. */
  readonly sequence: number;
  readonly witness: number;
  readonly signal: AbortSignal;
}

/**
 * Fills a new, empty store. Not durable as a whole before its last batch, which carries the state.
 * @returns the number of records beside the state.
 * @throws DamagedError for a record that does not open. @throws UnsupportedFormatError for a table that this release
 *   does not know: it must not be lost. @throws the signal's reason.
 */
export async function rewriteDatabase(engine: Store, rewrite: Rewrite): Promise<number> {
  const { from, keys, vaultId, convert, sequence, witness, signal } = rewrite;
  const store = new SealedStore(engine, keys.database, vaultId);
  const sets = new Map<number, TableSum>();
  const batch: StoreOperation[] = [];
  let count = 0;
  let lengthBytes = 0;
  const put = (key: Uint8Array, cbor: Uint8Array): void => {
    const value = store.seal(key, cbor);
    wipe(cbor);
    batch.push(...operationsOf({ key, value }));
    lengthBytes += value.length;
    if (isSummed(key)) addToSet(sets, key, setHmac(keys.set, key, value));
  };
  try {
    await assertFileTables(from, signal);
    for await (const [table, key] of recordsOf(from)) {
      // Locking wipes the keys at once: nothing may be sealed with them afterwards.
      signal.throwIfAborted();
      const record = from.get(table, key);
      if (record === undefined) throw lost(table);
      const converted = convert(table, record);
      put(keyOfRecord(keys.name, table, converted), encodeRecord(table, converted));
      count += 1;
      if (batch.length < MAX_COMMIT_CHANGES && lengthBytes < MAX_COMMIT_BYTES) continue;
      await engine.write(batch.splice(0));
      lengthBytes = 0;
    }
    signal.throwIfAborted();
    const stateKey = recordKey.state();
    const state = encodeRecord(TABLES.state, { ...from.state, sequence, witness, sets });
    batch.push({ type: "put", key: stateKey, value: store.seal(stateKey, state) });
    await engine.write(batch);
    return count;
  } finally {
    store.forget();
  }
}

/**
 * Proves a rewritten database as an open does, and opens every record of it besides, `expected` in number.
 * @returns its session, which goes on with `keys`.
 * @throws DamagedError
 */
export async function readBack(
  engine: Store,
  rewrite: Rewrite,
  expected: number,
  header: ParsedHeader,
  report: (event: StorageEvent) => void,
): Promise<DatabaseSession> {
  const session = await DatabaseSession.begin(engine, rewrite.keys, header, report);
  try {
    let count = 0;
    for await (const [table, key] of recordsOf(session)) {
      rewrite.signal.throwIfAborted();
      if (session.get(table, key) === undefined) throw lost(table);
      count += 1;
    }
    if (count !== expected) throw lost(0);
    return session;
  } catch (error) {
    session.end();
    throw error;
  }
}

/** What no index knows must be whole before it is taken for all there is. */
async function assertFileTables(from: DatabaseSession, signal: AbortSignal): Promise<void> {
  const check = from.fileTableCheck(() => signal.throwIfAborted());
  for (const { table, isSound } of await check(from.store.inner)) {
    if (!isSound) throw lost(table);
  }
}

/** Table and key of every record but the state: of what the index knows as it should be, of the rest as it lies. */
async function* recordsOf(session: DatabaseSession): AsyncGenerator<[RecordTable, Uint8Array]> {
  const range = { gte: Uint8Array.of(FIRST_TABLE), lt: Uint8Array.of(PAST_TABLES) };
  const tables = new Set<number>();
  for await (const [key] of session.store.inner.entries(range)) {
    const table = key[0] as number;
    if (!isKnownTable(table)) throw unknownTable(table);
    if (isIndexed(key)) tables.add(table);
    else yield [table, key];
  }
  // A table whose every record is lost is still in the sums.
  for (const table of session.state.sets.keys()) if (!isFileTable(table)) tables.add(table);
  for (const table of tables) {
    if (!isKnownTable(table)) throw unknownTable(table);
    for (const key of session.keys({ prefix: Uint8Array.of(table) })) yield [table, key];
  }
}

function addToSet(sets: Map<number, TableSum>, key: Uint8Array, term: Uint8Array): void {
  const table = key[0] as number;
  const { count, sum } = sets.get(table) ?? { count: 0, sum: new Uint8Array(SET_SUM_BYTES) };
  addToSum(sum, term);
  sets.set(table, { count: count + 1, sum });
}

function unknownTable(table: number): UnsupportedFormatError {
  return new UnsupportedFormatError(
    "This vault holds records of a later version of Coffer, which this one cannot seal anew. Use that version.",
    { details: { format: "database", table } },
  );
}

function lost(table: number): DamagedError {
  return new DamagedError("A record of the vault's database was lost or altered on disk. Restore a backup.", {
    details: { part: "database", table },
  });
}
