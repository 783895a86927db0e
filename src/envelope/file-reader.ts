/**
 * Random access to an encrypted file: any range of its plaintext, each segment verified before a byte of it is given
 * out. Source: docs/format.md#file [F-206] [F-207].
 * @module
 */
import type { ReadableStream } from "node:stream/web";
import { FLOE_SEGMENT_OVERHEAD_BYTES } from "../crypto/floe.ts";
import { redact, wipe } from "../secret.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import { isCofferError } from "../errors.ts";
import { fileFailure, unopenedFile } from "./file-failures.ts";
import type { ContextOptions } from "./file-options.ts";
import type { KeyAccess } from "./key-access.ts";
import { type KnownEnvelope, type OpenedEnvelope, openEnvelope } from "./open-envelope.ts";
import { assertCount, type ByteRange, RangeStreams } from "./range-streams.ts";
import { openSource, readExactly, type SourceFile } from "./source-file.ts";

/** Opened segments that are kept, so that small reads one after another open each once. */
const KEPT_SEGMENTS = 2;

/** How a reader is opened. */
export interface ReaderOptions extends ContextOptions {
  /** Told at each read, so that nobody takes the owner of the key for idle. */
  readonly onUse?: (() => void) | undefined;
}

/** An encrypted file, open for reading. Close it: until then its keys are in memory. */
export class FileReader {
  /** Length of the plaintext in bytes, proven. */
  readonly size: number;
  readonly #source: SourceFile;
  readonly #envelope: KnownEnvelope & Partial<OpenedEnvelope>;
  readonly #kept = new Map<number, Uint8Array>();
  readonly #streams = new RangeStreams();
  readonly #signal: AbortSignal | undefined;
  readonly #onUse: (() => void) | undefined;
  #ended: { readonly reason: unknown } | undefined;
  #closing: Promise<void> | undefined;

  /** Not for applications: `openFile` makes readers. Takes all over. */
  constructor(
    source: SourceFile,
    envelope: KnownEnvelope | OpenedEnvelope,
    { signal, onUse }: ReaderOptions,
  ) {
    this.#source = source;
    this.#envelope = envelope;
    this.#signal = signal;
    this.#onUse = onUse;
    this.size = envelope.plan.plaintextBytes;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
  }

  /**
   * Returns `length` bytes from `offset`, in a new array; fewer only where the file ends. All of it is verified.
   * @throws RangeError unless both are integers from 0 on. @throws InvalidCiphertextError, SourceChangedError, IoError.
   */
  async read(offset: number, length: number): Promise<Uint8Array> {
    assertCount("offset", offset);
    assertCount("length", length);
    this.#assertOpen();
    this.#onUse?.();
    const end = Math.min(offset + length, this.size);
    const bytes = new Uint8Array(Math.max(0, end - offset));
    const { segmentPlaintextBytes } = this.#envelope.plan;
    for (let at = offset; at < end;) {
      const position = Math.floor(at / segmentPlaintextBytes);
      const from = at - position * segmentPlaintextBytes;
      const plaintext = await this.#segment(position);
      if (this.#ended !== undefined) {
        // Closed meanwhile: the segment may be wiped by now, and zeros must not pass for plaintext.
        wipe(bytes);
        throw this.#ended.reason;
      }
      const part = plaintext.subarray(from, from + end - at);
      bytes.set(part, at - offset);
      at += part.length;
    }
    return bytes;
  }

  /**
   * Returns a range as a stream. What comes is verified piece by piece: a failure, and the reader's close before the
   * stream's end, ends it with an error, never with a clean end.
   * @throws RangeError for a range that is none.
   */
  stream(range: ByteRange = {}): ReadableStream<Uint8Array> {
    this.#assertOpen();
    return this.#streams.begin(this, range, this.#envelope.plan.segmentPlaintextBytes);
  }

  /** Wipes the keys and closes the file; running reads fail. Idempotent. */
  async close(): Promise<void> {
    this.#end(new TypeError("reader: used after close"));
    this.#closing ??= this.#source.handle.close();
    await this.#closing;
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  static {
    redact(this, "[FileReader]");
  }

  readonly #onAbort = (): void => {
    this.#end(this.#signal?.reason);
    this.#closing ??= this.#source.handle.close();
    this.#closing.catch(() => undefined);
  };

  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#envelope.segments.close();
    wipe(this.#envelope.lastPlaintext, ...this.#kept.values());
    this.#kept.clear();
    this.#streams.end(reason);
  }

  #assertOpen(): void {
    if (this.#ended !== undefined) throw this.#ended.reason;
  }

  async #segment(position: number): Promise<Uint8Array> {
    const { plan, lastPlaintext, segments } = this.#envelope;
    this.#assertOpen();
    const isLast = position === plan.segments - 1;
    if (isLast && lastPlaintext !== undefined) return lastPlaintext;
    const kept = this.#kept.get(position);
    if (kept !== undefined) return kept;
    const segmentBytes = plan.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES;
    const missing = isLast ? plan.segments * plan.segmentPlaintextBytes - plan.plaintextBytes : 0;
    let sealed: Uint8Array;
    try {
      sealed = await readExactly(
        this.#source,
        segmentBytes - missing,
        plan.sourceAt + position * segmentBytes,
      );
    } catch (error) {
      // Closed meanwhile: that is what the caller is told.
      this.#assertOpen();
      // Where the length is known from elsewhere, the file may always have been shorter.
      const isCut = lastPlaintext === undefined && isCofferError(error, "COFFER_SOURCE_CHANGED");
      throw isCut ? unopenedFile(position) : error;
    }
    this.#assertOpen();
    let plaintext: Uint8Array;
    try {
      plaintext = segments.open({ position, isLast }, sealed);
    } catch (error) {
      throw fileFailure(error, position);
    }
    this.#keep(position, plaintext);
    return plaintext;
  }

  #keep(position: number, plaintext: Uint8Array): void {
    this.#kept.set(position, plaintext);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_SEGMENTS) break;
      this.#kept.delete(oldest);
    }
  }
}

/** Opens a file for reading; its length is proven when the promise resolves. @throws as `openEnvelope`. */
export async function openFileWith(
  ground: EnvelopeGround,
  access: KeyAccess,
  path: string,
  options: ReaderOptions,
): Promise<FileReader> {
  const { encryptionContext: context, signal } = options;
  signal?.throwIfAborted();
  const source = await openSource(ground.fs, path);
  try {
    const envelope = await openEnvelope(source, { access, context, report: ground.report, signal });
    wipe(envelope.dek);
    return new FileReader(source, envelope, options);
  } catch (error) {
    await source.handle.close().catch(() => undefined);
    throw error;
  }
}
