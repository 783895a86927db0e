/**
 * Work that may go on together, and work that must be alone: who waits to be alone is not passed by those that come
 * later.
 * @module
 */

export class AsyncTurn {
  readonly #sharing = new Set<Promise<unknown>>();
  #alone: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Performs work together with other shared work. */
  async shared<T>(work: () => Promise<T>): Promise<T> {
    while (this.#waiting > 0) await this.#alone.catch(() => undefined);
    const running = work();
    this.#sharing.add(running);
    try {
      return await running;
    } finally {
      this.#sharing.delete(running);
    }
  }

  /** Performs work while no other is going on. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const before = this.#alone;
    const running = (async () => {
      await before.catch(() => undefined);
      await Promise.allSettled(this.#sharing);
      return work();
    })();
    this.#alone = running;
    try {
      return await running;
    } finally {
      this.#waiting -= 1;
    }
  }
}
