/**
 * Blob keys in memory, derived once and kept while they are in use: a bounded cache, wiped entry by entry.
 * @module
 */
import { hex } from "../bytes.ts";
import { redact, wipe } from "../secret.ts";

/** At most this many blob keys of 32 bytes; with their names about 200 KiB. */
const BLOB_KEY_CACHE_SIZE = 1024;

export class BlobKeyCache {
  readonly #capacity: number;
  /** In order of use, the oldest first. */
  readonly #keys = new Map<string, Uint8Array>();

  constructor(capacity: number = BLOB_KEY_CACHE_SIZE) {
    this.#capacity = capacity;
  }

  /** Returns a cached key, lent until the next call of this object; or undefined. */
  get(keyId: Uint8Array, version: number): Uint8Array | undefined {
    const name = nameOf(keyId, version);
    const key = this.#keys.get(name);
    if (key === undefined) return undefined;
    this.#keys.delete(name);
    this.#keys.set(name, key);
    return key;
  }

  /** Takes a key over; the one unused for longest is wiped when the cache is full. */
  set(keyId: Uint8Array, version: number, key: Uint8Array): void {
    const name = nameOf(keyId, version);
    wipe(this.#keys.get(name));
    this.#keys.delete(name);
    if (this.#keys.size >= this.#capacity) {
      const [oldest] = this.#keys.keys();
      if (oldest !== undefined) {
        wipe(this.#keys.get(oldest));
        this.#keys.delete(oldest);
      }
    }
    this.#keys.set(name, key);
  }

  /** Wipes and forgets all versions of a key. */
  forget(keyId: Uint8Array): void {
    const prefix = hex(keyId);
    for (const [name, key] of this.#keys) {
      if (!name.startsWith(prefix)) continue;
      wipe(key);
      this.#keys.delete(name);
    }
  }

  /** Wipes and forgets everything. */
  clear(): void {
    wipe(...this.#keys.values());
    this.#keys.clear();
  }

  static {
    redact(this, "[BlobKeyCache]");
  }
}

function nameOf(keyId: Uint8Array, version: number): string {
  return `${hex(keyId)}.${version}`;
}
