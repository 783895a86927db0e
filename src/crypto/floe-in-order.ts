/**
 * FLOE from the first byte to the last, for sources whose length is not known: seals what comes, opens what comes.
 * Nothing here reads or writes: bytes go in, whole segments come out. Source: docs/format.md#floe.
 * @module
 */
import { assertBytes, concat } from "../bytes.ts";
import { wipe } from "../secret.ts";
import type { FloeSegments } from "./floe-segments.ts";
import { ownMemory } from "./own-memory.ts";
import { releaseMemory } from "./released-memory.ts";

/**
 * Seals plaintext in order. Keeps back up to P bytes until more follow, so that a message that is not empty never ends
 * in an empty segment. An interrupted message is not continued: begin again with a new key.
 */
export class FloeSealer {
  readonly #segments: FloeSegments;
  readonly #held: HeldBytes;
  #position = 0;
  #isDone = false;

  /** Borrows the segments: who made them closes them. */
  constructor(segments: FloeSegments) {
    this.#segments = segments;
    this.#held = new HeldBytes(segments.plaintextBytes);
  }

  /** Returns the segments that are now complete, sealed, each in parts. Copies what it keeps of `plaintext`. */
  push(plaintext: Uint8Array): Uint8Array<ArrayBuffer>[] {
    this.#assertGoing();
    const sealed: Uint8Array<ArrayBuffer>[] = [];
    this.#held.push(plaintext, (whole) => {
      sealed.push(...inParts(this.#segments.sealSlices({ position: this.#position, isLast: false }, whole)));
      this.#position += 1;
    });
    return sealed;
  }

  /** Returns the last segment, sealed. Nothing can follow. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#assertGoing();
    this.#isDone = true;
    const sealed = this.#segments.seal({ position: this.#position, isLast: true }, this.#held.rest);
    this.#held.wipe();
    return sealed;
  }

  #assertGoing(): void {
    if (this.#isDone) throw new TypeError("sealer: used after the last segment");
  }
}

/**
 * Opens sealed bytes in order: the header went before. All that it returns is a true prefix of the plaintext; the
 * message is complete only when {@link FloeOpener.finish} has returned. A failure is final: every later call repeats
 * it.
 */
export class FloeOpener {
  readonly #segments: FloeSegments;
  readonly #held: HeldBytes;
  #position = 0;
  #isDone = false;
  #failure: { readonly error: unknown } | undefined;

  /** Borrows the segments: who made them closes them. */
  constructor(segments: FloeSegments) {
    this.#segments = segments;
    this.#held = new HeldBytes(segments.segmentBytes);
  }

  /**
   * Returns the plaintext of the inner segments that are now complete, each in parts, as the cipher made them. Where a later one of them fails, the earlier
   * ones are returned first, and the next call throws.
   * @throws MalformedError, AuthenticationError as `FloeSegments.open`.
   */
  push(sealed: Uint8Array): Uint8Array<ArrayBuffer>[] {
    this.#assertGoing();
    const opened: Uint8Array<ArrayBuffer>[] = [];
    try {
      this.#held.push(sealed, (whole) => {
        const slices = this.#segments.openSlices({ position: this.#position, isLast: false }, whole);
        for (const slice of slices) opened.push(ownMemory(slice));
        this.#position += 1;
      });
    } catch (error) {
      this.#failure = { error };
      if (opened.length === 0) throw error;
    }
    return opened;
  }

  /**
   * Says that the source has ended, and returns the plaintext of what is left, which must be the last segment.
   * An error of the source is not its end: do not call this then.
   */
  finish(): Uint8Array<ArrayBuffer> {
    this.#assertGoing();
    try {
      const plaintext = this.#segments.open({ position: this.#position, isLast: true }, this.#held.rest);
      this.#isDone = true;
      return plaintext;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  #assertGoing(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#isDone) throw new TypeError("opener: used after the last segment");
  }
}

/**
 * Joins the few bytes at both ends of a segment with their neighbours, so that nobody gets parts of 16 bytes, and leaves
 * the others as the cipher made them: to make one array of a long segment would be new memory for all of it.
 */
function inParts(slices: readonly Uint8Array[]): Uint8Array<ArrayBuffer>[] {
  if (slices.length < 4) return [joined(slices)];
  const [begin, end] = [slices.slice(0, 2), slices.slice(-2)];
  return [joined(begin), ...slices.slice(2, -2).map((slice) => ownMemory(slice)), joined(end)];
}

/** Takes the slices' memory over. */
function joined(slices: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = concat(...slices);
  releaseMemory(slices);
  return whole;
}

/** Cuts what is pushed into pieces of `pieceBytes`, and gives one out only when a byte more is there. */
class HeldBytes {
  readonly #held: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(pieceBytes: number) {
    this.#held = new Uint8Array(pieceBytes);
  }

  /** What no whole piece could be made of yet, in a view. */
  get rest(): Uint8Array {
    return this.#held.subarray(0, this.#length);
  }

  /** Lends each piece to `use`: of `bytes` itself, without a copy, where a whole piece lies in it. */
  push(bytes: Uint8Array, use: (piece: Uint8Array) => void): void {
    assertBytes("bytes", bytes);
    const pieceBytes = this.#held.length;
    let at = 0;
    if (this.#length > 0 && this.#length + bytes.length > pieceBytes) {
      at = pieceBytes - this.#length;
      this.#held.set(bytes.subarray(0, at), this.#length);
      this.#length = 0;
      use(this.#held);
    }
    for (; bytes.length - at > pieceBytes; at += pieceBytes) use(bytes.subarray(at, at + pieceBytes));
    this.#held.set(bytes.subarray(at), this.#length);
    this.#length += bytes.length - at;
  }

  wipe(): void {
    wipe(this.#held);
    this.#length = 0;
  }
}
