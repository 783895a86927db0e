/**
 * One group's changes on top of the durable records: what plans read and write before anything is committed.
 * @module
 */
import { compare, hex } from "../bytes.ts";
import { encodeRecord, isFileTable, type RecordTable, type TableRecords } from "../formats/records/tables.ts";
import type { IndexRange } from "./record-index.ts";

/** Reads records. Everything is synchronous, so a plan sees one state from end to end. */
export interface RecordReader {
  /**
   * Returns the record under a LevelDB key of this table, or undefined.
   * @throws DamagedError when the record is known but lost, altered or unreadable, and its mirror too.
   */
  get<T extends RecordTable>(table: T, key: Uint8Array): TableRecords[T] | undefined;
  /** Returns LevelDB keys of a key table in byte order. */
  keys(range: IndexRange): Uint8Array[];
}

/** What a plan may do. Throw to abandon the plan: nothing of it is kept. */
export interface Transaction extends RecordReader {
  /** The time of this change, in ms since 1970; never falls from one change to the next. */
  readonly nowMs: number;
  /**
   * The later of `nowMs` and the clock, also of one that is not believed yet: waiting times are counted from it, so
   * that none is shorter than was said.
   */
  readonly latestMs: number;
  /** True as long as nothing was put or deleted. */
  readonly isEmpty: boolean;
  put<T extends RecordTable>(table: T, key: Uint8Array, record: TableRecords[T]): void;
  delete(key: Uint8Array): void;
}

/** A record to write, or to delete where `record` and `cbor` are undefined. */
export interface Change {
  readonly key: Uint8Array;
  readonly record: TableRecords[RecordTable] | undefined;
  readonly cbor: Uint8Array | undefined;
}

/** Collects the changes of one group, plan by plan; the last change of a key counts. */
export class ChangeSet {
  readonly #base: RecordReader;
  readonly #nowMs: number;
  readonly #latestMs: number;
  readonly #changes = new Map<string, Change>();
  #lengthBytes = 0;

  /** @param latestMs see {@link Transaction.latestMs}. */
  constructor(base: RecordReader, nowMs: number, latestMs: number = nowMs) {
    this.#base = base;
    this.#nowMs = nowMs;
    this.#latestMs = latestMs;
  }

  get changes(): readonly Change[] {
    return [...this.#changes.values()];
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0;
  }

  /** Sum of the records' lengths: about what the batch will have. */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** Runs one plan; when it throws, its changes are dropped and the others stay. */
  plan<T>(run: (transaction: Transaction) => T): T {
    const layer = new Layer(this.#base, this.#changes, { nowMs: this.#nowMs, latestMs: this.#latestMs });
    const answer = run(layer);
    for (const [name, change] of layer.own) {
      this.#lengthBytes += lengthOf(change) - lengthOf(this.#changes.get(name));
      this.#changes.set(name, change);
    }
    return answer;
  }
}

function lengthOf(change: Change | undefined): number {
  return change === undefined ? 0 : change.key.length + (change.cbor?.length ?? 0);
}

class Layer implements Transaction {
  readonly nowMs: number;
  readonly latestMs: number;
  readonly own = new Map<string, Change>();
  readonly #base: RecordReader;
  readonly #group: ReadonlyMap<string, Change>;
  /** Durable records of file tables that this plan has opened. */
  readonly #opened = new Set<string>();

  constructor(
    base: RecordReader,
    group: ReadonlyMap<string, Change>,
    time: Pick<Transaction, "nowMs" | "latestMs">,
  ) {
    this.#base = base;
    this.#group = group;
    this.nowMs = time.nowMs;
    this.latestMs = time.latestMs;
  }

  get isEmpty(): boolean {
    return this.own.size === 0;
  }

  get<T extends RecordTable>(table: T, key: Uint8Array): TableRecords[T] | undefined {
    const name = hex(key);
    const change = this.#change(name);
    // The change was put under this same table and key, so it has this table's type.
    if (change !== undefined) return change.record as TableRecords[T] | undefined;
    const record = this.#base.get(table, key);
    if (isFileTable(table)) this.#opened.add(name);
    return record;
  }

  put<T extends RecordTable>(table: T, key: Uint8Array, record: TableRecords[T]): void {
    const name = hex(key);
    this.#openBefore(name, key);
    this.own.set(name, { key, record, cbor: encodeRecord(table, record) });
  }

  delete(key: Uint8Array): void {
    const name = hex(key);
    this.#openBefore(name, key);
    this.own.set(name, { key, record: undefined, cbor: undefined });
  }

  /** No index vouches for what a file record was: an altered one must fail the plan, not go into the sum. */
  #openBefore(name: string, key: Uint8Array): void {
    const table = key[0] as number;
    if (isFileTable(table) && this.#change(name) === undefined && !this.#opened.has(name)) {
      this.get(table, key);
    }
  }

  keys({ prefix, after, limit }: IndexRange): Uint8Array[] {
    const changed = new Map<string, Change>();
    const begin = hex(prefix);
    for (const [name, change] of [...this.#group, ...this.own]) {
      if (!name.startsWith(begin) || (after !== undefined && compare(change.key, after) <= 0)) continue;
      changed.set(name, change);
    }
    // Each change takes away one of the durable keys at most.
    const wanted = limit === undefined ? undefined : limit + changed.size;
    const found = this.#base.keys({ prefix, after, limit: wanted });
    if (changed.size === 0) return found;
    const kept = found.filter((key) => !changed.has(hex(key)));
    for (const { key, record } of changed.values()) if (record !== undefined) kept.push(key);
    return kept.sort(compare).slice(0, limit);
  }

  #change(name: string): Change | undefined {
    return this.own.get(name) ?? this.#group.get(name);
  }
}
