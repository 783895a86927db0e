import { describe, expect, it } from "vitest";
import { openGcm, sealGcm } from "../../src/crypto/aes-gcm.ts";
import { expand } from "../../src/crypto/hkdf.ts";
import { hmac } from "../../src/crypto/hmac.ts";
import { open, sealWithSalt } from "../../src/crypto/seal.ts";
import { firstWrongAnswer, selfTest } from "../../src/crypto/self-test.ts";

const RIGHT = { hmac, expand, sealGcm, openGcm, sealWithSalt, open };

describe("the self-test", () => {
  it("passes here, and again", () => {
    selfTest();
    expect(selfTest()).toBeUndefined();
    expect(firstWrongAnswer(RIGHT)).toBeUndefined();
  });

  it("takes little time", () => {
    const start = process.hrtime.bigint();
    firstWrongAnswer(RIGHT);
    // Ten times the promise: a guard against a hang.
    expect(Number(process.hrtime.bigint() - start)).toBeLessThan(20_000_000);
  });

  it.each([
    ["HMAC-SHA-256", { hmac: (...input: Parameters<typeof hmac>) => flipped(hmac(...input)) }],
    ["HKDF-Expand-SHA-384", { expand: (...input: Parameters<typeof expand>) => flipped(expand(...input)) }],
    ["AES-256-GCM", { sealGcm: (...input: Parameters<typeof sealGcm>) => flipped(sealGcm(...input)) }],
    ["AES-256-GCM open", { openGcm: (...input: Parameters<typeof openGcm>) => flipped(openGcm(...input)) }],
    ["AES-256-GCM refusal", { openGcm: () => new Uint8Array(16) }],
    ["SEAL", { sealWithSalt: () => new Uint8Array(78) }],
    ["SEAL open", { open: (...input: Parameters<typeof open>) => flipped(open(...input)) }],
    ["SEAL refusal", { open: () => new TextEncoder().encode("Coffer") }],
    [
      "HMAC-SHA-256",
      {
        hmac: () => {
          throw new Error("no such digest");
        },
      },
    ],
  ])("finds a wrong %s", (name, wrong) => {
    expect(firstWrongAnswer({ ...RIGHT, ...wrong })).toBe(name);
  });
});

function flipped(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const changed = new Uint8Array(bytes);
  changed[0] = (changed[0] as number) ^ 1;
  return changed;
}
