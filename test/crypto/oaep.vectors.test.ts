import { constants, createPrivateKey, generateKeyPairSync, privateDecrypt, publicEncrypt } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, hex } from "../../src/bytes.ts";
import { unpadOaep } from "../../src/crypto/oaep.ts";
import { fixture, vectors } from "../vectors.ts";

interface OaepVectors {
  readonly testGroups: readonly {
    readonly privateKeyPkcs8: string;
    readonly tests: readonly {
      readonly tcId: number;
      readonly comment: string;
      readonly msg: string;
      readonly ct: string;
      readonly label: string;
      readonly result: "valid" | "invalid" | "acceptable";
      readonly flags: readonly string[];
    }[];
  }[];
}

const MESSAGE_BYTES = 32;
const golden = fixture("crypto/oaep.json") as {
  readonly message: string;
  readonly encoded: string;
  readonly refused: readonly { readonly name: string; readonly encoded: string }[];
};
const wycheproof = vectors("wycheproof/rsa_oaep_2048_sha256_mgf1sha256_test.json") as OaepVectors | undefined;

/** The block as a token without any padding of its own gives it, or nothing where it cannot. */
function rawBlock(pkcs8: string, ciphertext: string): Uint8Array | undefined {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, "hex"), format: "der", type: "pkcs8" });
  try {
    const block = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, Buffer.from(ciphertext, "hex"));
    return new Uint8Array(block);
  } catch {
    return undefined;
  }
}

describe("OAEP unpadding", () => {
  it("gives the golden message [F-148]", () => {
    expect(hex(unpadOaep(fromHex(golden.encoded), MESSAGE_BYTES) ?? new Uint8Array())).toBe(golden.message);
  });

  it.each(golden.refused)("refuses the golden block with $name [F-148]", ({ encoded }) => {
    expect(unpadOaep(fromHex(encoded), MESSAGE_BYTES)).toBeUndefined();
  });

  it("refuses every golden block of which one bit is flipped", () => {
    const block = fromHex(golden.encoded);
    for (let at = 0; at < block.length; at++) {
      const flipped = Uint8Array.from(block, (byte, index) => (index === at ? byte ^ 0x10 : byte));
      expect(unpadOaep(flipped, MESSAGE_BYTES), `byte ${at}`).toBeUndefined();
    }
  });

  it.runIf(wycheproof !== undefined)("agrees with Wycheproof, for each message's own length", () => {
    let valid = 0;
    let refused = 0;
    for (const group of wycheproof?.testGroups ?? []) {
      for (const { tcId, msg, ct, label, result } of group.tests) {
        const block = rawBlock(group.privateKeyPkcs8, ct);
        const length = msg.length / 2;
        // A token is never given a ciphertext of another length, and refuses one above the modulus by itself.
        const message = block === undefined || length > 190 ? undefined : unpadOaep(block, length);
        const isOurs = result === "valid" && label === "";
        expect(message === undefined ? undefined : hex(message), `tcId ${tcId}`).toBe(
          isOurs ? msg : undefined,
        );
        if (isOurs) valid += 1;
        else refused += 1;
      }
    }
    expect(valid).toBeGreaterThanOrEqual(10);
    expect(refused).toBeGreaterThan(10);
  });

  it("agrees with node:crypto for any message, and takes no other length", () => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 190 }), fc.nat(190), (message, other) => {
        const sealed = publicEncrypt({ key: publicKey, padding, oaepHash: "sha256" }, message);
        const block = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, sealed);
        expect(unpadOaep(block, message.length)).toEqual(message);
        if (other !== message.length) expect(unpadOaep(block, other)).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  it("refuses a length that no block of this size holds", () => {
    expect(() => unpadOaep(new Uint8Array(256), 191)).toThrow(RangeError);
    expect(() => unpadOaep(new Uint8Array(64), 0)).toThrow(RangeError);
  });
});
