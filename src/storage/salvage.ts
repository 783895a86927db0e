/**
 * What a damaged database still gives out: every record that authenticates by itself.
 * @module
 */
import { mirroredKey } from "../formats/records/record-key.ts";
import { setHmac } from "../formats/records/set-sum.ts";
import type { StateRecord } from "../formats/records/tables.ts";
import { FIRST_KEY_TABLE, MIRRORED_TABLES, opens, PAST_KEY_TABLES } from "./key-tables.ts";
import { RecordIndex } from "./record-index.ts";
import type { SealedStore } from "./sealed-store.ts";

/** Stands for a state record that is not believed. */
export const UNKNOWN_STATE: StateRecord = {
  sequence: 0,
  witness: 0,
  time: 0,
  sets: new Map(),
  audit: { first: 0, next: 0, base: new Uint8Array(32), head: new Uint8Array(32) },
};

/** Returns an index of the records that open, and how many stored values do not. Mirrors stand in for lost records. */
export async function salvageKeyTables(
  store: SealedStore,
  setKey: Uint8Array,
): Promise<{ readonly index: RecordIndex; readonly lost: number }> {
  const index = new RecordIndex();
  const unread = new Set<string>();
  const ranges = [
    { gte: Uint8Array.of(FIRST_KEY_TABLE), lt: Uint8Array.of(PAST_KEY_TABLES) },
    ...MIRRORED_TABLES.map((table) => ({
      gte: Uint8Array.of(table | 0x80),
      lt: Uint8Array.of((table | 0x80) + 1),
    })),
  ];
  for (const range of ranges) {
    for await (const [stored, value] of store.inner.entries(range)) {
      const key = mirroredKey(stored) ?? stored;
      if (index.get(key) !== undefined) continue;
      const name = Buffer.from(key).toString("latin1");
      if (opens(store, key, value) && isRegular(index, key)) {
        index.set(key, setHmac(setKey, key, value));
        unread.delete(name);
      } else {
        unread.add(name);
      }
    }
  }
  return { index, lost: unread.size };
}

/** A planted key of an odd length has no place in the index, and no record of ours has one. */
function isRegular(index: RecordIndex, key: Uint8Array): boolean {
  const [sample] = index.keys({ prefix: key.subarray(0, 1), limit: 1 });
  return sample === undefined || sample.length === key.length;
}
