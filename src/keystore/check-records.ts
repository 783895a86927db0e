/**
 * Checks every record of a database, each opened and decoded, against the sealed state record and against its
 * mirror. Takes raw records from wherever they come and believes none of them.
 * Source: docs/format.md#set-sums, #records.
 * @module
 */
import { equal, fromHex, hex } from "../bytes.ts";
import { mirroredKey } from "../formats/records/record-key.ts";
import { addToSum, SET_SUM_BYTES } from "../formats/records/set-sum.ts";
import {
  decodeRecord,
  isFileTable,
  type StateRecord,
  TABLES,
  type TableSum,
} from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { FIRST_KEY_TABLE, MIRRORED_TABLES } from "../storage/key-tables.ts";
import { FileIndexCheck, type FileTableTally } from "./check-file-index.ts";
import { checkReferences, type RecordsByTable, type ReferenceProblem } from "./check-references.ts";
import type { ExpectedObjects, FileReferenceProblem } from "./file-references.ts";
import { DECODED, openStored, readStored, type Stored, unlessDamaged } from "./stored-record.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** What became of one table. */
export interface TableCheck {
  readonly table: number;
  readonly found: number;
  /** As the state record has it; undefined where it holds no sum for the table. */
  readonly stated: number | undefined;
  /** Records that do not open, have not the form of their table, or name another record. */
  readonly unreadable: number;
  /** True when count and sum are as stated, and every record is readable. */
  readonly isSound: boolean;
  /** True when the table is not sound and comes right with the records that its mirror holds. */
  readonly isMendable: boolean;
}

/** Mirrors that are not what they should be, of tables that are sound themselves. */
export interface MirrorCheck {
  readonly missing: number;
  readonly different: number;
  /** Mirrors of records that are not there any more. */
  readonly extra: number;
  /** LevelDB keys of the records to write again, or to remove once more, so that their mirrors are right. */
  readonly recordKeys: readonly Uint8Array[];
}

export interface RecordsCheck {
  /** `absent`: there is none, so the database is empty or not whole. `unreadable`: it does not open. */
  readonly state: StateRecord | "absent" | "unreadable";
  /** Sorted by number; mirrors are apart. */
  readonly tables: readonly TableCheck[];
  readonly mirrors: MirrorCheck;
  /** Records of tables that no version of the format has. */
  readonly foreign: number;
  /** Records that open, mirrors standing in for those that do not; and how many there should be at least. */
  readonly readable: number;
  readonly total: number;
  /** Undefined where a table is not sound: what is missing there would show as a wrong reference here. */
  readonly references: ReadonlyMap<ReferenceProblem | FileReferenceProblem, number> | undefined;
  /** What the index of the file store says of objects, as far as it is readable. Valid after the end, too. */
  readonly objects: ExpectedObjects;
}

const KNOWN_TABLES: ReadonlySet<number> = new Set(Object.values(TABLES));
const PAST_SUMMED_TABLES = 0x30;

/**
 * Collects records in any order, then judges them. Holds decoded records until {@link RecordCheck.end}; of the file
 * tables, which may be large, only what others refer to.
 */
export class RecordCheck {
  readonly #keys: VaultKeys;
  readonly #tables = new Map<number, Map<string, Stored>>();
  readonly #files: FileIndexCheck;
  #state: RecordsCheck["state"] = "absent";
  #foreign = 0;
  #count = 0;

  /** @param keys lent until `end`. */
  constructor(keys: VaultKeys) {
    this.#keys = keys;
    this.#files = new FileIndexCheck(keys);
  }

  /** How many were added. */
  get count(): number {
    return this.#count;
  }

  add(key: Uint8Array, value: Uint8Array): void {
    this.#count++;
    const table = key[0] as number;
    if (table === TABLES.state && key.length === 1) this.#state = this.#readState(key, value);
    else if (!KNOWN_TABLES.has(table) || table === TABLES.state) this.#foreign++;
    else if (isFileTable(table)) this.#files.add(key, value);
    else this.#tableOf(table).set(hex(mirroredKey(key) ?? key), readStored(this.#keys, key, value));
  }

  /** Judges what was added. */
  result(): RecordsCheck {
    const tables = this.#checkTables();
    return {
      state: this.#state,
      tables,
      mirrors: this.#checkMirrors(tables),
      foreign: this.#foreign,
      ...this.#countReadable(tables),
      references:
        typeof this.#state === "object" && tables.every(({ isSound }) => isSound)
          ? new Map<ReferenceProblem | FileReferenceProblem, number>([
              ...checkReferences(this.#keys, this.#recordsByTable()),
              ...this.#files.references.problems(),
            ])
          : undefined,
      objects: this.#files.references.objects,
    };
  }

  /** Forgets all. */
  end(): void {
    for (const { record } of this.#tables.get(TABLES.keys)?.values() ?? []) {
      if (record !== undefined && "fingerprintKey" in record) wipe(record.fingerprintKey);
    }
    this.#tables.clear();
  }

  #tableOf(table: number): Map<string, Stored> {
    let records = this.#tables.get(table);
    if (records === undefined) this.#tables.set(table, (records = new Map<string, Stored>()));
    return records;
  }

