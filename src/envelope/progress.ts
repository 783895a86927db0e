/**
 * Tells how far a long work is: never backwards, and not more often than an eye can follow.
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";

/** Least time between two reports, in milliseconds. */
export const PROGRESS_INTERVAL_MS = 50;

/** Plaintext bytes done and to do. */
export interface FileProgress {
  readonly bytes: number;
  readonly totalBytes: number;
}

/**
 * Is told how far a work is. The last call, of all bytes, comes when everything is written and before the result gets
 * its name: what a listener throws ends the work at that moment as at any other, and the work may still fail after it.
 */
export type ProgressListener = (progress: FileProgress) => void;

/** What a listener throws ends the work, as its result. */
export class Progress {
  readonly #listener: ProgressListener | undefined;
  readonly #totalBytes: number;
  #bytes = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(listener: ProgressListener | undefined, totalBytes: number) {
    this.#listener = listener;
    this.#totalBytes = totalBytes;
  }

  /** Counts bytes that are done, and tells the listener when it is time. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#totalBytes && this.#waitMs() <= 0) this.#tell();
  }

  /** Tells that all is done. Called before the result gets its name: a listener that throws must leave nothing. */
  async finish(): Promise<void> {
    if (this.#listener === undefined) return;
    // A timer may be a little early.
    for (let waitMs = this.#waitMs(); waitMs > 0; waitMs = this.#waitMs()) await delay(Math.ceil(waitMs));
    this.#bytes = this.#totalBytes;
    this.#tell();
  }

  #waitMs(): number {
    return this.#toldAtMs + PROGRESS_INTERVAL_MS - performance.now();
  }

  #tell(): void {
    this.#listener?.({ bytes: this.#bytes, totalBytes: this.#totalBytes });
    this.#toldAtMs = performance.now();
  }
}
