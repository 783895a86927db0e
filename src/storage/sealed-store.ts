/**
 * A store whose values are sealed, each bound to its key and to the vault: an altered, moved or foreign value is
 * `COFFER_DAMAGED`, never data. It is a store itself, and passes the same contract suite.
 * Keys are stored as they are: callers use keyed hashes. Source: docs/format.md#records.
 * @module
 */
import { copy } from "../bytes.ts";
import { openRecord, sealRecord } from "../formats/records/sealing.ts";
import { wipe } from "../secret.ts";
import {
  type Store,
  StoreClosedError,
  type StoreEntry,
  type StoreOperation,
  type StoreRange,
  type StoreReader,
  type StoreSnapshot,
} from "./store.ts";

export class SealedStore implements Store {
  /** The store underneath, for stored bytes as they are. Owned: closed with this one. */
  readonly inner: Store;
  readonly #key: Uint8Array;
  readonly #vaultId: Uint8Array;
  #isForgotten = false;

  /** Copies the key; it is wiped on close. */
  constructor(inner: Store, databaseKey: Uint8Array, vaultId: Uint8Array) {
    this.inner = inner;
    this.#key = copy(databaseKey);
    this.#vaultId = copy(vaultId);
  }

  /** Returns what is stored for a plaintext value under a key. Sealing the same twice gives different bytes. */
  seal(key: Uint8Array, value: Uint8Array): Uint8Array<ArrayBuffer> {
    // A wiped key is a key of zeros, which everybody has.
    if (this.#isForgotten) throw new StoreClosedError();
    return sealRecord(this.#key, this.#vaultId, key, value);
  }

  /** Returns the plaintext of stored bytes. @throws DamagedError unless they were sealed for this key and vault. */
  open(key: Uint8Array, stored: Uint8Array): Uint8Array<ArrayBuffer> {
    if (this.#isForgotten) throw new StoreClosedError();
    return openRecord(this.#key, this.#vaultId, key, stored);
  }

  get(key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    return this.#getFrom(this.inner, key);
  }

  entries(range?: StoreRange): AsyncIterable<StoreEntry> {
    return this.#entriesOf(this.inner, range);
  }

  async write(batch: readonly StoreOperation[]): Promise<void> {
    await this.inner.write(
      batch.map((operation) =>
        operation.type === "put"
          ? { ...operation, value: this.seal(operation.key, operation.value) }
          : operation,
      ),
    );
  }

  compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    return this.inner.compact(start, end);
  }

  snapshot(): StoreSnapshot {
    const inner = this.inner.snapshot();
    return {
      get: (key) => this.#getFrom(inner, key),
      entries: (range) => this.#entriesOf(inner, range),
      dispose: () => inner.dispose(),
    };
  }

  /** Wipes the key and leaves the store underneath open. */
  forget(): void {
    this.#isForgotten = true;
    wipe(this.#key);
  }

  async close(): Promise<void> {
    await this.inner.close();
    this.forget();
  }

  #getFrom(reader: StoreReader, key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const stored = reader.get(key);
    return stored === undefined ? undefined : this.open(key, stored);
  }

  /** An iteration begins where the inner one does: at once, not with its first entry. */
  #entriesOf(reader: StoreReader, range?: StoreRange): AsyncIterable<StoreEntry> {
    const entries = reader.entries(range);
    return { [Symbol.asyncIterator]: () => this.#opened(entries[Symbol.asyncIterator]()) };
  }

  async *#opened(entries: AsyncIterator<StoreEntry>): AsyncGenerator<StoreEntry> {
    try {
      for (let next = await entries.next(); next.done !== true; next = await entries.next()) {
        const [key, stored] = next.value;
        yield [key, this.open(key, stored)];
      }
    } finally {
      await entries.return?.();
    }
  }
}