  #readState(key: Uint8Array, value: Uint8Array): RecordsCheck["state"] {
    const cbor = openStored(this.#keys, key, value);
    const state = cbor === undefined ? undefined : unlessDamaged(() => decodeRecord(TABLES.state, cbor));
    return state ?? "unreadable";
  }

  #checkTables(): TableCheck[] {
    const stated = typeof this.#state === "object" ? this.#state.sets : undefined;
    const numbers = new Set([...this.#tables.keys(), ...(stated?.keys() ?? [])]);
    const tables: TableCheck[] = this.#fileTables().map((tally) => ({ ...tally, isMendable: false }));
    for (const table of numbers) {
      if (table >= 0x80 || isFileTable(table)) continue;
      const records = [...this.#tableOf(table).values()];
      const unreadable = records.filter(({ isReadable }) => !isReadable).length;
      const isSummed = table >= FIRST_KEY_TABLE && table < PAST_SUMMED_TABLES;
      const isAsStated = !isSummed || this.#isSum(table, records);
      const isSound = isAsStated && unreadable === 0;
      tables.push({
        table,
        found: records.length,
        stated: isSummed && stated !== undefined ? (stated.get(table)?.count ?? 0) : undefined,
        unreadable,
        isSound,
        isMendable: !isAsStated && this.#isMendable(table),
      });
    }
    return tables.sort((a, b) => a.table - b.table);
  }

  #fileTables(): FileTableTally[] {
    const stated = typeof this.#state === "object" ? this.#state.sets : new Map<number, TableSum>();
    return this.#files.tables(new Map([...stated].filter(([table]) => isFileTable(table))));
  }

  #isSum(table: number, records: readonly Stored[]): boolean {
    if (typeof this.#state !== "object") return false;
    const stated = this.#state.sets.get(table);
    const sum = new Uint8Array(SET_SUM_BYTES);
    for (const { term } of records) addToSum(sum, term);
    return (
      records.length === (stated?.count ?? 0) && equal(sum, stated?.sum ?? new Uint8Array(SET_SUM_BYTES))
    );
  }

  /** The rule of opening: of each pair that one which opens, the record first or the mirror first. */
  #isMendable(table: number): boolean {
    if (!MIRRORED_TABLES.includes(table)) return false;
    const records = this.#tableOf(table);
    const mirrors = this.#tableOf(table | 0x80);
    const names = [...new Set([...records.keys(), ...mirrors.keys()])];
    return [
      [records, mirrors],
      [mirrors, records],
    ].some((order) => {
      const taken = names.map((name) => order.map((side) => side.get(name)).find((stored) => stored?.opens));
      const present = taken.filter((stored) => stored !== undefined);
      return present.every(({ isReadable }) => isReadable) && this.#isSum(table, present);
    });
  }

  #checkMirrors(tables: readonly TableCheck[]): MirrorCheck {
    const recordKeys: Uint8Array[] = [];
    let [missing, different, extra] = [0, 0, 0];
    for (const table of MIRRORED_TABLES) {
      if (tables.some((check) => check.table === table && !check.isSound)) continue;
      const records = this.#tableOf(table);
      const mirrors = this.#tableOf(table | 0x80);
      for (const name of new Set([...records.keys(), ...mirrors.keys()])) {
        const [record, mirror] = [records.get(name), mirrors.get(name)];
        if (record !== undefined && mirror !== undefined && equal(record.term, mirror.term)) continue;
        if (record === undefined) extra++;
        else if (mirror === undefined) missing++;
        else different++;
        recordKeys.push(fromHex(name));
      }
    }
    return { missing, different, extra, recordKeys };
  }

  #countReadable(tables: readonly TableCheck[]): { readable: number; total: number } {
    let [readable, total] = [0, 0];
    for (const tally of this.#fileTables()) {
      readable += tally.opening;
      total += Math.max(tally.found, tally.stated);
    }
    for (const { table, stated } of tables.filter((check) => !isFileTable(check.table))) {
      const [records, mirrors] = [this.#tableOf(table), this.#tableOf(table | 0x80)];
      const names = new Set([...records.keys(), ...mirrors.keys()]);
      for (const name of names) {
        if (records.get(name)?.opens === true || mirrors.get(name)?.opens === true) readable++;
      }
      total += Math.max(names.size, stated ?? 0);
    }
    return { readable, total };
  }

  #recordsByTable(): RecordsByTable {
    return Object.fromEntries(
      DECODED.map((table) => [
        table,
        [...this.#tableOf(table).values()].flatMap(({ record }) => (record === undefined ? [] : [record])),
      ]),
    );
  }
}
