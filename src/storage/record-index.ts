/**
 * What every record of the key tables must be: LevelDB key → set HMAC, kept in memory from open until lock.
 * A read that misses a known key or meets other bytes is thereby seen, and a listing needs no scan.
 *
 * A table is one sorted buffer of `rest of the key ‖ HMAC[32]` entries (48 bytes for most tables) and a small map
 * of changes since, folded in when it has grown: about 50 bytes a record at any size.
 * @module
 */
import { compare, copy, hex } from "../bytes.ts";

const HMAC_BYTES = 32;
/** Changes kept apart before they are folded into the buffer, or a sixteenth of the table if that is more. */
const MIN_PENDING = 1024;

/** A range of LevelDB keys within one table: `prefix` begins with the table's byte, `after` is exclusive. */
export interface IndexRange {
  readonly prefix: Uint8Array;
  readonly after?: Uint8Array | undefined;
  readonly limit?: number | undefined;
}

/** Maps LevelDB keys to 32-byte HMACs. All keys of one table (first byte) have one length. */
export class RecordIndex {
  readonly #tables = new Map<number, IndexTable>();

  /** Number of records in a table. */
  count(table: number): number {
    return this.#tables.get(table)?.count ?? 0;
  }

  /** Number of records in all tables. */
  get total(): number {
    return [...this.#tables.values()].reduce((sum, table) => sum + table.count, 0);
  }

  /** Returns the HMAC of the record under this key: a view, valid until the next change. */
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#tables.get(tableOf(key))?.get(key);
  }

  /** Adds or replaces; copies both. */
  set(key: Uint8Array, hmac: Uint8Array): void {
    let table = this.#tables.get(tableOf(key));
    if (table === undefined) this.#tables.set(tableOf(key), (table = new IndexTable(key.length)));
    table.set(key, hmac);
  }

  /** Removes; an absent key is no error. */
  delete(key: Uint8Array): void {
    this.#tables.get(tableOf(key))?.delete(key);
  }

  /** Returns LevelDB keys in byte order, each a fresh array. */
  keys(range: IndexRange): Uint8Array[] {
    return this.#tables.get(tableOf(range.prefix))?.keys(range) ?? [];
  }

