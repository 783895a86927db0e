/**
 * From planned changes to what the store is given: sealed values, mirrors, and the sums that then hold.
 * @module
 */
import { mirrorKey } from "../formats/records/record-key.ts";
import { addToSum, SET_SUM_BYTES, setHmac, subtractFromSum } from "../formats/records/set-sum.ts";
import type { TableSum } from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { PAST_KEY_TABLES } from "./key-tables.ts";
import type { SealedStore } from "./sealed-store.ts";
import type { StoreOperation } from "./store.ts";
import type { ChangeSet } from "./transaction.ts";

/** First table that no sum covers: audit pages and usage. */
const PAST_SUMMED_TABLES = 0x30;

/** True for a record that counts into its table's sum. */
export function isSummed(key: Uint8Array): boolean {
  return (key[0] as number) < PAST_SUMMED_TABLES;
}

/** True for a record of a key table: checked at open and kept in the index. */
export function isIndexed(key: Uint8Array): boolean {
  return (key[0] as number) < PAST_KEY_TABLES;
}

/** A record as it will be stored, or its removal. */
export interface SealedChange {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** Seals what a group has planned, and wipes its plaintext. */
export function sealChanges(group: ChangeSet, store: SealedStore): SealedChange[] {
  return group.changes.map(({ key, cbor }) => {
    if (cbor === undefined) return { key, value: undefined };
    const value = store.seal(key, cbor);
    wipe(cbor);
    return { key, value };
  });
}

/** Returns the operations of one change: on the record and, where its table has one, on the mirror. */
export function operationsOf({ key, value }: SealedChange): StoreOperation[] {
  const keys = [key, mirrorKey(key)].filter((each) => each !== undefined);
  return keys.map((each) =>
    value === undefined ? { type: "delete", key: each } : { type: "put", key: each, value },
  );
}

/** Returns counts and sums as they are after the changes. `before` knows each record's present HMAC. */
export function setsAfter(
  sets: ReadonlyMap<number, TableSum>,
  changes: readonly SealedChange[],
  setKey: Uint8Array,
  before: (key: Uint8Array) => Uint8Array | undefined,
): Map<number, TableSum> {
  const after = new Map([...sets].map(([table, { count, sum }]) => [table, { count, sum: sum.slice() }]));
  for (const { key, value } of changes) {
    if (!isSummed(key)) continue;
    const table = key[0] as number;
    const set = after.get(table) ?? { count: 0, sum: new Uint8Array(SET_SUM_BYTES) };
    const old = before(key);
    if (old !== undefined) subtractFromSum(set.sum, old);
    if (value !== undefined) addToSum(set.sum, setHmac(setKey, key, value));
    set.count += (value === undefined ? 0 : 1) - (old === undefined ? 0 : 1);
    if (set.count === 0) after.delete(table);
    else after.set(table, set);
  }
  return after;
}
