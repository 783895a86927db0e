import {
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  createPublicKey,
  randomBytes,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { concat, fromHex, hex } from "../../src/bytes.ts";
import {
  answerBytesOf,
  isExchangeFor,
  newExchange,
  tokenKeyOfCertificate,
  tokenKeyOfModulus,
  tokenKeyOfPoint,
  tokenKeyOfSpki,
  type TokenPublicKey,
} from "../../src/crypto/token-public-key.ts";

const spkiOf = (key: KeyObject): Uint8Array => key.export({ type: "spki", format: "der" });
const ec = (namedCurve: string): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync("ec", { namedCurve });
const rsa = (
  modulusLength: number,
  publicExponent = 65_537,
): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync("rsa", { modulusLength, publicExponent });
const known = (spki: Uint8Array): TokenPublicKey => {
  const key = tokenKeyOfSpki(spki);
  if (key === undefined) throw new Error("no token key");
  return key;
};

describe("public keys of tokens", () => {
  it.each([
    ["prime256v1", "ecdh-p256", 91, 32],
    ["secp384r1", "ecdh-p384", 120, 48],
  ] as const)("of %s have one form [F-145]", (curve, kind, spkiBytes, answerBytes) => {
    const spki = spkiOf(ec(curve).publicKey);
    const key = known(spki);
    expect(key.kind).toBe(kind);
    expect(hex(key.spki)).toBe(hex(spki));
    expect(spki.length).toBe(spkiBytes);
    expect(answerBytesOf(key)).toBe(answerBytes);
    const point = spki.subarray(spki.length - 2 * answerBytes - 1);
    expect(tokenKeyOfPoint(point)).toEqual(key);
  });

  it("are brought into it from a compressed point [F-145]", () => {
    const spki = spkiOf(ec("prime256v1").publicKey);
    const point = spki.subarray(26);
    const compressed = concat(
      fromHex("3039301306072a8648ce3d020106082a8648ce3d030107032200"),
      Uint8Array.of(2 + ((point[64] as number) & 1)),
      point.subarray(1, 33),
    );
    expect(hex(known(compressed).spki)).toBe(hex(spki));
  });

  it.each([2048, 3072])("of RSA with %i bits come from their modulus as well [F-145]", (bits) => {
    const { publicKey } = rsa(bits);
    const { n = "", e = "" } = publicKey.export({ format: "jwk" });
    const key = known(spkiOf(publicKey));
    expect(key.kind).toBe("rsa-oaep-sha256");
    expect(tokenKeyOfModulus(Buffer.from(n, "base64url"), Buffer.from(e, "base64url"))).toEqual(key);
    // Some tokens put a zero before numbers, and some more than one.
    const padded = concat(new Uint8Array(2), Buffer.from(n, "base64url"));
    expect(tokenKeyOfModulus(padded, fromHex("00010001"))).toEqual(key);
    expect(answerBytesOf(key)).toBe(bits / 8);
  });

  it("of other kinds and sizes are none, and bytes that are no key are malformed", () => {
    for (const { publicKey } of [
      ec("secp521r1"),
      ec("secp256k1"),
      rsa(1024),
      generateKeyPairSync("ed25519"),
    ]) {
      expect(tokenKeyOfSpki(spkiOf(publicKey))).toBeUndefined();
    }
    expect(() => tokenKeyOfSpki(new Uint8Array(91))).toThrow("malformed");
    expect(() => tokenKeyOfCertificate(new Uint8Array(91))).toThrow("malformed");
    expect(tokenKeyOfPoint(new Uint8Array(65))).toBeUndefined();
    const offCurve = Uint8Array.of(4, ...randomBytes(64));
    expect(() => tokenKeyOfPoint(offCurve)).toThrow("malformed");
    expect(tokenKeyOfModulus(new Uint8Array(), new Uint8Array())).toBeUndefined();
  });

  it("come from a certificate too", () => {
    const certificate = readFileSync(new URL("../../fixtures/crypto/token-certificate.bin", import.meta.url));
    expect(tokenKeyOfCertificate(certificate)?.kind).toBe("ecdh-p256");
  });
});

describe("a new exchange", () => {
  it("with a curve's key gives both sides one Z, and a new one each time [F-146]", () => {
    for (const curve of ["prime256v1", "secp384r1"]) {
      const { publicKey, privateKey } = ec(curve);
      const key = known(spkiOf(publicKey));
      const [made, other] = [newExchange(key, randomBytes(32)), newExchange(key, randomBytes(32))];
      const point = tokenKeyOfPoint(made.exchange)?.spki ?? new Uint8Array();
      const theirs = createPublicKey({ key: Buffer.from(point), format: "der", type: "spki" });
      expect(hex(diffieHellman({ privateKey, publicKey: theirs }))).toBe(hex(made.secret));
      expect(hex(other.exchange)).not.toBe(hex(made.exchange));
      expect(isExchangeFor(key, made.exchange)).toBe(true);
    }
  });

  it("is refused off the curve, on another one, compressed, cut and above the modulus [F-147]", () => {
    const key = known(spkiOf(ec("prime256v1").publicKey));
    const { exchange } = newExchange(key, randomBytes(32));
    expect(isExchangeFor(key, exchange)).toBe(true);
    for (const at of [0, 1, 40]) {
      expect(
        isExchangeFor(
          key,
          exchange.map((byte, index) => (index === at ? byte ^ 1 : byte)),
        ),
      ).toBe(false);
    }
    expect(isExchangeFor(key, exchange.subarray(0, 64))).toBe(false);
    expect(isExchangeFor(key, concat(Uint8Array.of(2), exchange.subarray(1, 33)))).toBe(false);
    const larger = known(spkiOf(ec("secp384r1").publicKey));
    expect(isExchangeFor(key, newExchange(larger, randomBytes(32)).exchange)).toBe(false);
    const modular = known(spkiOf(rsa(2048).publicKey));
    const sealed = newExchange(modular, randomBytes(32)).exchange;
    expect(isExchangeFor(modular, sealed)).toBe(true);
    expect(isExchangeFor(modular, sealed.subarray(1))).toBe(false);
    expect(isExchangeFor(modular, new Uint8Array(256).fill(0xff))).toBe(false);
  });
});
