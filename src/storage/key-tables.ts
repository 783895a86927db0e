/**
 * The check of the key tables at open: every record's HMAC is summed and compared with the sealed state record, so
 * that an altered, lost, added or exchanged record is seen before anything is believed. No value is opened, unless
 * a sum is wrong: then the mirrors may put it right.
 * Source: docs/format.md#set-sums, docs/format.md#open [F-124], [F-127].
 * @module
 */
import { compare, equal } from "../bytes.ts";
import { DamagedError, isCofferError } from "../errors.ts";
import { mirrorKey, mirroredKey, recordKey } from "../formats/records/record-key.ts";
import { addToSum, SET_SUM_BYTES, setHmac } from "../formats/records/set-sum.ts";
import { decodeRecord, type StateRecord, TABLES, type TableSum } from "../formats/records/tables.ts";
import { RecordIndex } from "./record-index.ts";
import type { SealedStore } from "./sealed-store.ts";
import type { StoreOperation } from "./store.ts";

/** First table that is checked, and the first past them. */
export const FIRST_KEY_TABLE = 0x02;
export const PAST_KEY_TABLES = 0x10;
export const MIRRORED_TABLES: readonly number[] = [TABLES.keys, TABLES.versions];

/** The key tables as found and proven. */
export interface CheckedTables {
  readonly index: RecordIndex;
  /** Stored bytes to write back, of records that were right in one place only. */
  readonly repairs: readonly StoreOperation[];
}

/**
 * Reads the state record. @throws DamagedError when it is absent or does not open: an "empty" database is no vault.
 */
export function readState(store: SealedStore): StateRecord {
  const key = recordKey.state();
  const bytes = store.get(key);
  if (bytes === undefined) {
    throw new DamagedError(
      "The vault's database has lost its state record. Keep the directory as it is and restore a backup beside it.",
      { details: { part: "database" } },
    );
  }
  return decodeRecord(TABLES.state, bytes);
}

/**
 * Checks count and sum of every key table, and returns what each record must be from now on.
 * @throws DamagedError when a table is wrong and its mirror does not put it right.
 */
export async function checkKeyTables(
  store: SealedStore,
  setKey: Uint8Array,
  sets: ReadonlyMap<number, TableSum>,
): Promise<CheckedTables> {
  const index = new RecordIndex();
  const sums = new Map<number, Uint8Array>();
  const range = { gte: Uint8Array.of(FIRST_KEY_TABLE), lt: Uint8Array.of(PAST_KEY_TABLES) };
  for await (const [key, value] of store.inner.entries(range)) {
    addRecord(index, sums, key, setHmac(setKey, key, value));
  }
  const repairs: StoreOperation[] = [];
  const tables = new Set([...sums.keys(), ...[...sets.keys()].filter((table) => table < PAST_KEY_TABLES)]);
  for (const table of tables) {
    if (isAsStated(table, index, sums, sets)) continue;
    if (!MIRRORED_TABLES.includes(table)) throw damagedTable(table, index.count(table), sets);
    const repaired = await repairTable(store, setKey, table, index, sums, sets);
    if (repaired === undefined) throw damagedTable(table, index.count(table), sets);
    repairs.push(...repaired);
  }
  index.trim();
  return { index, repairs };
}

function addRecord(
  index: RecordIndex,
  sums: Map<number, Uint8Array>,
  key: Uint8Array,
  term: Uint8Array,
): void {
  const table = key[0] as number;
  let sum = sums.get(table);
  if (sum === undefined) sums.set(table, (sum = new Uint8Array(SET_SUM_BYTES)));
  try {
    index.set(key, term);
  } catch (error) {
    throw new DamagedError(
      "The database holds a record under a key that no version writes. Restore a backup.",
      {
        cause: error,
        details: { part: "database", table },
      },
    );
  }
  addToSum(sum, term);
}

function isAsStated(
  table: number,
  index: RecordIndex,
  sums: ReadonlyMap<number, Uint8Array>,
  sets: ReadonlyMap<number, TableSum>,
): boolean {
  const found = sums.get(table) ?? new Uint8Array(SET_SUM_BYTES);
  const stated = sets.get(table);
  return (
    index.count(table) === (stated?.count ?? 0) && equal(found, stated?.sum ?? new Uint8Array(SET_SUM_BYTES))
  );
}

/** Takes the records first where both open, as one of them may be older, then the mirrors: the sum decides. */
async function repairTable(
  store: SealedStore,
  setKey: Uint8Array,
  table: number,
  index: RecordIndex,
  sums: Map<number, Uint8Array>,
  sets: ReadonlyMap<number, TableSum>,
): Promise<StoreOperation[] | undefined> {
  for (const isMirrorFirst of [false, true]) {
    const repairs = await repairFromMirror(store, setKey, table, index, sums, isMirrorFirst);
    if (isAsStated(table, index, sums, sets)) return repairs;
  }
  return undefined;
}

/**
 * Of each pair of record and mirror that are not the same bytes, takes the one that opens. Whether the result is
 * right, the sum decides.
 */
async function repairFromMirror(
  store: SealedStore,
  setKey: Uint8Array,
  table: number,
  index: RecordIndex,
  sums: Map<number, Uint8Array>,
  isMirrorFirst: boolean,
): Promise<StoreOperation[]> {
  const pairs = new Map<string, { key: Uint8Array; first?: Uint8Array; mirror?: Uint8Array }>();
  const mirrorTable = table | 0x80;
  for (const start of [table, mirrorTable]) {
    const range = { gte: Uint8Array.of(start), lt: Uint8Array.of(start + 1) };
    for await (const [stored, value] of store.inner.entries(range)) {
      const key = mirroredKey(stored) ?? stored;
      const name = Buffer.from(key).toString("latin1");
      const pair = pairs.get(name) ?? { key };
      pairs.set(name, start === table ? { ...pair, first: value } : { ...pair, mirror: value });
    }
  }
  const sorted = [...pairs.values()].sort((a, b) => compare(a.key, b.key));
  const repairs: StoreOperation[] = [];
  for (const { key } of sorted) index.delete(key);
  sums.set(table, new Uint8Array(SET_SUM_BYTES));
  for (const { key, first, mirror } of sorted) {
    const value = (isMirrorFirst ? [mirror, first] : [first, mirror]).find(
      (candidate) => candidate !== undefined && opens(store, key, candidate),
    );
    if (value === undefined) continue;
    addRecord(index, sums, key, setHmac(setKey, key, value));
    if (first !== undefined && mirror !== undefined && compare(first, mirror) === 0) continue;
    repairs.push({ type: "put", key, value }, { type: "put", key: mirrorKey(key) as Uint8Array, value });
  }
  return repairs;
}

/** True when stored bytes were sealed for this key in this vault. */
export function opens(store: SealedStore, key: Uint8Array, value: Uint8Array): boolean {
  try {
    store.open(key, value).fill(0);
    return true;
  } catch (error) {
    if (isCofferError(error, "COFFER_DAMAGED")) return false;
    throw error;
  }
}

function damagedTable(table: number, found: number, sets: ReadonlyMap<number, TableSum>): DamagedError {
  return new DamagedError(
    "Records of the vault's database were altered, lost or mixed with older ones. Keep the directory as it is and restore a backup beside it.",
    { details: { part: "database", table, found, expected: sets.get(table)?.count ?? 0 } },
  );
}
