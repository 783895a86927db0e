/**
 * The store port: an ordered map from bytes to bytes, changed in atomic, durable batches. Another engine stands in
 * for LevelDB by implementing it; test/storage/store.contract.ts is the suite that it must pass.
 *
 * Keys order as unsigned bytes, shorter first. Everything handed out is a fresh plain `Uint8Array`; everything
 * taken in is copied before the call returns, so that the caller may wipe it at once.
 * @module
 */
import { IoError } from "../errors.ts";

export type StoreOperation =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: Uint8Array };

/** Bounds of a listing; one lower bound at most. `limit` counts entries; `reverse` starts at the upper end. */
export interface StoreRange {
  readonly gte?: Uint8Array;
  readonly gt?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly limit?: number;
  readonly reverse?: boolean;
}

export type StoreEntry = [key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>];

/** Reading, as both the store and a snapshot of it do. */
export interface StoreReader {
  /** Returns the value, or undefined when the key is absent. Synchronous: a few microseconds. */
  get(key: Uint8Array): Uint8Array<ArrayBuffer> | undefined;
  /**
   * Entries of a range in order. Each iteration sees one state, that of the moment when it starts, whatever is
   * written meanwhile. Leaving the loop early is fine.
   */
  entries(range?: StoreRange): AsyncIterable<StoreEntry>;
}

/** The store at one moment. Holds resources, and keeps old values from being compacted away, until disposed of. */
export interface StoreSnapshot extends StoreReader {
  /** Idempotent. */
  dispose(): Promise<void>;
}

export interface Store extends StoreReader {
  /**
   * Blocks of its files that were not what the engine had written when the store was opened. With any, a key may be
   * there that `get` does not find: an engine that searches an altered block passes it by. @defaultValue 0
   */
  readonly rottenBlocks?: number;
  /**
   * Applies a batch: all of it or nothing, durable when the promise resolves. A later operation on the same key
   * wins. An empty batch does nothing.
   * @throws StoreFailedError when the engine failed: close the store and open it anew, then read what holds.
   */
  write(batch: readonly StoreOperation[]): Promise<void>;
  /**
   * Rewrites the files that hold keys from `start` to `end`, both included, so that values deleted or replaced
   * before are gone from them, unless a snapshot or an iteration is open.
   */
  compact(start: Uint8Array, end: Uint8Array): Promise<void>;
  snapshot(): StoreSnapshot;
  /** Ends running iterations, waits for running writes, releases the files. Idempotent. */
  close(): Promise<void>;
}

/**
 * A write or compaction failed and the engine may refuse all others from now on, even when the cause has passed.
 * Whether the batch is durable is open: the layer above closes the store, opens it anew and reads. Every later
 * write of this handle fails with this error too; reads go on. A `COFFER_IO` where it meets an application.
 */
export class StoreFailedError extends IoError {}

/** The store was used after `close`, or closed during an iteration. */
export class StoreClosedError extends Error {
  constructor(options?: ErrorOptions) {
    super("store: used after it was closed", options);
    this.name = "StoreClosedError";
  }
}

/** Checks a batch before anything of it is applied. @throws TypeError where an operation is malformed. */
export function assertBatch(batch: readonly StoreOperation[]): void {
  for (const [index, operation] of batch.entries()) {
    const isPut = operation.type === "put";
    if (!isPut && operation.type !== "delete")
      throw new TypeError(`batch[${index}].type: expected put or delete`);
    if (!(operation.key instanceof Uint8Array))
      throw new TypeError(`batch[${index}].key: expected a Uint8Array`);
    if (operation.key.length === 0)
      throw new RangeError(`batch[${index}].key: expected at least 1 byte, got 0`);
    if (isPut && !(operation.value instanceof Uint8Array)) {
      throw new TypeError(`batch[${index}].value: expected a Uint8Array`);
    }
  }
}
