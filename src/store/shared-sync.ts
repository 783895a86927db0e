/**
 * One flush for all who ask for it while another one runs: what they want durable was written before they asked.
 * @module
 */

export class SharedSync {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Resolves when a flush that began after this call has ended; rejects as it does. */
  run(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    // The one under way may have passed over what the caller wrote last.
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  #start(): Promise<void> {
    const running = this.#sync().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
