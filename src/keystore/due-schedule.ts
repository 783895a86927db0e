/**
 * When what is due for keys falls due: read once from the database, and kept in step with it from then on, so that
 * asking before each access costs nothing.
 * @module
 */
import { fromHex, hex } from "../bytes.ts";
import { TABLES } from "../formats/records/tables.ts";
import type { RecordReader } from "../storage/transaction.ts";

export class DueSchedule {
  readonly #records: RecordReader;
  /** Times by hexadecimal LevelDB key; undefined until it is read. */
  #times: Map<string, number> | undefined;
  /** Keys whose records have changed since. */
  readonly #changed: Uint8Array[] = [];
  #earliestMs = Number.POSITIVE_INFINITY;

  constructor(records: RecordReader) {
    this.#records = records;
  }

  /** Takes note of a changed record; one of another table is passed over. */
  note(levelKey: Uint8Array): void {
    if (levelKey[0] === TABLES.due) this.#changed.push(levelKey);
  }

  /** Forgets all: it is read anew. */
  clear(): void {
    this.#times = undefined;
    this.#changed.length = 0;
  }

  /** The earliest time at which anything is due; infinite without any. */
  get earliestMs(): number {
    this.#refresh();
    return this.#earliestMs;
  }

  /** LevelDB keys of the records that are due at a time, the earliest first. */
  dueAt(nowMs: number): Uint8Array[] {
    return [...this.#refresh()]
      .filter(([, atMs]) => atMs <= nowMs)
      .sort(([, a], [, b]) => a - b)
      .map(([name]) => fromHex(name));
  }

  #refresh(): Map<string, number> {
    let times = this.#times;
    if (times === undefined) {
      times = new Map();
      this.#changed.length = 0;
      for (const key of this.#records.keys({ prefix: Uint8Array.of(TABLES.due) })) this.#read(times, key);
      this.#times = times;
      this.#earliestMs = earliestOf(times);
    } else if (this.#changed.length > 0) {
      for (const key of this.#changed.splice(0)) this.#read(times, key);
      this.#earliestMs = earliestOf(times);
    }
    return times;
  }

  #read(times: Map<string, number>, key: Uint8Array): void {
    const record = this.#records.get(TABLES.due, key);
    // Expiry belongs to imported material, which this version does not have.
    if (record === undefined || record.what === "expire") times.delete(hex(key));
    else times.set(hex(key), record.at);
  }
}

function earliestOf(times: ReadonlyMap<string, number>): number {
  let earliestMs = Number.POSITIVE_INFINITY;
  for (const atMs of times.values()) earliestMs = Math.min(earliestMs, atMs);
  return earliestMs;
}
