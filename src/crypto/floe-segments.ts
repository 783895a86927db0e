/**
 * Seals and opens the segments of one FLOE message, each by its position and in any order, also in several threads.
 * Layout: `length field[4] ‖ nonce[12] ‖ ciphertext[n] ‖ tag[16]`; the field is `ffffffff` in an inner segment, whose
 * n is P exactly, and the segment's whole length in the last one, whose n is 0 to P. Source: docs/format.md#floe.
 * @module
 */
import { assertBytes, copy, readU32, u32 } from "../bytes.ts";
import { redact, wipe } from "../secret.ts";
import { openGcmSlices, sealGcmSlices } from "./aes-gcm.ts";
import { MalformedError } from "./failures.ts";
import {
  firstOfEpoch,
  FLOE_MAX_SEGMENTS,
  FLOE_SEGMENT_OVERHEAD_BYTES,
  segmentKey,
  type FloeKeys,
} from "./floe.ts";
import { noncePool, type NextNonce } from "./nonce-pool.ts";
import { releaseMemory } from "./released-memory.ts";

const NONCE_AT = 4;
const CIPHERTEXT_AT = 16;
const INNER_FIELD = 0xffff_ffff;
const INNER_FIELD_BYTES: Uint8Array = u32(INNER_FIELD);
/** Where a segment stands: decided by the reader's own arithmetic, never read from the segment. */
export interface FloeSegment {
  /** Zero-based. */
  readonly position: number;
  /** True for exactly one segment of a message, the one after all others. */
  readonly isLast: boolean;
}

/**
 * The segments of one message. Each operation comes in three forms: into a new array, into the caller's memory, and
 * as the slices that the cipher made, which `writev` can take without a copy. Keeps the key of one epoch;
 * {@link FloeSegments.close} wipes all keys.
 */
export class FloeSegments {
  /** P: plaintext of every segment but the last, in bytes. */
  readonly plaintextBytes: number;
  readonly #keys: FloeKeys;
  readonly #nextNonce: NextNonce;
  #epochFirst = -1;
  #epochKey: Uint8Array | undefined;
  readonly #aad = new Uint8Array(9);
  readonly #aadView = new DataView(this.#aad.buffer);
  #isClosed = false;

  /** Takes the keys over: they are wiped on close. The nonces are another source's in tests only. */
  constructor(keys: FloeKeys, nextNonce: NextNonce = noncePool()) {
    this.#keys = keys;
    this.#nextNonce = nextNonce;
    this.plaintextBytes = keys.segmentBytes - FLOE_SEGMENT_OVERHEAD_BYTES;
  }

  /** E: length of every sealed segment but the last, in bytes. */
  get segmentBytes(): number {
    return this.#keys.segmentBytes;
  }

