/**
 * A Web Streams pair around a step that turns bytes into bytes. What a TransformStream lacks on the oldest Node we run
 * on is here: whatever ends the stream (a failure, an abort, a consumer who leaves, a signal), keys are wiped, and both
 * sides learn of it.
 * @module
 */
import {
  ReadableStream,
  type ReadableStreamDefaultController,
  type ReadableWritablePair,
  WritableStream,
  type WritableStreamDefaultController,
} from "node:stream/web";
import { takeTurn, TURN_BYTES } from "./turns.ts";

/** Bytes that wait on either side before the writer is asked to wait. */
const HIGH_WATER_BYTES = 1_048_576;

/** Turns bytes into bytes. Only one of its functions runs at a time, and none after `end`. */
export interface ByteStep {
  /** Takes a piece, and returns what can be given out. Must not keep the piece itself. */
  push(bytes: Uint8Array): Promise<readonly Uint8Array[]>;
  /** The source has ended: returns what is left. */
  finish(): Promise<readonly Uint8Array[]>;
  /** Wipes what the step holds. Called once, whatever happened. */
  end(): void;
}

/** A pair for `pipeThrough`, of bytes on both sides. */
export type ByteStreamPair = ReadableWritablePair<Uint8Array, Uint8Array>;

/** Returns the pair. Nothing happens before the first write or close. */
export function byteStream(step: ByteStep, signal?: AbortSignal): ByteStreamPair {
  const { readable, writable } = new ByteStream(step, signal);
  return { readable, writable };
}

/** The standard's controller: the declarations of the oldest Node lack its signal, which is there. */
type InputController = WritableStreamDefaultController & { readonly signal: AbortSignal };

class ByteStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #step: ByteStep;
  readonly #signal: AbortSignal | undefined;
  #output: ReadableStreamDefaultController<Uint8Array> | undefined;
  #input: InputController | undefined;
  #resume: (() => void) | undefined;
  #failure: { readonly reason: unknown } | undefined;
  #isEnded = false;
  #bytesThisTurn = 0;

  constructor(step: ByteStep, signal: AbortSignal | undefined) {
    this.#step = step;
    this.#signal = signal;
    const strategy = { highWaterMark: HIGH_WATER_BYTES, size: lengthOf };
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#output = controller;
        },
        pull: () => this.#resume?.(),
        cancel: (reason: unknown) => this.#fail(reason),
      },
      strategy,
    );
    this.writable = new WritableStream<Uint8Array>(
      {
        start: (controller) => {
          const input = controller as InputController;
          this.#input = input;
          // The sink's own abort waits for the write in flight, and that one may wait for a consumer that never comes.
          input.signal.addEventListener("abort", this.#onInputAbort, { once: true });
        },
        write: (piece) => this.#attempt(() => this.#write(piece)),
        close: () => this.#attempt(() => this.#close()),
      },
      strategy,
    );
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  async #write(piece: Uint8Array): Promise<void> {
    if (!(piece instanceof Uint8Array)) {
      throw new TypeError(`stream: expected chunks of Uint8Array, got ${typeof piece}`);
    }
    let at = 0;
    do {
      const part = piece.subarray(at, at + TURN_BYTES - this.#bytesThisTurn);
      at += part.length;
      this.#giveOut(await this.#step.push(part));
      while (this.#isFull()) await new Promise<void>((resolve) => (this.#resume = resolve));
      await this.#takeTurns(part.length);
      this.#throwFailure();
    } while (at < piece.length);
  }

  /** A source that is always ready would hold the event loop until its end, as streams go on in microtasks alone. */
  async #takeTurns(bytes: number): Promise<void> {
    this.#bytesThisTurn += bytes;
    if (this.#bytesThisTurn < TURN_BYTES) return;
    this.#bytesThisTurn = 0;
    await takeTurn();
  }

  async #close(): Promise<void> {
    this.#giveOut(await this.#step.finish());
    this.#throwFailure();
    this.#end();
    this.#output?.close();
  }

  async #attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#fail(error);
      // What has ended the stream counts, not what it led to.
      this.#throwFailure();
      throw error;
    }
  }

  #giveOut(pieces: readonly Uint8Array[]): void {
    if (this.#isEnded) return;
    for (const piece of pieces) if (piece.length > 0) this.#output?.enqueue(piece);
  }

  #isFull(): boolean {
    return !this.#isEnded && (this.#output?.desiredSize ?? 1) <= 0;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.reason;
  }

  readonly #onAbort = (): void => this.#fail(this.#signal?.reason);

  /** The input fails by itself then: an error of ours before would make its `abort()` reject. */
  readonly #onInputAbort = (): void => this.#failOutput(this.#input?.signal.reason);

  /** Both sides learn of it. A side that has ended already takes no notice. */
  #fail(reason: unknown): void {
    if (this.#isEnded) return;
    this.#failOutput(reason);
    this.#input?.error(reason);
  }

  #failOutput(reason: unknown): void {
    if (this.#isEnded) return;
    this.#failure = { reason };
    this.#end();
    this.#output?.error(reason);
    this.#resume?.();
  }

  #end(): void {
    this.#isEnded = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#input?.signal.removeEventListener("abort", this.#onInputAbort);
    this.#step.end();
  }
}

function lengthOf(piece: unknown): number {
  // Another kind of chunk is refused when it is written.
  return piece instanceof Uint8Array ? piece.length : 1;
}
