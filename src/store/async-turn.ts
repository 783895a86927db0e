/**
 * Work that may go on together, and work that must be alone. Who comes first begins first: who waits to be alone is
 * not passed by those that come later.
 * @module
 */

interface Waiting {
  readonly isAlone: boolean;
  readonly signal: AbortSignal | undefined;
  readonly begin: () => void;
}

export class AsyncTurn {
  #sharing = 0;
  #isTaken = false;
  readonly #waiting: Waiting[] = [];

  /** Performs work together with other shared work. @throws the signal's reason, when it aborts before the work begins. */
  shared<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#perform(false, work, signal);
  }

  /** Performs work while no other is going on. @throws as {@link AsyncTurn.shared}. */
  alone<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#perform(true, work, signal);
  }

  async #perform<T>(isAlone: boolean, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    if (this.#waiting.length === 0 && this.#isFree(isAlone)) this.#take(isAlone);
    else await this.#wait(isAlone, signal);
    try {
      return await work();
    } finally {
      if (isAlone) this.#isTaken = false;
      else this.#sharing -= 1;
      this.#admit();
    }
  }

  #isFree(isAlone: boolean): boolean {
    return !this.#isTaken && !(isAlone && this.#sharing > 0);
  }

  #take(isAlone: boolean): void {
    if (isAlone) this.#isTaken = true;
    else this.#sharing += 1;
  }

  /** Resolves with the turn taken. */
  #wait(isAlone: boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const waiting = { isAlone, signal, begin };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal?.reason as Error);
        // It may have been all that the next ones waited for.
        this.#admit();
      };
      this.#waiting.push(waiting);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #admit(): void {
    for (;;) {
      const [next] = this.#waiting;
      // One that gives up is told so itself, and then this is called again.
      if (next === undefined || next.signal?.aborted === true || !this.#isFree(next.isAlone)) return;
      this.#waiting.shift();
      this.#take(next.isAlone);
      next.begin();
    }
  }
}
