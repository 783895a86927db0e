/**
 * One engine, opened anew after it failed: LevelDB refuses every write after a failed one, even when the cause,
 * such as a full disk, has passed.
 * @module
 */
import type { Store } from "./store.ts";

export class ReopenableStore {
  #open: () => Promise<Store>;
  #store: Store | undefined;
  #isClosed = false;

  constructor(open: () => Promise<Store>) {
    this.#open = open;
  }

  /** The open store, or undefined before {@link ReopenableStore.reopen} and after one that failed. */
  get current(): Store | undefined {
    return this.#store;
  }

  /** Closes what is open and opens anew. @throws CofferError of the engine; then nothing is open. */
  async reopen(): Promise<Store> {
    if (this.#isClosed) throw new Error("store: reopened after it was closed");
    await this.#release();
    this.#store = await this.#open();
    return this.#store;
  }

  /** Puts an open store into the place of the present one. @returns that one, for the caller to close. */
  replace(store: Store, open: () => Promise<Store>): Store | undefined {
    const old = this.#store;
    this.#store = store;
    this.#open = open;
    return old;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#release();
  }

  async #release(): Promise<void> {
    const store = this.#store;
    this.#store = undefined;
    await store?.close();
  }
}
