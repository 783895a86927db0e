/**
 * The store port in memory, for tests of applications: the same contract, nothing durable.
 * @module
 */
import { compare, copy, hex } from "../bytes.ts";
import {
  assertBatch,
  type Store,
  StoreClosedError,
  type StoreEntry,
  type StoreOperation,
  type StoreRange,
  type StoreReader,
  type StoreSnapshot,
} from "./store.ts";

// Never changed in place but by a write, and then replaced if anybody still reads it.
interface State {
  readonly values: Map<string, StoreEntry>;
  sorted: StoreEntry[] | undefined;
  isShared: boolean;
}

/** Returns an empty store that lives as long as it is referred to. */
export function openMemoryStore(): Store {
  return new MemoryStore();
}

class MemoryStore implements Store {
  #state: State = { values: new Map(), sorted: undefined, isShared: false };
  #isClosed = false;

  get(key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    return this.#reader(() => this.#state).get(key);
  }

  entries(range?: StoreRange): AsyncIterable<StoreEntry> {
    return this.#reader(() => this.#state).entries(range);
  }

  async write(batch: readonly StoreOperation[]): Promise<void> {
    this.#assertOpen();
    assertBatch(batch);
    if (batch.length === 0) return;
    if (this.#state.isShared) {
      this.#state = { values: new Map(this.#state.values), sorted: undefined, isShared: false };
    }
    const { values } = this.#state;
    for (const operation of batch) {
      const name = hex(operation.key);
      if (operation.type === "delete") values.delete(name);
      else values.set(name, [copy(operation.key), copy(operation.value)]);
    }
    this.#state.sorted = undefined;
  }

  async compact(): Promise<void> {
    this.#assertOpen();
  }

  snapshot(): StoreSnapshot {
    this.#assertOpen();
    const state = this.#state;
    state.isShared = true;
    let isDisposed = false;
    const reader = this.#reader(() => {
      if (isDisposed) throw new StoreClosedError();
      return state;
    });
    return {
      ...reader,
      dispose: () => {
        isDisposed = true;
        return Promise.resolve();
      },
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#state = { values: new Map(), sorted: undefined, isShared: false };
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StoreClosedError();
  }

  #reader(current: () => State): StoreReader {
    return {
      get: (key) => {
        this.#assertOpen();
        const entry = current().values.get(hex(key));
        return entry === undefined ? undefined : copy(entry[1]);
      },
      entries: (range = {}) => ({
        [Symbol.asyncIterator]: (): AsyncIterator<StoreEntry> => {
          this.#assertOpen();
          return this.#iterate(select(current(), range));
        },
      }),
    };
  }

  async *#iterate(entries: readonly StoreEntry[]): AsyncGenerator<StoreEntry, void, undefined> {
    for (const [key, value] of entries) {
      this.#assertOpen();
      yield [copy(key), copy(value)];
    }
  }
}

function select(state: State, { gte, gt, lt, limit, reverse }: StoreRange): readonly StoreEntry[] {
  state.sorted ??= [...state.values.values()].toSorted(([a], [b]) => compare(a, b));
  const selected = state.sorted.filter(
    ([key]) =>
      (gte === undefined || compare(key, gte) >= 0) &&
      (gt === undefined || compare(key, gt) > 0) &&
      (lt === undefined || compare(key, lt) < 0),
  );
  if (reverse === true) selected.reverse();
  return limit === undefined || limit < 0 ? selected : selected.slice(0, limit);
}
