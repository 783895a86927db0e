/**
 * SEAL and OPEN: one chunk of C2SP chunked-encryption, instantiation Cobblestone-256. It commits to its key and
 * context, and needs no counter. Layout: `salt[24] ‖ commitment[32] ‖ ciphertext[n] ‖ tag[16]`, 0 ≤ n ≤ 16383.
 * Source: C2SP chunked-encryption.md, restated in docs/format.md#seal [F-10…F-14].
 * @module
 */
import { assertBytes, copy, equal, label, offHeap, u32 } from "../bytes.ts";
import { MAX_SEAL_BYTES } from "../limits.ts";
import { wipe } from "../secret.ts";
import { openGcm, sealGcmInto } from "./aes-gcm.ts";
import { AuthenticationError, MalformedError } from "./failures.ts";
import { expandInto } from "./hkdf.ts";
import { assertDrawable, type DrawRandom, lengthened, randomFor } from "./random.ts";

/** Length of sealed bytes minus their plaintext, in bytes. */
export const SEAL_OVERHEAD_BYTES = 72;
const SEAL_KEY_BYTES = 32;
const SEAL_SALT_BYTES = 24;

const LABEL = label("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM");
const COMMITMENT_BYTES = 32;
/** Of a fresh plaintext. */
const SEED_BYTES = 32;
const FRESH = label("coffer/fresh/v1");
const HEADER_BYTES = SEAL_SALT_BYTES + COMMITMENT_BYTES;
const NO_BYTES = new Uint8Array(0);

/**
 * `aead key[32] ‖ base nonce[12] ‖ commitment[32]` of the message at hand, wiped after each call, which ends before the
 * next begins.
 */
const DERIVED = /* @__PURE__ */ offHeap(76);
const KEY: Uint8Array = /* @__PURE__ */ DERIVED.subarray(0, 32);
const NONCE: Uint8Array = /* @__PURE__ */ DERIVED.subarray(32, 44);
const COMMITMENT: Uint8Array = /* @__PURE__ */ DERIVED.subarray(44);

/**
 * Returns the sealed bytes in a new array. The salt is drawn here, so sealing the same twice gives different bytes.
 * Up to 2^55 messages under one key. `context` is any bytes of any length and must be given again to open.
 * @param hedge - more bytes to mix into the salt's randomness; context and plaintext are in it already.
 * @throws RangeError unless the key has 32 bytes and the plaintext 0 to 16,383.
 */
export function seal(
  key: Uint8Array,
  context: Uint8Array,
  plaintext: Uint8Array,
  hedge?: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertSealInput(key, context, plaintext);
  const lengthOfContext = u32(context.length);
  const salt =
    hedge === undefined
      ? randomFor(SEAL_SALT_BYTES, lengthOfContext, context, plaintext)
      : randomFor(SEAL_SALT_BYTES, lengthOfContext, context, plaintext, hedge);
  return sealWithSalt(key, salt, context, plaintext);
}

/** Returns `header ‖ sealed bytes` in one new array, else as {@link seal}. The header is not sealed: put it into the context. */
export function sealAfter(
  header: Uint8Array,
  key: Uint8Array,
  context: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertSealInput(key, context, plaintext);
  const bytes = new Uint8Array(header.length + SEAL_OVERHEAD_BYTES + plaintext.length);
  bytes.set(header);
  const salt = randomFor(SEAL_SALT_BYTES, u32(context.length), context, plaintext);
  sealInto(bytes.subarray(header.length), key, salt, context, plaintext);
  return bytes;
}

/** A fresh secret, and itself sealed. */
export interface SealedRandom {
  /** The caller wipes it. */
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /** `header ‖ sealed bytes`. */
  readonly sealed: Uint8Array<ArrayBuffer>;
}

/**
 * Makes 1 to 1,024 fresh bytes and seals them, else as {@link sealAfter}. They and the salt come from one draw, hedged
 * with length and context, so that a salt that repeats comes with the bytes that it came with before; and with a label
 * that begins no hedge of {@link seal}, whose salts are others.
 * @param draw - another source than the system's is for tests.
 * @throws RangeError for another length.
 */
