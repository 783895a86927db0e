/**
 * FLOE with AES-256-GCM and HKDF-Expand-SHA-384: one message of up to 2^40 segments, each opened alone by its
 * position. This file makes and checks the header and does the arithmetic; floe-segments.ts seals and opens segments.
 * Header: `params[10] ‖ IV[32] ‖ header tag[32]`. Source: C2SP FLOE.md, restated in docs/format.md#floe.
 * @module
 */
import { assertBytes, concat, copy, equal, u32, u64, utf8 } from "../bytes.ts";
import { AuthenticationError, MalformedError } from "./failures.ts";
import { expand } from "./hkdf.ts";
import { randomFor } from "./random.ts";

const FLOE_KEY_BYTES = 32;
export const FLOE_HEADER_BYTES = 74;
/** Length of a sealed segment minus its plaintext: length field 4, nonce 12, tag 16. */
export const FLOE_SEGMENT_OVERHEAD_BYTES = 32;
/** Positions count from 0; the last segment may have the highest, 2^40 − 1, an inner one may not. */
export const FLOE_MAX_SEGMENTS: number = 2 ** 40;

const IV_AT = 10;
const TAG_AT = 42;
const IV_BYTES = TAG_AT - IV_AT;
const TAG_BYTES = FLOE_HEADER_BYTES - TAG_AT;
const MESSAGE_KEY_BYTES = 48;
const SEGMENT_KEY_BYTES = 32;
const MAX_SEGMENT_BYTES = 2 ** 32 - 1;
/** A segment key serves 2^20 positions. */
const ROTATION_BITS = 20;

// The labels end in a colon and have no zero byte.
const HEADER_TAG_LABEL = "HEADER_TAG:";
const MESSAGE_KEY_LABEL = "MESSAGE_KEY:";
const SEGMENT_KEY_LABEL = "DEK:";

/** Which message, and how it is cut: what the floe key is needed for, and nothing of it is secret. */
export interface FloeInput {
  /** Any bytes; must be given again to open. */
  readonly aad: Uint8Array;
  /** Length of a whole sealed segment, E: its plaintext P and 32 more. The format has checked it. */
  readonly segmentBytes: number;
}

/**
 * All that segments need: plain bytes, so that a worker can be sent them. `messageKey` is secret; who holds this
 * object wipes it.
 */
export interface FloeKeys extends FloeInput {
  readonly messageKey: Uint8Array<ArrayBuffer>;
  readonly iv: Uint8Array<ArrayBuffer>;
  /** How many low bits of a position share a key: 20. Others are for published vectors only. */
  readonly rotationBits: number;
}

/** How many segments a body has, and how long its last one and its plaintext are, in bytes. */
export interface FloeLayout {
  readonly segments: number;
  readonly lastSegmentBytes: number;
  /** To be told only after the last segment was opened as the last. */
  readonly plaintextBytes: number;
}

/**
 * Begins a message: draws its IV and returns its header and keys. One floe key serves one message.
 * @throws RangeError unless the key has 32 bytes and `segmentBytes` is 33 to 2^32 − 1.
 */
export function createFloe(
  key: Uint8Array,
  input: FloeInput,
): { header: Uint8Array<ArrayBuffer>; keys: FloeKeys } {
  assertInput(key, input);
  return createFloeWithIv(key, input, randomFor(IV_BYTES, key, input.aad));
}

/** Returns the tag of a header, 32 bytes, in a new array. */
export function floeHeaderTag(header: Uint8Array): Uint8Array<ArrayBuffer> {
  assertBytes("header", header, FLOE_HEADER_BYTES);
  return copy(header.subarray(TAG_AT));
}

/** Begins a message with a given IV: for known answers only. */
export function createFloeWithIv(
  key: Uint8Array,
  input: FloeInput,
  iv: Uint8Array,
  rotationBits: number = ROTATION_BITS,
): { header: Uint8Array<ArrayBuffer>; keys: FloeKeys } {
  assertInput(key, input);
  assertBytes("iv", iv, IV_BYTES);
  const header = concat(params(input.segmentBytes), iv, new Uint8Array(TAG_BYTES));
  header.set(headerTag(key, header, input.aad), TAG_AT);
  return { header, keys: messageKeys(key, header, input, rotationBits) };
}

/**
 * Checks a header against the parameters that the reader expects and returns the keys of its segments. Releases
 * nothing: each segment still has to open.
 * @throws RangeError unless the key has 32 bytes and `segmentBytes` is 33 to 2^32 − 1.
 * @throws MalformedError unless the header has 74 bytes and exactly the expected parameters: no key was used.
 * @throws AuthenticationError for another key, another aad or a changed header.
 */