  /** Gives back what was held in advance for records to come, after a table has been filled. */
  trim(): void {
    for (const table of this.#tables.values()) table.trim();
  }

  /** Forgets everything. */
  clear(): void {
    for (const table of this.#tables.values()) table.clear();
    this.#tables.clear();
  }
}

class IndexTable {
  readonly #keyBytes: number;
  readonly #entryBytes: number;
  #buffer = new Uint8Array(0);
  #length = 0;
  #count = 0;
  /** By hexadecimal key; an undefined HMAC is a deletion. */
  readonly #pending = new Map<string, { readonly key: Uint8Array; readonly hmac: Uint8Array | undefined }>();

  constructor(keyBytes: number) {
    this.#keyBytes = keyBytes;
    this.#entryBytes = keyBytes - 1 + HMAC_BYTES;
  }

  get count(): number {
    return this.#count;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (key.length !== this.#keyBytes) return undefined;
    const pending = this.#pending.size === 0 ? undefined : this.#pending.get(hex(key));
    if (pending !== undefined) return pending.hmac;
    const at = this.#lowerBound(key);
    return at < this.#length && this.#compareAt(at, key) === 0 ? this.#hmacAt(at) : undefined;
  }

  set(key: Uint8Array, hmac: Uint8Array): void {
    if (key.length !== this.#keyBytes) throw new RangeError("record index: a key of another length");
    // An open delivers keys in order: they go straight to the end, and need no search.
    if (this.#pending.size === 0 && (this.#length === 0 || this.#compareAt(this.#length - 1, key) < 0)) {
      this.#count++;
      this.#append(key, hmac);
      return;
    }
    if (this.get(key) === undefined) this.#count++;
    this.#change(key, copy(hmac));
  }

  delete(key: Uint8Array): void {
    if (this.get(key) === undefined) return;
    this.#count--;
    this.#change(key, undefined);
  }

  keys({ prefix, after, limit = Number.POSITIVE_INFINITY }: IndexRange): Uint8Array[] {
    const start = after !== undefined && compare(after, prefix) > 0 ? after : prefix;
    const inRange = (key: Uint8Array): boolean =>
      startsWith(key, prefix) && (after === undefined || compare(key, after) > 0);
    const changes = [...this.#pending.values()]
      .filter(({ key }) => inRange(key))
      .sort((a, b) => compare(a.key, b.key));
    const found: Uint8Array[] = [];
    let at = this.#lowerBound(start);
    for (const { key, hmac } of [...changes, undefined].map(
      (change) => change ?? { key: undefined, hmac: undefined },
    )) {
      for (; at < this.#length && found.length < limit; at++) {
        if (key !== undefined && this.#compareAt(at, key) >= 0) break;
        const stored = this.#keyAt(at, prefix[0] as number);
        if (!startsWith(stored, prefix)) break;
        if (inRange(stored)) found.push(stored);
      }
      if (found.length >= limit || key === undefined) break;
      if (at < this.#length && this.#compareAt(at, key) === 0) at++;
      if (hmac !== undefined) found.push(copy(key));
    }
    return found;
  }

  trim(): void {
    this.#buffer = this.#buffer.slice(0, this.#length * this.#entryBytes);
  }

  clear(): void {
    this.#buffer.fill(0);
    this.#length = 0;
    this.#count = 0;
    this.#pending.clear();
  }

  #append(key: Uint8Array, hmac: Uint8Array): void {
    const end = this.#length * this.#entryBytes;
    if (end + this.#entryBytes > this.#buffer.length) {
      // A quarter more each time: the slack stays small beside 50 bytes a record.
      const grown = new Uint8Array(Math.ceil((this.#length + 16) * 1.25) * this.#entryBytes);
      grown.set(this.#buffer.subarray(0, end));
      this.#buffer = grown;
    }
    this.#buffer.set(key.subarray(1), end);
    this.#buffer.set(hmac, end + this.#keyBytes - 1);
    this.#length++;
  }

  #change(key: Uint8Array, hmac: Uint8Array | undefined): void {
    this.#pending.set(hex(key), { key: copy(key), hmac });
    if (this.#pending.size > Math.max(MIN_PENDING, this.#length / 16)) this.#fold();
  }

  #fold(): void {
    const changes = [...this.#pending.values()].sort((a, b) => compare(a.key, b.key));
    const old = { buffer: this.#buffer, length: this.#length };
    this.#pending.clear();
    this.#buffer = new Uint8Array(Math.ceil((this.#count + 16) * 1.1) * this.#entryBytes);
    this.#length = 0;
    let from = 0;
    const keep = (until: number): void => {
      const bytes = old.buffer.subarray(from * this.#entryBytes, until * this.#entryBytes);
      this.#buffer.set(bytes, this.#length * this.#entryBytes);
      this.#length += until - from;
    };
    for (const { key, hmac } of changes) {
      const at = this.#lowerBound(key, old.buffer, old.length);
      keep(at);
      from = at < old.length && this.#compareAt(at, key, old.buffer) === 0 ? at + 1 : at;
      if (hmac !== undefined) this.#append(key, hmac);
    }
    keep(old.length);
  }

  /** First entry that is not below `key`. */
  #lowerBound(key: Uint8Array, buffer: Uint8Array = this.#buffer, length: number = this.#length): number {
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compareAt(middle, key, buffer) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Compares an entry with a key or a prefix of keys of this table. */
  #compareAt(at: number, key: Uint8Array, buffer: Uint8Array = this.#buffer): number {
    const begin = at * this.#entryBytes - 1;
    for (let i = 1; i < key.length; i++) {
      const difference = (buffer[begin + i] as number) - (key[i] as number);
      if (difference !== 0) return difference;
    }
    return this.#keyBytes - key.length;
  }

  #keyAt(at: number, table: number): Uint8Array {
    const key = new Uint8Array(this.#keyBytes);
    key[0] = table;
    const begin = at * this.#entryBytes;
    key.set(this.#buffer.subarray(begin, begin + this.#keyBytes - 1), 1);
    return key;
  }

  #hmacAt(at: number): Uint8Array {
    const begin = at * this.#entryBytes + this.#keyBytes - 1;
    return this.#buffer.subarray(begin, begin + HMAC_BYTES);
  }
}

function tableOf(key: Uint8Array): number {
  return key[0] ?? -1;
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && compare(key.subarray(0, prefix.length), prefix) === 0;
}