export function sealRandomAfter(
  header: Uint8Array,
  key: Uint8Array,
  context: Uint8Array,
  lengthBytes: number,
  draw: DrawRandom = randomFor,
): SealedRandom {
  assertDrawable(lengthBytes);
  assertSealInput(key, context, NO_BYTES);
  const hedge = [FRESH, u32(lengthBytes), u32(context.length), context];
  const drawn = draw(SEAL_SALT_BYTES + SEED_BYTES, ...hedge);
  let plaintext: Uint8Array<ArrayBuffer> | undefined;
  try {
    const seed = drawn.subarray(SEAL_SALT_BYTES);
    plaintext =
      lengthBytes <= SEED_BYTES ? copy(seed.subarray(0, lengthBytes)) : lengthened(seed, lengthBytes);
    const sealed = new Uint8Array(header.length + SEAL_OVERHEAD_BYTES + lengthBytes);
    sealed.set(header);
    sealInto(sealed.subarray(header.length), key, drawn.subarray(0, SEAL_SALT_BYTES), context, plaintext);
    return { plaintext, sealed };
  } catch (error) {
    wipe(plaintext);
    throw error;
  } finally {
    wipe(drawn);
  }
}

/**
 * Seals with a given salt: for known answers only. A salt that repeats under one key and context, with another
 * plaintext, breaks both messages.
 */
export function sealWithSalt(
  key: Uint8Array,
  salt: Uint8Array,
  context: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertSealInput(key, context, plaintext);
  assertBytes("salt", salt, SEAL_SALT_BYTES);
  const sealed = new Uint8Array(SEAL_OVERHEAD_BYTES + plaintext.length);
  sealInto(sealed, key, salt, context, plaintext);
  return sealed;
}

/** Fills `sealed`, which has exactly the length for it. */
function sealInto(
  sealed: Uint8Array,
  key: Uint8Array,
  salt: Uint8Array,
  context: Uint8Array,
  plaintext: Uint8Array,
): void {
  try {
    expandInto(DERIVED, "sha512", key, LABEL, salt, context);
    sealed.set(salt);
    sealed.set(COMMITMENT, SEAL_SALT_BYTES);
    sealGcmInto(sealed.subarray(HEADER_BYTES), { key: KEY, nonce: NONCE, aad: NO_BYTES, plaintext });
  } finally {
    wipe(DERIVED);
  }
}

/**
 * Returns the plaintext in a new array, all at once, after commitment and tag were verified.
 * @throws RangeError unless the key has 32 bytes.
 * @throws MalformedError unless `sealed` has 72 to 16,455 bytes: no key was used.
 * @throws AuthenticationError for any change of key, context or bytes.
 */
export function open(key: Uint8Array, context: Uint8Array, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  assertBytes("key", key, SEAL_KEY_BYTES);
  assertBytes("context", context);
  assertBytes("sealed", sealed);
  if (sealed.length < SEAL_OVERHEAD_BYTES || sealed.length > SEAL_OVERHEAD_BYTES + MAX_SEAL_BYTES) {
    throw new MalformedError("length");
  }
  try {
    expandInto(DERIVED, "sha512", key, LABEL, sealed.subarray(0, SEAL_SALT_BYTES), context);
    // The commitment comes first: under a wrong key no AES operation takes place.
    if (!equal(COMMITMENT, sealed.subarray(SEAL_SALT_BYTES, HEADER_BYTES))) throw new AuthenticationError();
    return openGcm(KEY, NONCE, NO_BYTES, sealed.subarray(HEADER_BYTES));
  } finally {
    wipe(DERIVED);
  }
}

function assertSealInput(key: Uint8Array, context: Uint8Array, plaintext: Uint8Array): void {
  assertBytes("key", key, SEAL_KEY_BYTES);
  assertBytes("context", context);
  assertBytes("plaintext", plaintext);
  if (plaintext.length > MAX_SEAL_BYTES) {
    throw new RangeError(`plaintext: expected 0 to ${MAX_SEAL_BYTES} bytes, got ${plaintext.length}`);
  }
}
