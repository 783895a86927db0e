/**
 * One FLOE message of small segments, and what the tests of damage do to it.
 * @module
 */
import { concat, fromHex, utf8 } from "../../src/bytes.ts";
import { FloeSealer } from "../../src/crypto/floe-in-order.ts";
import { FloeSegments } from "../../src/crypto/floe-segments.ts";
import { createFloe, FLOE_HEADER_BYTES, type FloeInput } from "../../src/crypto/floe.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

export const KEY: Bytes = fromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
export const INPUT: FloeInput = { aad: utf8("an aad"), segmentBytes: 40 };
/** Plaintext of a segment, in bytes. */
export const P = 8;
/** Five full inner segments and a last one of 3 bytes. */
export const PLAINTEXT: Bytes = Uint8Array.from({ length: 43 }, (_, i) => i);
export const MESSAGE: Bytes = sealMessage(PLAINTEXT);

/** Returns header and body, sealed under {@link KEY} with an IV and nonces of their own. */
export function sealMessage(plaintext: Uint8Array, input: FloeInput = INPUT): Bytes {
  const { header, keys } = createFloe(KEY, input);
  const sealer = new FloeSealer(new FloeSegments(keys));
  return concat(header, ...sealer.push(plaintext), sealer.finish());
}

/** Returns the header, then the segments. */
export function split(message: Uint8Array): Bytes[] {
  const pieces = [message.slice(0, FLOE_HEADER_BYTES)];
  for (let at = FLOE_HEADER_BYTES; at < message.length; at += 40) pieces.push(message.slice(at, at + 40));
  return pieces;
}

/** Returns the name of the error, or `opened`. */
export function failure(action: () => unknown): string {
  try {
    action();
    return "opened";
  } catch (error) {
    return (error as Error).name;
  }
}

/** Returns a copy with one bit changed, counted from the lowest of the first byte. */
export function flip(bytes: Uint8Array, bit: number): Bytes {
  const changed = new Uint8Array(bytes);
  const at = Math.floor(bit / 8);
  changed[at] = (changed[at] as number) ^ (1 << (bit % 8));
  return changed;
}
