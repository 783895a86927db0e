/**
 * Public keys of tokens, and what is done with them in software: no token is needed to make a secret that only the
 * token can make again. Every runtime in question has what is used here, those on BoringSSL too.
 * Source: docs/format.md#token-slots [F-145…F-147].
 * @module
 */
import {
  constants,
  createECDH,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  X509Certificate,
} from "node:crypto";
import { compare, concat, copy, fromHex, u16, u8 } from "../bytes.ts";
import { MalformedError } from "./failures.ts";
import { ownMemory } from "./own-memory.ts";

export type TokenKeyKind = "ecdh-p256" | "ecdh-p384" | "rsa-oaep-sha256";

/** A public key in the one form in which it is stored and compared. */
export interface TokenPublicKey {
  readonly kind: TokenKeyKind;
  /** DER SubjectPublicKeyInfo: named curve, uncompressed point [F-145]. */
  readonly spki: Uint8Array<ArrayBuffer>;
}

/** What makes a secret again with the private key, and the secret, which is the caller's to wipe. */
export interface TokenExchange {
  readonly exchange: Uint8Array<ArrayBuffer>;
  readonly secret: Uint8Array<ArrayBuffer>;
}

/** The SubjectPublicKeyInfo of a curve's key before its uncompressed point: RFC 5480 §2. */
const CURVES = {
  "ecdh-p256": {
    name: "prime256v1",
    fieldBytes: 32,
    prefix: fromHex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
  },
  "ecdh-p384": {
    name: "secp384r1",
    fieldBytes: 48,
    prefix: fromHex("3076301006072a8648ce3d020106052b81040022036200"),
  },
} as const;
type CurveKind = keyof typeof CURVES;
/** rsaEncryption with its NULL: RFC 8017 §A.1. */
const RSA_ALGORITHM: Uint8Array = fromHex("300d06092a864886f70d0101010500");
const RSA_BITS: ReadonlySet<number> = new Set([2048, 3072, 4096]);
/** Above it verification and encryption get slow; none is in use. */
const MAX_RSA_EXPONENT: bigint = 2n ** 32n;
const UNCOMPRESSED = 4;

/** Returns the key of a DER SubjectPublicKeyInfo in its stored form; `undefined` for one of another kind. @throws MalformedError */
export function tokenKeyOfSpki(spki: Uint8Array): TokenPublicKey | undefined {
  return canonical(parsed(() => createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" })));
}

/** Returns the key of a DER certificate, of which nothing else is believed. @throws MalformedError */
export function tokenKeyOfCertificate(certificate: Uint8Array): TokenPublicKey | undefined {
  return canonical(parsed(() => new X509Certificate(certificate).publicKey));
}

/** Returns the key of an uncompressed point; its length names the curve. @throws MalformedError off the curve. */
export function tokenKeyOfPoint(point: Uint8Array): TokenPublicKey | undefined {
  const curve = Object.values(CURVES).find(({ fieldBytes }) => point.length === 1 + 2 * fieldBytes);
  if (curve === undefined || point[0] !== UNCOMPRESSED) return undefined;
  return tokenKeyOfSpki(concat(curve.prefix, point));
}

/** Returns the key of a modulus and an exponent, big-endian. @throws MalformedError */
export function tokenKeyOfModulus(modulus: Uint8Array, exponent: Uint8Array): TokenPublicKey | undefined {
  const key = derSequence(derInteger(modulus), derInteger(exponent));
  return tokenKeyOfSpki(derSequence(RSA_ALGORITHM, der(0x03, concat(u8(0), key))));
}

/**
 * Makes a new secret for a public key: Z of an agreement with a new key pair, of which only the public half is kept,
 * or 32 bytes of the caller's encrypted with OAEP [F-146].
 * @param random 32 random bytes, for RSA. Borrowed.
 */
export function newExchange(publicKey: TokenPublicKey, random: Uint8Array): TokenExchange {
  const { kind } = publicKey;
  const key = keyOf(publicKey);
  if (kind === "rsa-oaep-sha256") {
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    return { exchange: ownMemory(publicEncrypt({ key, ...padding }, random)), secret: copy(random) };
  }
  const ephemeral = createECDH(CURVES[kind].name);
  const exchange = copy(ephemeral.generateKeys());
  return { exchange, secret: ownMemory(ephemeral.computeSecret(pointOf(key))) };
}

/**
 * True for an exchange that may be put before a token's private key: a point of the curve, or a number below the
 * modulus. A header is hostile until it authenticates, and not every token checks [F-147].
 */
export function isExchangeFor(publicKey: TokenPublicKey, exchange: Uint8Array): boolean {
  const { kind } = publicKey;
  if (kind === "rsa-oaep-sha256") {
    const modulus = modulusOf(keyOf(publicKey));
    return exchange.length === modulus.length && compare(exchange, modulus) < 0;
  }
  try {
    return tokenKeyOfPoint(exchange)?.kind === kind;
  } catch {
    return false;
  }
}

/** Length of what the private key answers: Z, or a block as long as the modulus. */
export function answerBytesOf(publicKey: TokenPublicKey): number {
  return publicKey.kind === "rsa-oaep-sha256"
    ? modulusOf(keyOf(publicKey)).length
    : CURVES[publicKey.kind].fieldBytes;
}

function canonical(key: KeyObject): TokenPublicKey | undefined {
  if (key.asymmetricKeyType === "rsa") {
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    const isSound = publicExponent >= 3n && publicExponent < MAX_RSA_EXPONENT && publicExponent % 2n === 1n;
    if (!isSound || !RSA_BITS.has(modulusLength)) return undefined;
    return { kind: "rsa-oaep-sha256", spki: ownMemory(key.export({ format: "der", type: "spki" })) };
  }
  if (key.asymmetricKeyType !== "ec") return undefined;
  const named = key.asymmetricKeyDetails?.namedCurve;
  const kind = (Object.keys(CURVES) as CurveKind[]).find((kind) => CURVES[kind].name === named);
  // A certificate may hold a compressed point, or spell the curve out: the stored form has one spelling.
  return kind === undefined ? undefined : { kind, spki: concat(CURVES[kind].prefix, pointOf(key)) };
}

function keyOf({ spki }: TokenPublicKey): KeyObject {
  return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
}

function modulusOf(key: KeyObject): Uint8Array {
  return Buffer.from(key.export({ format: "jwk" }).n ?? "", "base64url");
}

function pointOf(key: KeyObject): Uint8Array {
  const { x = "", y = "" } = key.export({ format: "jwk" });
  return concat(u8(UNCOMPRESSED), Buffer.from(x, "base64url"), Buffer.from(y, "base64url"));
}

function derSequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(0x30, concat(...parts));
}

/** A positive INTEGER: no leading zeros but the one that keeps the sign. */
function derInteger(value: Uint8Array): Uint8Array {
  const first = value.findIndex((byte) => byte !== 0);
  const digits = first === -1 ? u8(0) : value.subarray(first);
  return der(0x02, (digits[0] as number) >= 0x80 ? concat(u8(0), digits) : digits);
}

function der(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  if (length < 0x80) return concat(u8(tag), u8(length), content);
  return length < 0x100
    ? concat(u8(tag), u8(0x81), u8(length), content)
    : concat(u8(tag), u8(0x82), u16(length), content);
}

function parsed(make: () => KeyObject): KeyObject {
  try {
    return make();
  } catch {
    throw new MalformedError("public key");
  }
}
