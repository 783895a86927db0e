/**
 * HMAC (RFC 2104) and the SHA-2 digests. Every runtime in question has them, those on BoringSSL too.
 * @module
 */
import { createHash, createHmac } from "node:crypto";
import { ownMemory } from "./own-memory.ts";

/** Digest lengths: 32, 48 and 64 bytes. */
export type HashName = "sha256" | "sha384" | "sha512";

/** Returns HMAC of the parts joined, whole, in a new array. Compare with `equal` of bytes.ts. */
export function hmac(
  hash: HashName,
  key: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  const state = createHmac(hash, key);
  for (const part of parts) state.update(part);
  return ownMemory(state.digest());
}

/** Returns the digest of the parts joined, in a new array. */
export function digest(hash: HashName, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const state = createHash(hash);
  for (const part of parts) state.update(part);
  return ownMemory(state.digest());
}
