/**
 * Where the content of a new file comes from: bytes, a stream, or a file on disk.
 * @module
 */
import type { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { assertPath } from "../envelope/file-options.ts";
import type { SourceFile } from "../envelope/source-file.ts";
import { utf8 } from "../bytes.ts";

/**
 * Bytes (a string is taken as UTF-8), a Web Stream or any other async iterable of bytes, such as a stream of Node;
 * or the path of a file on disk.
 */
export type ContentSource = Uint8Array | string | AsyncIterable<Uint8Array> | { readonly path: string };

export type KnownSource =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | {
      readonly kind: "pieces";
      readonly pieces: AsyncIterable<Uint8Array>;
      /** How many bytes will come, as far as that is known: segments are chosen by it, and nothing depends on it. */
      readonly sizeBytes?: number;
    }
  | { readonly kind: "path"; readonly path: string }
  /** Open already, and closed by who has opened it. */
  | { readonly kind: "file"; readonly file: SourceFile };

/** @throws TypeError for anything else. */
export function sourceOf(content: ContentSource): KnownSource {
  if (content instanceof Uint8Array) return { kind: "bytes", bytes: content };
  if (typeof content === "string") return { kind: "bytes", bytes: utf8(content) };
  if (typeof content === "object" && content !== null) {
    if (Symbol.asyncIterator in content) return { kind: "pieces", pieces: content };
    if ("path" in content) {
      assertPath("content.path", content.path);
      return { kind: "path", path: content.path };
    }
  }
  throw new TypeError("content: expected bytes, a string, an async iterable of bytes, or { path }");
}

/**
 * Passes pieces on, and ends when the signal aborts, although the source may never say a word again. A source that has
 * more to give when this ends is told so, and not waited for.
 * @throws TypeError for what is no bytes, the signal's reason, and what the source throws.
 */
export async function* piecesOf(
  pieces: AsyncIterable<unknown>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const taking = new Taking(pieces);
  let refuse: (reason: unknown) => void = () => undefined;
  const onAbort = (): void => refuse(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      // A promise for each step: one for all of them would keep every piece for as long as it lives.
      const { done, value } = await new Promise<Step>((resolve, reject) => {
        refuse = reject;
        taking.next().then(resolve, reject);
      });
      if (done === true) return;
      if (!(value instanceof Uint8Array)) {
        throw new TypeError(`content: expected pieces of Uint8Array, got ${typeof value}`);
      }
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    taking.end(signal.reason);
  }
}

type Step = IteratorResult<unknown, unknown>;

/** What gives pieces one by one, and can be left at any moment, also while one is asked for. */
class Taking {
  readonly #next: () => Promise<Step>;
  /** Told false for a source that has ended or failed by itself. */
  readonly #leave: (hasMore: boolean, reason: unknown) => Promise<void>;
  #hasMore = true;

  constructor(pieces: AsyncIterable<unknown>) {
    if (isWebStream(pieces)) {
      // The stream's own iterator would wait for the piece that is asked for before it cancels.
      const reader = pieces.getReader();
      this.#next = async () => reader.read();
      this.#leave = async (hasMore, reason) => {
        const cancelled = hasMore ? reader.cancel(reason) : undefined;
        reader.releaseLock();
        await cancelled;
      };
      return;
    }
    const iterator = pieces[Symbol.asyncIterator]();
    this.#next = async () => iterator.next();
    this.#leave = async (hasMore) => {
      if (!hasMore) return;
      const returned = iterator.return?.();
      if (isNodeStream(pieces)) pieces.destroy();
      await returned;
    };
  }

  async next(): Promise<Step> {
    try {
      const next = await this.#next();
      if (next.done === true) this.#hasMore = false;
      return next;
    } catch (error) {
      this.#hasMore = false;
      throw error;
    }
  }

  /** Leaves the source, which may take any time to let go, or fail to: the error that led here is what counts. */
  end(reason: unknown): void {
    this.#leave(this.#hasMore, reason).catch(() => undefined);
  }
}

function isWebStream(pieces: object): pieces is ReadableStream<unknown> {
  return "getReader" in pieces && typeof pieces.getReader === "function";
}

/** A stream of Node: its iterator, too, would wait for the piece that is asked for. */
function isNodeStream(pieces: object): pieces is Readable {
  return (
    "pipe" in pieces &&
    typeof pieces.pipe === "function" &&
    "destroy" in pieces &&
    typeof pieces.destroy === "function"
  );
}
