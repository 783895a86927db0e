/**
 * The check of the file tables, which an open does not look through: count and sum of each against the sealed state
 * record, and every record opened. Source: docs/format.md#set-sums.
 * @module
 */
import { equal } from "../bytes.ts";
import { isCofferError } from "../errors.ts";
import { assertOwnKey, isKnownTable } from "../formats/records/record-key.ts";
import { addToSum, SET_SUM_BYTES, setHmac } from "../formats/records/set-sum.ts";
import {
  decodeRecord,
  FIRST_FILE_TABLE,
  PAST_FILE_TABLES,
  type TableSum,
} from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import type { SealedStore } from "./sealed-store.ts";
import type { StoreReader } from "./store.ts";

/** What became of one file table. */
export interface FileTableCheck {
  readonly table: number;
  /** Records that are there, and that should be. */
  readonly found: number;
  readonly stated: number;
  /** LevelDB keys of records that do not open, have not the form of their table, or name another record. */
  readonly unreadable: readonly Uint8Array[];
  /** True when count and sum are as stated: no record is lost, added, altered or older than the last. */
  readonly isSound: boolean;
  /** Count and sum of the records that are readable. */
  readonly readable: TableSum;
}

/** Kset and Kname, 32 bytes each. Lent. */
export interface FileTableKeys {
  readonly set: Uint8Array;
  readonly name: Uint8Array;
}

/** What the check needs beside the records. */
export interface FileTableGround {
  /** For its seals. */
  readonly store: SealedStore;
  readonly keys: FileTableKeys;
  readonly sets: ReadonlyMap<number, TableSum>;
  /** Asked before each record: throws to end the check. */
  readonly onRecord?: (() => void) | undefined;
  /** The table to check. @defaultValue all of them */
  readonly only?: number | undefined;
}

/** Checks all file tables that hold records or should, or the one that was asked for. Reads only. */
export async function checkFileTables(
  reader: StoreReader,
  { store, keys, sets, onRecord, only }: FileTableGround,
): Promise<FileTableCheck[]> {
  const tables = new Map<number, TableTally>();
  const tallyOf = (table: number): TableTally => {
    let tally = tables.get(table);
    if (tally === undefined) tables.set(table, (tally = new TableTally()));
    return tally;
  };
  const first = only ?? FIRST_FILE_TABLE;
  const past = only === undefined ? PAST_FILE_TABLES : only + 1;
  for (const table of sets.keys()) if (table >= first && table < past) tallyOf(table);
  const range = { gte: Uint8Array.of(first), lt: Uint8Array.of(past) };
  for await (const [key, stored] of reader.entries(range)) {
    onRecord?.();
    tallyOf(key[0] as number).add(key, setHmac(keys.set, key, stored), isReadable(store, keys, key, stored));
  }
  return [...tables]
    .sort(([a], [b]) => a - b)
    .map(([table, tally]) => tally.judge(table, sets.get(table) ?? EMPTY));
}

const EMPTY: TableSum = { count: 0, sum: new Uint8Array(SET_SUM_BYTES) };

class TableTally {
  readonly #unreadable: Uint8Array[] = [];
  readonly #sum = new Uint8Array(SET_SUM_BYTES);
  readonly #readableSum = new Uint8Array(SET_SUM_BYTES);
  #found = 0;

  add(key: Uint8Array, term: Uint8Array, readable: boolean): void {
    this.#found += 1;
    addToSum(this.#sum, term);
    if (readable) addToSum(this.#readableSum, term);
    else this.#unreadable.push(key);
  }

  judge(table: number, stated: TableSum): FileTableCheck {
    const unreadable = this.#unreadable;
    return {
      table,
      found: this.#found,
      stated: stated.count,
      unreadable,
      isSound: this.#found === stated.count && equal(this.#sum, stated.sum) && unreadable.length === 0,
      readable: { count: this.#found - unreadable.length, sum: this.#readableSum },
    };
  }
}

function isReadable(store: SealedStore, keys: FileTableKeys, key: Uint8Array, stored: Uint8Array): boolean {
  const table = key[0] as number;
  try {
    const cbor = store.open(key, stored);
    try {
      // A table of a later version has a form that is not known here: its seal vouches for it.
      if (isKnownTable(table)) assertOwnKey(keys.name, table, key, decodeRecord(table, cbor));
      return true;
    } finally {
      wipe(cbor);
    }
  } catch (error) {
    if (isCofferError(error, "COFFER_DAMAGED")) return false;
    throw error;
  }
}
