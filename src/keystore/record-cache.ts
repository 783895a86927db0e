/**
 * Decoded records in memory, kept while they are in use and forgotten when their stored bytes change: reading one
 * from the database costs about 20 µs, which a small encryption would notice.
 * @module
 */
import { hex } from "../bytes.ts";
import { redact } from "../secret.ts";

/** At most this many records in one cache. A CMK's record has at most 8 KiB of description, and 200 bytes else. */
const RECORD_CACHE_SIZE = 1024;

interface Entry<CachedRecord> {
  /** Hexadecimal LevelDB key. */
  readonly key: string;
  readonly record: CachedRecord;
}

/** Records of one table, found by a name that is cheaper to have than the record's LevelDB key. */
export class RecordCache<CachedRecord> {
  readonly #capacity: number;
  /** In order of use, the oldest first. */
  readonly #entries = new Map<string, Entry<CachedRecord>>();
  /** Names by LevelDB key. */
  readonly #names = new Map<string, string>();

  constructor(capacity: number = RECORD_CACHE_SIZE) {
    this.#capacity = capacity;
  }

  get(name: string): CachedRecord | undefined {
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return entry.record;
  }

  /** Keeps a record as it is durable at this moment. Nobody changes it any more. */
  set(name: string, levelKey: Uint8Array, record: CachedRecord): void {
    this.#forget(name);
    if (this.#entries.size >= this.#capacity) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#forget(oldest);
    }
    const key = hex(levelKey);
    this.#entries.set(name, { key, record });
    this.#names.set(key, name);
  }

  /** Forgets the record under a LevelDB key, if it is here. */
  forget(levelKey: Uint8Array): void {
    const name = this.#names.get(hex(levelKey));
    if (name !== undefined) this.#forget(name);
  }

  clear(): void {
    this.#entries.clear();
    this.#names.clear();
  }

  static {
    redact(this, "[RecordCache]");
  }

  #forget(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#names.delete(entry.key);
  }
}
