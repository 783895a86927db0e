/**
 * HKDF-Expand without Extract. The runtime's own HKDF always extracts first and refuses an info over 1,024 bytes,
 * which an encryption context easily passes. Source: RFC 5869 §2.3.
 * @module
 */
import { createHmac } from "node:crypto";
import { offHeap } from "../bytes.ts";
import { wipe } from "../secret.ts";
import type { HashName } from "./hmac.ts";

export type { HashName } from "./hmac.ts";

const DIGEST_BYTES: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };
const MAX_BLOCKS = 255;
/** T(i−1) ‖ info ‖ i, wiped after each call, which ends before the next begins: memory costs as much as a hash. */
const INPUT = /* @__PURE__ */ offHeap(1024);

/**
 * Returns the first `lengthBytes` of T(1) ‖ T(2) ‖ …, with T(i) = HMAC(prk, T(i−1) ‖ info ‖ i), in a new array.
 * The `prk` is the HMAC key as it is; it may be shorter than the digest.
 * @throws RangeError unless `lengthBytes` is 1 to 255 digests.
 */
export function expand(
  hash: HashName,
  prk: Uint8Array,
  info: Uint8Array,
  lengthBytes: number,
): Uint8Array<ArrayBuffer> {
  const mostBytes = MAX_BLOCKS * DIGEST_BYTES[hash];
  if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > mostBytes) {
    throw new RangeError(`lengthBytes: expected 1 to ${mostBytes}, got ${lengthBytes}`);
  }
  const okm = offHeap(lengthBytes);
  expandInto(okm, hash, prk, info);
  return okm;
}

/** Fills `okm`, 1 to 255 digests long, else as {@link expand}; the info is its parts joined. */
export function expandInto(
  okm: Uint8Array,
  hash: HashName,
  prk: Uint8Array,
  ...info: readonly Uint8Array[]
): void {
  const blockBytes = DIGEST_BYTES[hash];
  let inputBytes = blockBytes + 1;
  for (const part of info) inputBytes += part.length;
  // In one array: this runs for every message, and each further update costs a call.
  const input = inputBytes <= INPUT.length ? INPUT.subarray(0, inputBytes) : offHeap(inputBytes);
  let partAt = blockBytes;
  for (const part of info) {
    input.set(part, partAt);
    partAt += part.length;
  }
  try {
    for (let at = 0, i = 1; at < okm.length; at += blockBytes, i++) {
      input[inputBytes - 1] = i;
      const block = createHmac(hash, prk)
        .update(i === 1 ? input.subarray(blockBytes) : input)
        .digest();
      const restBytes = okm.length - at;
      okm.set(block.length > restBytes ? block.subarray(0, restBytes) : block, at);
      input.set(block);
      wipe(block);
    }
  } finally {
    wipe(input);
  }
}
