/**
 * The one login and the one private-key operation of an unlock. Runs in the helper's process.
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Handle } from "pkcs11js";
import { copy, equal } from "../../../bytes.ts";
import { unpadOaep } from "../../../crypto/oaep.ts";
import { randomFor } from "../../../crypto/random.ts";
import { answerBytesOf, type TokenPublicKey } from "../../../crypto/token-public-key.ts";
import { wipe } from "../../../secret.ts";
import { CKA, CKF, CKK, CKO, type Cryptoki, type RawToken } from "./cryptoki.ts";
import { type HelperContext, HelperError, type PinAnswer } from "./helper-context.ts";
import { factsOf, type FoundToken } from "./token-search.ts";

const SECRET_BYTES = 32;
const NONCE_BYTES = 12;
const GONE_WITHIN_MS = 1000;
const GONE_STEP_MS = 100;
/** More than any PIN; some modules tell no maximum, or one of the management key. */
const MAX_PIN_BYTES = 255;

/**
 * Logs in with the one PIN that is asked for, where the token wants one. No second try, no PIN to a token that has
 * changed while it was typed.
 */
export async function login(context: HelperContext, token: FoundToken): Promise<void> {
  const { cryptoki } = context;
  const { raw } = token;
  context.stage = "login";
  context.token = token;
  if ((raw.flags & CKF.loginRequired) === 0) return;
  if ((raw.flags & CKF.pinLocked) !== 0) throw new HelperError("pin-locked");
  // The binding cannot pass the empty PIN that a pinpad wants, and an empty PIN has opened tokens before.
  if ((raw.flags & CKF.protectedPath) !== 0) throw new HelperError("pinpad");
  const { minBytes, maxBytes } = pinBounds(raw);
  const { pin }: PinAnswer = await context.askPin({
    token: token.facts,
    isLow: (raw.flags & CKF.pinCountLow) !== 0,
    isFinalTry: (raw.flags & CKF.pinFinalTry) !== 0,
    minBytes,
    maxBytes,
  });
  try {
    if (pin.length < minBytes || pin.length > maxBytes) throw new HelperError("pin-length");
    assertSameToken(cryptoki, token);
    cryptoki.login(token.session, pin);
    context.isLoggedIn = true;
  } finally {
    wipe(pin);
  }
}

/** Lengths of a PIN in bytes. Some modules tell none, or nonsense; an empty PIN is never one. */
export function pinBounds({ minPinBytes, maxPinBytes }: RawToken): {
  readonly minBytes: number;
  readonly maxBytes: number;
} {
  const maxBytes = maxPinBytes >= 1 ? Math.min(maxPinBytes, MAX_PIN_BYTES) : MAX_PIN_BYTES;
  return { maxBytes, minBytes: minPinBytes >= 1 && minPinBytes <= maxBytes ? minPinBytes : 1 };
}

/** While somebody types, the card may be changed, and another program may use up its tries. */
function assertSameToken(cryptoki: Cryptoki, { slot, raw, facts }: FoundToken): void {
  const present = cryptoki.tokenInfo(slot);
  const now = factsOf(present, facts.slotName);
  const names = ["label", "serial", "manufacturer", "model"] as const;
  if (names.some((name) => now[name] !== raw[name])) throw new HelperError("another-token");
  if ((present.flags & CKF.pinLocked) !== 0) throw new HelperError("pin-locked");
  if ((present.flags & ~raw.flags & CKF.pinFinalTry) !== 0) throw new HelperError("pin-final-try");
}

/** Returns S by the private key that belongs to `publicKey`. */
export async function operate(
  context: HelperContext,
  token: FoundToken,
  publicKey: TokenPublicKey,
  objectId: Uint8Array,
  exchange: Uint8Array,
): Promise<Uint8Array> {
  context.stage = "operate";
  const key = privateKeyOf(context.cryptoki, token, publicKey, objectId);
  await context.beginOperation(token.facts);
  return publicKey.kind === "rsa-oaep-sha256"
    ? decryptRsa(context, token, key, exchange)
    : agree(context, token, key, exchange, answerBytesOf(publicKey));
}

async function agree(
  { cryptoki }: HelperContext,
  { session }: FoundToken,
  key: Handle,
  point: Uint8Array,
  lengthBytes: number,
): Promise<Uint8Array> {
  const answer = await cryptoki.agree(session, key, point, lengthBytes);
  if (answer.length > lengthBytes) throw new HelperError("wrong-answer");
  return paddedTo(lengthBytes, answer);
}

