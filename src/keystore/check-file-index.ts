/**
 * Checks the file tables, record by record: count and sum of each, and what the records say of each other. None is
 * kept. Source: docs/format.md#store-verification [F-242], #set-sums.
 * @module
 */
import { equal } from "../bytes.ts";
import { addToSum, SET_SUM_BYTES } from "../formats/records/set-sum.ts";
import {
  type ContentRecord,
  type EntryRecord,
  type GarbageRecord,
  type RecordTable,
  type TableRecords,
  TABLES,
  type TableSum,
} from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { FileReferences } from "./file-references.ts";
import { readStored } from "./stored-record.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** What became of one file table. */
export interface FileTableTally {
  readonly table: number;
  readonly found: number;
  readonly stated: number;
  readonly unreadable: number;
  /** Records whose seal is right. */
  readonly opening: number;
  readonly isSound: boolean;
}

export class FileIndexCheck {
  readonly references: FileReferences = new FileReferences();
  readonly #keys: VaultKeys;
  readonly #tallies = new Map<number, Tally>();

  /** @param keys lent. */
  constructor(keys: VaultKeys) {
    this.#keys = keys;
  }

  /** Takes one record of a file table. */
  add(key: Uint8Array, value: Uint8Array): void {
    const table = key[0] as number;
    const { term, opens, record, isReadable } = readStored(this.#keys, key, value);
    let tally = this.#tallies.get(table);
    if (tally === undefined) this.#tallies.set(table, (tally = new Tally()));
    tally.add(term, opens, isReadable);
    if (record !== undefined) this.#take(table, record);
  }

  /** What became of the tables that hold records or should. @param stated sums of the state record. */
  tables(stated: ReadonlyMap<number, TableSum>): FileTableTally[] {
    const numbers = new Set([...this.#tallies.keys(), ...stated.keys()]);
    return [...numbers].map((table) =>
      (this.#tallies.get(table) ?? new Tally()).judge(table, stated.get(table)),
    );
  }

  #take(table: number, record: TableRecords[RecordTable]): void {
    if (table === TABLES.contents) this.references.takeContent(record as ContentRecord);
    else if (table === TABLES.garbage) this.references.takeGarbage(record as GarbageRecord);
    else if (table === TABLES.entries) {
      const entry = record as EntryRecord;
      this.references.takeEntry(entry);
      if (entry.blob !== undefined) wipe(entry.blob);
    }
  }
}

class Tally {
  readonly #sum = new Uint8Array(SET_SUM_BYTES);
  #found = 0;
  #unreadable = 0;
  #opening = 0;

  add(term: Uint8Array, opens: boolean, isReadable: boolean): void {
    this.#found += 1;
    if (opens) this.#opening += 1;
    if (!isReadable) this.#unreadable += 1;
    addToSum(this.#sum, term);
  }

  judge(table: number, stated: TableSum | undefined): FileTableTally {
    const isAsStated =
      this.#found === (stated?.count ?? 0) && equal(this.#sum, stated?.sum ?? new Uint8Array(SET_SUM_BYTES));
    return {
      table,
      found: this.#found,
      stated: stated?.count ?? 0,
      unreadable: this.#unreadable,
      opening: this.#opening,
      isSound: isAsStated && this.#unreadable === 0,
    };
  }
}
