/**
 * Removes the padding of RSA-OAEP with SHA-256, MGF1 with SHA-256 and an empty label, for tokens that decrypt RSA
 * without any padding. The length of the message is known, so nothing depends on secret bytes but one bit at the end.
 * Source: RFC 8017 §7.1.2; docs/format.md#token-slots [F-148].
 * @module
 */
import { concat, copy, u32 } from "../bytes.ts";
import { digest } from "./hmac.ts";

const HASH_BYTES = 32;
/** `00 ‖ seed ‖ label hash ‖ 01`: the least that surrounds a message. */
const OVERHEAD_BYTES: number = 2 * HASH_BYTES + 2;
const SEPARATOR = 1;

/**
 * Returns the message, or `undefined` for any encoding that is not exactly that of a message of this length: the
 * bytes are looked at in the same order and number whatever they are.
 * @param encoded as long as the modulus. Borrowed.
 * @throws RangeError when no message of `messageBytes` fits.
 */
export function unpadOaep(encoded: Uint8Array, messageBytes: number): Uint8Array<ArrayBuffer> | undefined {
  const paddingBytes = encoded.length - OVERHEAD_BYTES - messageBytes;
  if (messageBytes < 0 || paddingBytes < 0) {
    throw new RangeError(`encoded: ${encoded.length} bytes hold no message of ${messageBytes} bytes`);
  }
  const maskedSeed = encoded.subarray(1, 1 + HASH_BYTES);
  const maskedBlock = encoded.subarray(1 + HASH_BYTES);
  const seed = xored(maskedSeed, mgf1(maskedBlock, HASH_BYTES));
  const block = xored(maskedBlock, mgf1(seed, maskedBlock.length));
  const labelHash = digest("sha256");
  let difference = encoded[0] as number;
  for (let i = 0; i < HASH_BYTES; i++) difference |= (block[i] as number) ^ (labelHash[i] as number);
  const separatorAt = HASH_BYTES + paddingBytes;
  for (let i = HASH_BYTES; i < separatorAt; i++) difference |= block[i] as number;
  difference |= (block[separatorAt] as number) ^ SEPARATOR;
  const message = copy(block.subarray(separatorAt + 1));
  seed.fill(0);
  block.fill(0);
  if (difference === 0) return message;
  message.fill(0);
  return undefined;
}

/** MGF1 with SHA-256: RFC 8017 §B.2.1. */
function mgf1(seed: Uint8Array, lengthBytes: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let counter = 0; counter * HASH_BYTES < lengthBytes; counter++) {
    blocks.push(digest("sha256", seed, u32(counter)));
  }
  return concat(...blocks).subarray(0, lengthBytes);
}

function xored(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const result = copy(a);
  for (let i = 0; i < result.length; i++) result[i] = (result[i] as number) ^ (b[i] as number);
  return result;
}