export function openFloe(
  key: Uint8Array,
  input: FloeInput,
  header: Uint8Array,
  rotationBits: number = ROTATION_BITS,
): FloeKeys {
  assertInput(key, input);
  assertBytes("header", header);
  if (header.length !== FLOE_HEADER_BYTES) throw new MalformedError("header length");
  if (!equal(header.subarray(0, IV_AT), params(input.segmentBytes))) throw new MalformedError("parameters");
  if (!equal(headerTag(key, header, input.aad), header.subarray(TAG_AT))) throw new AuthenticationError();
  return messageKeys(key, header, input, rotationBits);
}

/** Returns the first position that shares a segment key with this one. Positions pass 2^32: no bit operators. */
export function firstOfEpoch(position: number, rotationBits: number): number {
  return position - (position % 2 ** rotationBits);
}

/** Returns the 32-byte key of the segments from position `first` on, in a new array. The caller wipes it. */
export function segmentKey(keys: FloeKeys, first: number): Uint8Array<ArrayBuffer> {
  const info = concat(params(keys.segmentBytes), keys.iv, utf8(SEGMENT_KEY_LABEL), u64(first), keys.aad);
  return expand("sha384", keys.messageKey, info, SEGMENT_KEY_BYTES);
}

/** Returns the length of a whole message, header included, as our writers make it. */
export function floeMessageBytes(plaintextBytes: number, segmentBytes: number): number {
  const plaintextPerSegment = segmentBytes - FLOE_SEGMENT_OVERHEAD_BYTES;
  const segments = Math.max(1, Math.ceil(plaintextBytes / plaintextPerSegment));
  return FLOE_HEADER_BYTES + plaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES * segments;
}

/**
 * Divides a body, all that follows the header, into segments. Its length is a claim of the container until the last
 * segment has opened as the last.
 * @throws MalformedError if no message has such a body.
 */
export function floeLayout(bodyBytes: number, segmentBytes: number): FloeLayout {
  // Remainders are exact where a quotient would be rounded.
  const rest = bodyBytes % segmentBytes;
  const segments = Math.max(1, (bodyBytes - rest) / segmentBytes + (rest > 0 ? 1 : 0));
  const lastSegmentBytes = bodyBytes - (segments - 1) * segmentBytes;
  if (
    !Number.isSafeInteger(bodyBytes + FLOE_HEADER_BYTES) ||
    lastSegmentBytes < FLOE_SEGMENT_OVERHEAD_BYTES ||
    segments > FLOE_MAX_SEGMENTS
  ) {
    throw new MalformedError("body length");
  }
  return { segments, lastSegmentBytes, plaintextBytes: bodyBytes - FLOE_SEGMENT_OVERHEAD_BYTES * segments };
}

function assertInput(key: Uint8Array, { aad, segmentBytes }: FloeInput): void {
  assertBytes("key", key, FLOE_KEY_BYTES);
  assertBytes("aad", aad);
  if (
    !Number.isInteger(segmentBytes) ||
    segmentBytes <= FLOE_SEGMENT_OVERHEAD_BYTES ||
    segmentBytes > MAX_SEGMENT_BYTES
  ) {
    throw new RangeError(
      `segmentBytes: expected ${FLOE_SEGMENT_OVERHEAD_BYTES + 1} to ${MAX_SEGMENT_BYTES}, got ${segmentBytes}`,
    );
  }
}

/** `AEAD number 0 ‖ KDF number 0 ‖ u32 E ‖ u32 IV length`. */
function params(segmentBytes: number): Uint8Array<ArrayBuffer> {
  return concat(new Uint8Array(2), u32(segmentBytes), u32(IV_BYTES));
}

function headerTag(key: Uint8Array, header: Uint8Array, aad: Uint8Array): Uint8Array<ArrayBuffer> {
  return expand("sha384", key, concat(header.subarray(0, TAG_AT), utf8(HEADER_TAG_LABEL), aad), TAG_BYTES);
}

function messageKeys(
  key: Uint8Array,
  header: Uint8Array,
  { aad, segmentBytes }: FloeInput,
  rotationBits: number,
): FloeKeys {
  const info = concat(header.subarray(0, TAG_AT), utf8(MESSAGE_KEY_LABEL), aad);
  return {
    messageKey: expand("sha384", key, info, MESSAGE_KEY_BYTES),
    iv: copy(header.subarray(IV_AT, TAG_AT)),
    aad: copy(aad),
    segmentBytes,
    rotationBits,
  };
}
