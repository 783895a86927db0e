import { describe, expect, it } from "vitest";
import { equal, fromHex, hex } from "../../src/bytes.ts";
import { expand, type HashName } from "../../src/crypto/hkdf.ts";
import { digest, hmac } from "../../src/crypto/hmac.ts";
import { fixture, vectors } from "../vectors.ts";

interface Macs {
  readonly testGroups: readonly {
    readonly tagSize: number;
    readonly tests: readonly {
      readonly tcId: number;
      readonly key: string;
      readonly msg: string;
      readonly tag: string;
      readonly result: string;
    }[];
  }[];
}

interface Hkdfs {
  readonly testGroups: readonly {
    readonly tests: readonly {
      readonly tcId: number;
      readonly ikm: string;
      readonly salt: string;
      readonly info: string;
      readonly size: number;
      readonly okm: string;
      readonly result: string;
    }[];
  }[];
}

const HASHES: readonly HashName[] = ["sha256", "sha384", "sha512"];
const golden = fixture("crypto/known-answers.json") as {
  hmac: readonly ({ source: string; key: string; message: string } & Record<HashName, string>)[];
  expand: readonly { source: string; hash: HashName; prk: string; info: string; okm: string }[];
};

describe("hmac", () => {
  it.each(golden.hmac)("gives the known answers: $source", (one) => {
    for (const hash of HASHES) {
      expect(hex(hmac(hash, fromHex(one.key), fromHex(one.message)))).toBe(one[hash]);
    }
  });

  it("joins its parts, and returns fresh memory", () => {
    const parts = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)];
    const whole = Uint8Array.of(1, 2, 3);
    const key = new Uint8Array(32);
    for (const hash of HASHES) {
      const mac = hmac(hash, key, ...parts);
      expect(equal(mac, hmac(hash, key, whole))).toBe(true);
      expect(equal(digest(hash, ...parts), digest(hash, whole))).toBe(true);
      expect(mac.buffer.byteLength).toBe(mac.length);
      expect(mac.constructor).toBe(Uint8Array);
      expect(digest(hash, whole).buffer.byteLength).toBe(mac.length);
    }
  });
});

describe("expand", () => {
  it.each(golden.expand)("gives the known answer: $source", (one) => {
    const okm = expand(one.hash, fromHex(one.prk), fromHex(one.info), one.okm.length / 2);
    expect(hex(okm)).toBe(one.okm);
    expect(okm.buffer.byteLength).toBe(okm.length);
  });

  it("gives a prefix of one output, whatever the length", () => {
    const prk = new Uint8Array(32);
    const info = new Uint8Array(5000);
    const longest = expand("sha256", prk, info, 255 * 32);
    for (const length of [1, 31, 32, 33, 64, 65, 8159]) {
      expect(equal(expand("sha256", prk, info, length), longest.subarray(0, length))).toBe(true);
    }
  });

  it("refuses a length that the construction does not have", () => {
    const prk = new Uint8Array(32);
    for (const length of [0, -1, 1.5, Number.NaN, 255 * 64 + 1]) {
      expect(() => expand("sha512", prk, prk, length)).toThrow(RangeError);
    }
  });
});

describe.each(HASHES)("published vectors of %s", (hash) => {
  const macs = vectors(`wycheproof/hmac_${hash}_test.json`) as Macs | undefined;
  const hkdfs = vectors(`wycheproof/hkdf_${hash}_test.json`) as Hkdfs | undefined;

  it.runIf(macs !== undefined)("hold for HMAC, cut tags included", () => {
    const cases = macs?.testGroups.flatMap((group) => group.tests.map((one) => ({ group, ...one }))) ?? [];
    expect(cases.length).toBeGreaterThan(150);
    for (const { group, ...one } of cases) {
      const mac = hmac(hash, fromHex(one.key), fromHex(one.msg)).subarray(0, group.tagSize / 8);
      expect(equal(mac, fromHex(one.tag)), `case ${one.tcId}`).toBe(one.result === "valid");
    }
  });

  it.runIf(hkdfs !== undefined)("hold for HKDF with the Extract step made here", () => {
    const cases = hkdfs?.testGroups.flatMap((group) => group.tests) ?? [];
    expect(cases.length).toBeGreaterThan(50);
    for (const one of cases) {
      const prk = hmac(hash, fromHex(one.salt), fromHex(one.ikm));
      const derive = (): string => hex(expand(hash, prk, fromHex(one.info), one.size));
      expect(attempt(derive), `case ${one.tcId}`).toBe(one.result === "valid" ? one.okm : "RangeError");
    }
  });
});

function attempt(action: () => string): string {
  try {
    return action();
  } catch (error) {
    return (error as Error).name;
  }
}
