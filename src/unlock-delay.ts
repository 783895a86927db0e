/**
 * A wait that grows with each wrong secret given to one handle. It slows somebody down who tries secrets through
 * this program. It is no defence against a copied vault: there the passphrase and Argon2id are all.
 * @module
 */
import type { TimeSource } from "./auto-lock.ts";

const FIRST_MS = 250;
const MOST_MS = 30_000;

export class UnlockDelay {
  readonly #time: TimeSource;
  #failures = 0;
  #failedAtMs = 0;

  constructor(time: TimeSource) {
    this.#time = time;
  }

  /** Waits until the next secret may be tried: 250 ms after a wrong one, twice that after each more, at most 30 s. */
  async wait(signal: AbortSignal): Promise<void> {
    const sinceMs = this.#time.monotonicMs() - this.#failedAtMs;
    const leftMs = delayAfter(this.#failures) - sinceMs;
    if (leftMs <= 0) return;
    await new Promise<void>((resolve, reject) => {
      const cancel = this.#time.timer(
        () => {
          signal.removeEventListener("abort", abort);
          resolve();
        },
        leftMs,
        false,
      );
      const abort = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
    });
  }

  /** A secret was wrong. */
  failed(): void {
    this.#failures += 1;
    this.#failedAtMs = this.#time.monotonicMs();
  }

  /** A secret was right. */
  passed(): void {
    this.#failures = 0;
  }
}

function delayAfter(failures: number): number {
  return failures === 0 ? 0 : Math.min(FIRST_MS * 2 ** (failures - 1), MOST_MS);
}
