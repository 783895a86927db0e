/**
 * AES-256-GCM with a 12-byte nonce and a 16-byte tag, never other lengths (NIST SP 800-38D).
 * Layout of sealed bytes: `ciphertext[n] ‖ tag[16]`.
 * @module
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { assertBytes, concat } from "../bytes.ts";
import { wipe } from "../secret.ts";
import { AuthenticationError, MalformedError } from "./failures.ts";
import { ownMemory } from "./own-memory.ts";

export const GCM_KEY_BYTES = 32;
export const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;

/** The cipher's name and tag length: without the second, Node 20 to 24 accept a tag of 4 bytes. */
const CIPHER = "aes-256-gcm";
/**
 * `update` allocates what it returns. Up to 32 KiB that stays off the system's own memory calls, which doubles the
 * throughput on Node 20.
 */
const SLICE_BYTES = 32_768;
const OPTIONS = { authTagLength: GCM_TAG_BYTES } as const;

/**
 * Returns `ciphertext ‖ tag` in a new array. One nonce must not serve two calls under one key.
 * @throws RangeError if the key or nonce has another length.
 */
export function sealGcm(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertKeyAndNonce(key, nonce);
  assertBytes("plaintext", plaintext);
  const sealed = new Uint8Array(plaintext.length + GCM_TAG_BYTES);
  sealGcmInto(sealed, { key, nonce, aad, plaintext });
  return sealed;
}

/** What {@link sealGcmInto} seals. Lengths are the caller's to check. */
export interface GcmInput {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly plaintext: Uint8Array;
}

/** Writes `ciphertext ‖ tag` to the start of `sealed`, which has room for it. */
export function sealGcmInto(sealed: Uint8Array, input: GcmInput): void {
  let at = 0;
  for (const slice of sealGcmSlices(input)) {
    sealed.set(slice, at);
    at += slice.length;
  }
}

/** Returns `ciphertext ‖ tag` in parts, as the cipher made them, each on memory of its own. */
export function sealGcmSlices({ key, nonce, aad, plaintext }: GcmInput): Uint8Array[] {
  const cipher = createCipheriv(CIPHER, key, nonce, OPTIONS);
  if (aad.length > 0) cipher.setAAD(aad);
  const slices: Uint8Array[] = [];
  for (let at = 0; at < plaintext.length; at += SLICE_BYTES) {
    slices.push(cipher.update(plaintext.subarray(at, at + SLICE_BYTES)));
  }
  cipher.final();
  slices.push(cipher.getAuthTag());
  return slices;
}

/**
 * Returns the plaintext in a new array, only after its tag was verified.
 * @throws RangeError if the key or nonce has another length.
 * @throws MalformedError if `sealed` is shorter than a tag: no key was used.
 * @throws AuthenticationError for any change of key, nonce, aad or bytes.
 */
export function openGcm(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertKeyAndNonce(key, nonce);
  assertBytes("sealed", sealed);
  if (sealed.length < GCM_TAG_BYTES) throw new MalformedError("tag");
  const slices = openGcmSlices({ key, nonce, aad, sealed });
  return slices.length === 1 ? ownMemory(slices[0] as Uint8Array) : concat(...slices);
}

/** What {@link openGcmSlices} opens. Lengths are the caller's to check. */
export interface SealedGcm {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  /** `ciphertext ‖ tag`, 16 bytes or more. */
  readonly sealed: Uint8Array;
}

/**
 * Returns the plaintext in parts, all of them after the tag was verified, each on memory of its own.
 * @throws AuthenticationError with all parts wiped.
 */
export function openGcmSlices({ key, nonce, aad, sealed }: SealedGcm): Uint8Array[] {
  const tagAt = sealed.length - GCM_TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, nonce, OPTIONS);
  if (aad.length > 0) decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(tagAt));
  const unverified: Uint8Array[] = [];
  for (let at = 0; at < tagAt; at += SLICE_BYTES) {
    unverified.push(decipher.update(sealed.subarray(at, Math.min(at + SLICE_BYTES, tagAt))));
  }
  try {
    decipher.final();
  } catch {
    wipe(...unverified);
    throw new AuthenticationError();
  }
  return unverified;
}

function assertKeyAndNonce(key: Uint8Array, nonce: Uint8Array): void {
  assertBytes("key", key, GCM_KEY_BYTES);
  assertBytes("nonce", nonce, GCM_NONCE_BYTES);
}
