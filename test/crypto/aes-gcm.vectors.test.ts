import { gcm } from "@noble/ciphers/aes.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concat, equal, fromHex, hex } from "../../src/bytes.ts";
import { openGcm, sealGcm } from "../../src/crypto/aes-gcm.ts";
import { AuthenticationError, MalformedError } from "../../src/crypto/failures.ts";
import { fixture, vectors } from "../vectors.ts";

interface Aead {
  readonly testGroups: readonly {
    readonly ivSize: number;
    readonly keySize: number;
    readonly tagSize: number;
    readonly tests: readonly AeadCase[];
  }[];
}

interface AeadCase {
  readonly tcId: number;
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
  readonly result: "valid" | "invalid" | "acceptable";
}

const golden = fixture("crypto/known-answers.json") as {
  gcm: readonly {
    source: string;
    key: string;
    nonce: string;
    aad: string;
    plaintext: string;
    sealed: string;
  }[];
};

describe("AES-256-GCM", () => {
  it.each(golden.gcm)("gives the known answer: $source", (one) => {
    const [key, nonce, aad] = [fromHex(one.key), fromHex(one.nonce), fromHex(one.aad)];
    expect(hex(sealGcm(key, nonce, aad, fromHex(one.plaintext)))).toBe(one.sealed);
    expect(hex(openGcm(key, nonce, aad, fromHex(one.sealed)))).toBe(one.plaintext);
  });

  it("equals another implementation for any input, in fresh memory", () => {
    const bytes = (lengthBytes: number): fc.Arbitrary<Uint8Array> =>
      fc.uint8Array({ minLength: lengthBytes, maxLength: lengthBytes });
    fc.assert(
      fc.property(
        bytes(32),
        bytes(12),
        fc.uint8Array({ maxLength: 100 }),
        fc.uint8Array({ maxLength: 5000 }),
        (key, nonce, aad, plaintext) => {
          const sealed = sealGcm(key, nonce, aad, plaintext);
          expect(equal(sealed, gcm(key, nonce, aad).encrypt(plaintext))).toBe(true);
          const opened = openGcm(key, nonce, aad, sealed);
          expect(equal(opened, plaintext)).toBe(true);
          expect([sealed.buffer.byteLength, opened.buffer.byteLength]).toEqual([
            sealed.length,
            opened.length,
          ]);
          expect([sealed.constructor, opened.constructor]).toEqual([Uint8Array, Uint8Array]);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("refuses every cut, below 16 bytes as malformed", () => {
    const [key, nonce, aad] = [new Uint8Array(32), new Uint8Array(12), new Uint8Array(3)];
    const sealed = sealGcm(key, nonce, aad, new Uint8Array(5));
    for (let length = 0; length < sealed.length; length++) {
      const failure = length < 16 ? MalformedError : AuthenticationError;
      expect(() => openGcm(key, nonce, aad, sealed.subarray(0, length))).toThrow(failure);
    }
    expect(() => openGcm(key, nonce, aad, concat(sealed, new Uint8Array(1)))).toThrow(AuthenticationError);
  });

  it("refuses another aad", () => {
    const [key, nonce] = [new Uint8Array(32), new Uint8Array(12)];
    const sealed = sealGcm(key, nonce, new Uint8Array(3), new Uint8Array(5));
    expect(() => openGcm(key, nonce, new Uint8Array(4), sealed)).toThrow(AuthenticationError);
    expect(() => openGcm(key, nonce, new Uint8Array(0), sealed)).toThrow(AuthenticationError);
  });

  it("takes keys of 32 and nonces of 12 bytes only", () => {
    const nothing = new Uint8Array(0);
    expect(() => sealGcm(new Uint8Array(16), new Uint8Array(12), nothing, nothing)).toThrow(
      new RangeError("key: expected 32 bytes, got 16"),
    );
    expect(() => openGcm(new Uint8Array(32), new Uint8Array(16), nothing, new Uint8Array(16))).toThrow(
      new RangeError("nonce: expected 12 bytes, got 16"),
    );
  });
});

const published = vectors("wycheproof/aes_gcm_test.json") as Aead | undefined;
const cases =
  published?.testGroups
    .filter((group) => group.ivSize === 96 && group.keySize === 256 && group.tagSize === 128)
    .flatMap((group) => group.tests) ?? [];

describe.runIf(published !== undefined)("published vectors for 256-bit keys and 96-bit nonces", () => {
  it("are there", () => {
    expect(cases.filter((one) => one.result === "valid").length).toBeGreaterThan(30);
    expect(cases.filter((one) => one.result === "invalid").length).toBeGreaterThan(15);
  });

  it.each(cases)("case $tcId is $result", (one) => {
    const [key, nonce, aad] = [fromHex(one.key), fromHex(one.iv), fromHex(one.aad)];
    const sealed = fromHex(one.ct + one.tag);
    const sealsAlike = hex(sealGcm(key, nonce, aad, fromHex(one.msg))) === hex(sealed);
    const opened = attempt(() => hex(openGcm(key, nonce, aad, sealed)));
    const valid = one.result === "valid";
    expect({ sealsAlike, opened }).toEqual({
      sealsAlike: valid,
      opened: valid ? one.msg : "AuthenticationError",
    });
  });
});

function attempt(action: () => string): string {
  try {
    return action();
  } catch (error) {
    return (error as Error).name;
  }
}
