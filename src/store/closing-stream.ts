/**
 * A stream that owns the file it reads: the file is closed when the stream ends, however it does, and when nobody can
 * read the stream any more.
 * @module
 */
import { ReadableStream, type ReadableStreamDefaultController } from "node:stream/web";
import type { StoredFile } from "./read-content.ts";

/** Told of streams that were dropped: neither read to their ends nor cancelled. */
const dropped = new FinalizationRegistry<OwnedFile>((file) => void file.close());

/** Closes the file when the stream ends, and ends the stream with an error when the signal aborts. */
export function closingStream(
  pieces: ReadableStream<Uint8Array>,
  file: StoredFile,
  signal: AbortSignal,
): ReadableStream<Uint8Array> {
  const reader = pieces.getReader();
  const owned = new OwnedFile(file, signal);
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (controller) => owned.watch(controller),
      async pull(controller) {
        try {
          const { value, done } = await reader.read();
          signal.throwIfAborted();
          if (!done) return controller.enqueue(value);
          await owned.close();
          signal.throwIfAborted();
          controller.close();
        } catch (error) {
          await owned.close();
          throw error;
        }
      },
      cancel: () => owned.close(),
    },
    { highWaterMark: 0 },
  );
  dropped.register(stream, owned, owned);
  return stream;
}

/**
 * What the signal and the registry hold. Nothing in it leads to the stream, or none would ever be dropped; whoever waits
 * for a piece, or can still ask for one, leads to the stream.
 */
class OwnedFile {
  readonly #file: StoredFile;
  readonly #signal: AbortSignal;
  #controller: WeakRef<ReadableStreamDefaultController<Uint8Array>> | undefined;

  constructor(file: StoredFile, signal: AbortSignal) {
    this.#file = file;
    this.#signal = signal;
  }

  /** Ends the stream of this controller when the signal aborts. */
  watch(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = new WeakRef(controller);
    if (this.#signal.aborted) this.#onAbort();
    else this.#signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    dropped.unregister(this);
    this.#signal.removeEventListener("abort", this.#onAbort);
    await this.#file.close();
  }

  readonly #onAbort = (): void => {
    this.#controller?.deref()?.error(this.#signal.reason);
    void this.close();
  };
}
