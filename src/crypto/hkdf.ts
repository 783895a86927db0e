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
  const blockBytes = DIGEST_BYTES[hash];
  if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > MAX_BLOCKS * blockBytes) {
    throw new RangeError(`lengthBytes: expected 1 to ${MAX_BLOCKS * blockBytes}, got ${lengthBytes}`);
  }
  const okm = offHeap(lengthBytes);
  // In one array: this runs for every message, and each further update costs a call.
  const inputBytes = blockBytes + info.length + 1;
  const input = inputBytes <= INPUT.length ? INPUT.subarray(0, inputBytes) : offHeap(inputBytes);
  input.set(info, blockBytes);
  for (let at = 0, i = 1; at < lengthBytes; at += blockBytes, i++) {
    input[inputBytes - 1] = i;
    const block = createHmac(hash, prk)
      .update(i === 1 ? input.subarray(blockBytes) : input)
      .digest();
    okm.set(block.length > lengthBytes - at ? block.subarray(0, lengthBytes - at) : block, at);
    input.set(block);
    wipe(block);
  }
  wipe(input);
  return okm;
}