async function decryptRsa(
  { cryptoki }: HelperContext,
  { session }: FoundToken,
  key: Handle,
  ciphertext: Uint8Array,
): Promise<Uint8Array> {
  const message = await cryptoki.decryptOaep(session, key, ciphertext);
  if (message !== undefined) {
    if (message.length !== SECRET_BYTES) throw new HelperError("wrong-answer");
    return message;
  }
  const answer = await cryptoki.decryptRaw(session, key, ciphertext);
  if (answer.length > ciphertext.length) throw new HelperError("wrong-answer");
  const block = paddedTo(ciphertext.length, answer);
  try {
    const secret = unpadOaep(block, SECRET_BYTES);
    if (secret === undefined) throw new HelperError("wrong-answer");
    return secret;
  } finally {
    wipe(block);
  }
}

/** Leading zeros are a part of the answer, and not every module gives them. */
function paddedTo(lengthBytes: number, answer: Uint8Array): Uint8Array {
  const padded = new Uint8Array(lengthBytes);
  padded.set(answer, lengthBytes - answer.length);
  wipe(answer);
  return padded;
}

/** Returns S that an AES key of the token encrypted: `nonce[12] ‖ ciphertext[32] ‖ tag[16]`. */
export async function decryptWithAes(
  context: HelperContext,
  token: FoundToken,
  objectId: Uint8Array,
  exchange: Uint8Array,
): Promise<Uint8Array> {
  context.stage = "operate";
  const { key } = aesKeyOf(context.cryptoki, token, objectId);
  await context.beginOperation(token.facts);
  const [nonce, sealed] = [exchange.subarray(0, NONCE_BYTES), exchange.subarray(NONCE_BYTES)];
  return context.cryptoki.decryptGcm(token.session, key, nonce, sealed);
}

/** Encrypts S under the one AES key that fits, and decrypts it again to see that both work. */
export async function encryptWithAes(
  context: HelperContext,
  token: FoundToken,
  keyId: Uint8Array | undefined,
  secret: Uint8Array,
): Promise<{ readonly exchange: Uint8Array; readonly objectId: Uint8Array }> {
  context.stage = "operate";
  const { key, objectId } = aesKeyOf(context.cryptoki, token, keyId);
  await context.beginOperation(token.facts);
  const nonce = randomFor(NONCE_BYTES, secret);
  const sealed = await context.cryptoki.encryptGcm(token.session, key, nonce, secret);
  const again = await context.cryptoki.decryptGcm(token.session, key, nonce, sealed);
  const isRight = equal(again, secret);
  wipe(again);
  if (!isRight) throw new HelperError("wrong-answer");
  const exchange = copy(Buffer.concat([nonce, sealed]));
  return { exchange, objectId };
}

function aesKeyOf(
  cryptoki: Cryptoki,
  { session }: FoundToken,
  id: Uint8Array | undefined,
): { readonly key: Handle; readonly objectId: Uint8Array } {
  const keys = cryptoki
    .find(session, CKO.secretKey, id)
    .filter((key) => cryptoki.number(session, key, CKA.keyType) === CKK.aes);
  const [key] = keys;
  if (key === undefined) throw new HelperError("no-key");
  if (keys.length > 1) throw new HelperError("ambiguous-key");
  return { key, objectId: cryptoki.attribute(session, key, CKA.id) ?? new Uint8Array() };
}

/** By CKA_ID and kind; the seal decides in the end whether it was the right one. */
function privateKeyOf(
  cryptoki: Cryptoki,
  { session }: FoundToken,
  { kind }: TokenPublicKey,
  objectId: Uint8Array,
): Handle {
  const keyType = kind === "rsa-oaep-sha256" ? CKK.rsa : CKK.ec;
  const keys = cryptoki
    .find(session, CKO.privateKey, objectId.length === 0 ? undefined : objectId)
    .filter((key) => cryptoki.number(session, key, CKA.keyType) === keyType);
  const [key] = keys;
  if (key === undefined) throw new HelperError("unsuitable-key");
  if (keys.length > 1) throw new HelperError("ambiguous-key");
  return key;
}

/** True when the token goes away within a second: right after a pull the card service still says that it is there. */
export async function goesAway(cryptoki: Cryptoki, { slot, raw }: FoundToken): Promise<boolean> {
  for (let waited = 0; ; waited += GONE_STEP_MS) {
    try {
      const isListed = cryptoki.slots(true).some((other) => equal(other, slot));
      if (!isListed || cryptoki.tokenInfo(slot).serial !== raw.serial) return true;
    } catch {
      return true;
    }
    if (waited >= GONE_WITHIN_MS) return false;
    await delay(GONE_STEP_MS);
  }
}
