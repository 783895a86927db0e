/**
 * Streams over ranges of a reader. They end with it: what was read ahead is dropped then, and no end is a clean one.
 * @module
 */
import { ReadableStream, type ReadableStreamDefaultController } from "node:stream/web";
import { wipe } from "../secret.ts";

/** A part of the plaintext, in bytes: from `start`, 0 if left out, up to and without `end`, the size if left out. */
export interface ByteRange {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

/** What is read in pieces. */
export interface RangeSource {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

/** Forgets streams that were dropped: neither read to their ends nor cancelled. */
const dropped = new FinalizationRegistry<{
  readonly open: Set<WeakRef<Controller>>;
  readonly own: WeakRef<Controller>;
}>(({ open, own }) => void open.delete(own));

/** The streams of one reader that have not ended. */
export class RangeStreams {
  /** Weakly: with a stream that was dropped, what it has read ahead would stay until the reader is closed. */
  readonly #open = new Set<WeakRef<Controller>>();

  /** Streams a range, in pieces that end at multiples of `pieceBytes`. @throws RangeError for a range that is none. */
  begin(
    source: RangeSource,
    { start = 0, end = source.size }: ByteRange,
    pieceBytes: number,
  ): ReadableStream<Uint8Array> {
    assertCount("start", start);
    assertCount("end", end);
    if (end < start) throw new RangeError(`end: expected ${start} or more, got ${end}`);
    const stop = Math.min(end, source.size);
    let at = start;
    let own: WeakRef<Controller> | undefined;
    const leave = (): boolean => own !== undefined && this.#open.delete(own);
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          own = new WeakRef(controller);
          this.#open.add(own);
          dropped.register(controller, { open: this.#open, own });
        },
        // Closes only once the last piece was taken: until then the stream can still be ended.
        pull: async (controller) => {
          if (at >= stop) {
            leave();
            return controller.close();
          }
          try {
            const piece = await source.read(at, Math.min(pieceBytes - (at % pieceBytes), stop - at));
            if (own === undefined || !this.#open.has(own)) return wipe(piece);
            at += piece.length;
            controller.enqueue(piece);
          } catch (error) {
            leave();
            throw error;
          }
        },
        cancel: () => void leave(),
      },
      { highWaterMark: 1 },
    );
  }

  /** Ends them all with an error. */
  end(reason: unknown): void {
    for (const own of this.#open) own.deref()?.error(reason);
    this.#open.clear();
  }
}

/** @throws RangeError unless it is an integer from 0 on. */
export function assertCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name}: expected an integer from 0 on, got ${value}`);
  }
}
