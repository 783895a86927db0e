/**
 * Set sums: one number for all records of a table, kept up to date by adding and subtracting.
 * Σ HMAC-SHA-256(Kset, u16 key length ‖ LevelDB key ‖ stored value) mod 2^256, big-endian.
 * Source: docs/format.md#set-sums [F-87…F-88].
 * @module
 */
import { assertBytes, u16 } from "../../bytes.ts";
import { hmac } from "../../crypto/hmac.ts";

/** Length of a term and of a sum. */
export const SET_SUM_BYTES = 32;

/** Returns a record's term. Covers the stored bytes, so that checking a table opens no value. */
export function setHmac(kset: Uint8Array, key: Uint8Array, value: Uint8Array): Uint8Array<ArrayBuffer> {
  return hmac("sha256", kset, u16(key.length), key, value);
}

/** Adds a term to a sum, in place, modulo 2^256. */
export function addToSum(sum: Uint8Array, term: Uint8Array): void {
  assertBytes("sum", sum, SET_SUM_BYTES);
  assertBytes("term", term, SET_SUM_BYTES);
  let carry = 0;
  for (let i = SET_SUM_BYTES - 1; i >= 0; i--) {
    const digit = (sum[i] as number) + (term[i] as number) + carry;
    sum[i] = digit & 0xff;
    carry = digit >> 8;
  }
}

/** Subtracts a term from a sum, in place, modulo 2^256. */
export function subtractFromSum(sum: Uint8Array, term: Uint8Array): void {
  assertBytes("sum", sum, SET_SUM_BYTES);
  assertBytes("term", term, SET_SUM_BYTES);
  let borrow = 0;
  for (let i = SET_SUM_BYTES - 1; i >= 0; i--) {
    const digit = (sum[i] as number) - (term[i] as number) - borrow;
    sum[i] = digit & 0xff;
    borrow = digit < 0 ? 1 : 0;
  }
}