  /** Returns copies of the keys, to send to a worker that does a part of this message. The receiver wipes them. */
  shareKeys(): FloeKeys {
    this.#assertOpen();
    const { messageKey, iv, aad } = this.#keys;
    return { ...this.#keys, messageKey: copy(messageKey), iv: copy(iv), aad: copy(aad) };
  }

  /**
   * Returns the sealed segment in a new array. No position may be sealed twice in one message.
   * @throws RangeError for a position or plaintext length that the message cannot have.
   */
  seal(segment: FloeSegment, plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    return joined(this.sealSlices(segment, plaintext));
  }

  /**
   * Writes the sealed segment to the start of `sealed` and returns its length. The two arrays must not overlap.
   * @throws RangeError as {@link FloeSegments.seal}, and if `sealed` is too short.
   */
  sealInto(segment: FloeSegment, plaintext: Uint8Array, sealed: Uint8Array): number {
    assertBytes("plaintext", plaintext);
    assertRoom("sealed", sealed, plaintext.length + FLOE_SEGMENT_OVERHEAD_BYTES);
    return place(this.sealSlices(segment, plaintext), sealed);
  }

  /** Returns the sealed segment in parts to be written one after the other, on memory that nobody else uses. */
  sealSlices({ position, isLast }: FloeSegment, plaintext: Uint8Array): Uint8Array[] {
    this.#assertOpen();
    assertBytes("plaintext", plaintext);
    this.#assertSealable(position, isLast, plaintext.length);
    const head = new Uint8Array(CIPHERTEXT_AT);
    const nonce = head.subarray(NONCE_AT);
    nonce.set(this.#nextNonce());
    head.set(isLast ? u32(plaintext.length + FLOE_SEGMENT_OVERHEAD_BYTES) : INNER_FIELD_BYTES);
    const key = this.#keyOf(position);
    const slices = sealGcmSlices({ key, nonce, aad: this.#gcmAad(position, isLast), plaintext });
    slices.unshift(head);
    return slices;
  }

  /**
   * Returns the segment's plaintext in a new array, only after its tag was verified.
   * @throws MalformedError for a position, length or length field that does not belong there: no key was used.
   * @throws AuthenticationError for any other change of key, aad, position or bytes.
   */
  open(segment: FloeSegment, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
    return joined(this.openSlices(segment, sealed));
  }

  /**
   * Writes the plaintext to the start of `plaintext`, only after its tag was verified, and returns its length.
   * @throws RangeError if `plaintext` is too short; else as {@link FloeSegments.open}, with nothing written.
   */
  openInto(segment: FloeSegment, sealed: Uint8Array, plaintext: Uint8Array): number {
    assertBytes("sealed", sealed);
    assertRoom("plaintext", plaintext, sealed.length - FLOE_SEGMENT_OVERHEAD_BYTES);
    return place(this.openSlices(segment, sealed), plaintext);
  }

  /** Returns the plaintext in parts, all of them after the tag was verified, on memory that nobody else uses. */
  openSlices({ position, isLast }: FloeSegment, sealed: Uint8Array): Uint8Array[] {
    this.#assertOpen();
    assertBytes("sealed", sealed);
    if (!isPosition(position, isLast)) throw new MalformedError("position");
    this.#assertForm(isLast, sealed);
    return openGcmSlices({
      key: this.#keyOf(position),
      nonce: sealed.subarray(NONCE_AT, CIPHERTEXT_AT),
      aad: this.#gcmAad(position, isLast),
      sealed: sealed.subarray(CIPHERTEXT_AT),
    });
  }

  /** Wipes the keys; every later call is an error. */
  close(): void {
    this.#isClosed = true;
    wipe(this.#keys.messageKey, this.#epochKey);
    this.#epochKey = undefined;
  }

  #assertSealable(position: number, isLast: boolean, length: number): void {
    if (!isPosition(position, isLast)) {
      const most = FLOE_MAX_SEGMENTS - (isLast ? 1 : 2);
      throw new RangeError(`position: expected 0 to ${most}, got ${position}`);
    }
    if (length > this.plaintextBytes || (!isLast && length < this.plaintextBytes)) {
      const expected = isLast ? `0 to ${this.plaintextBytes}` : `${this.plaintextBytes}`;
      throw new RangeError(`plaintext: expected ${expected} bytes, got ${length}`);
    }
  }

  /** Compares length and field with what is known already. The field lies outside GCM: nothing else covers it. */
  #assertForm(isLast: boolean, sealed: Uint8Array): void {
    const { length } = sealed;
    const { segmentBytes } = this.#keys;
    const isOfLength = isLast
      ? length >= FLOE_SEGMENT_OVERHEAD_BYTES && length <= segmentBytes
      : length === segmentBytes;
    if (!isOfLength) throw new MalformedError("segment length");
    if (readU32(sealed, 0) !== (isLast ? length : INNER_FIELD)) throw new MalformedError("length field");
  }

  #keyOf(position: number): Uint8Array {
    const first = firstOfEpoch(position, this.#keys.rotationBits);
    if (this.#epochKey === undefined || first !== this.#epochFirst) {
      wipe(this.#epochKey);
      this.#epochKey = segmentKey(this.#keys, first);
      this.#epochFirst = first;
    }
    return this.#epochKey;
  }

  /**
   * `u64 position ‖ final`: neither the length field nor the message's aad, which the keys cover. The same array each
   * time: the cipher has taken it in when it returns.
   */
  #gcmAad(position: number, isLast: boolean): Uint8Array {
    this.#aadView.setUint32(0, Math.floor(position / 2 ** 32));
    this.#aadView.setUint32(4, position % 2 ** 32);
    this.#aad[8] = isLast ? 1 : 0;
    return this.#aad;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new TypeError("segments: used after close");
  }

  static {
    redact(this, "[FloeSegments]");
  }
}

function isPosition(position: number, isLast: boolean): boolean {
  return Number.isInteger(position) && position >= 0 && position < FLOE_MAX_SEGMENTS - (isLast ? 0 : 1);
}

/** Joins what nobody else has. */
function joined(slices: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const lengthBytes = slices.reduce((sum, slice) => sum + slice.length, 0);
  const bytes = new Uint8Array(lengthBytes);
  place(slices, bytes);
  return bytes;
}

function place(slices: readonly Uint8Array[], target: Uint8Array): number {
  let at = 0;
  for (const slice of slices) {
    target.set(slice, at);
    at += slice.length;
  }
  releaseMemory(slices);
  return at;
}

function assertRoom(name: string, target: Uint8Array, lengthBytes: number): void {
  assertBytes(name, target);
  if (target.length < lengthBytes) {
    throw new RangeError(`${name}: expected room for ${lengthBytes} bytes, got ${target.length}`);
  }
}
