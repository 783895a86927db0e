import * as argon2 from "argon2";
import { describe, expect, it } from "vitest";
import { fromHex, hex, utf8 } from "../../src/bytes.ts";
import {
  argon2id,
  argon2Implementation,
  assertArgon2Cost,
  assertMemoryAvailable,
  type Argon2Cost,
} from "../../src/crypto/argon2id.ts";
import { KdfLimitError, OutOfMemoryError } from "../../src/errors.ts";
import { fixture, vectors } from "../vectors.ts";

interface Rfc9106 {
  readonly type: "argon2d" | "argon2i" | "argon2id";
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
  readonly tagLength: number;
  readonly password: string;
  readonly salt: string;
  readonly secret: string;
  readonly associatedData: string;
  readonly tag: string;
}

interface Simple {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
  readonly passwordText: string;
  readonly saltText: string;
  readonly tag: string;
}

const golden = fixture("crypto/known-answers.json") as {
  argon2id: readonly (Argon2Cost & { source: string; password: string; salt: string; tag: string })[];
};
const published = vectors("misc/argon2.json") as
  { readonly rfc9106: readonly Rfc9106[]; readonly simple: readonly Simple[] } | undefined;
const CHEAP: Argon2Cost = { memoryKiB: 64, passes: 1, lanes: 1 };
const password = utf8("a passphrase");
const salt = new Uint8Array(32);

describe("argon2id", () => {
  it("runs in the native package here", async () => {
    expect(await argon2Implementation()).toBe("argon2");
  });

  it.each(golden.argon2id)("gives the known answer: $source", async (one) => {
    const tag = await argon2id({
      password: fromHex(one.password),
      salt: fromHex(one.salt),
      cost: one,
      lengthBytes: 32,
    });
    expect(hex(tag)).toBe(one.tag);
  });

  it("leaves the password as it was and returns fresh memory", async () => {
    const given = Buffer.from("a passphrase");
    const tag = await argon2id({ password: given, salt, cost: CHEAP, lengthBytes: 64 });
    expect(given.toString()).toBe("a passphrase");
    expect([tag.length, tag.buffer.byteLength, tag.constructor]).toEqual([64, 64, Uint8Array]);
    expect(hex(await argon2id({ password, salt, cost: CHEAP, lengthBytes: 64 }))).toBe(hex(tag));
  });

  it("rejects with the signal's reason: before, and at once while it runs", async () => {
    const reason = new Error("changed my mind");
    const input = { password, salt, cost: { memoryKiB: 65_536, passes: 4, lanes: 1 }, lengthBytes: 32 };
    await expect(argon2id({ ...input, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const running = argon2id({ ...input, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 10);
    const start = performance.now();
    await expect(running).rejects.toBe(reason);
    const abortedMs = performance.now() - start;
    const whole = performance.now();
    await argon2id(input);
    expect(abortedMs).toBeLessThan(performance.now() - whole);
  });

  it("refuses arguments of a wrong type or length", async () => {
    const input = { password, salt, cost: CHEAP, lengthBytes: 32 };
    await expect(argon2id({ ...input, password: new Uint8Array(0) })).rejects.toThrow(RangeError);
    await expect(argon2id({ ...input, salt: new Uint8Array(7) })).rejects.toThrow(RangeError);
    await expect(argon2id({ ...input, lengthBytes: 3 })).rejects.toThrow(RangeError);
    await expect(argon2id({ ...input, password: "x" as unknown as Uint8Array })).rejects.toThrow(TypeError);
  });

  it("refuses what no machine should be asked for, whoever calls", async () => {
    for (const cost of [
      { memoryKiB: 1_048_577, passes: 1, lanes: 1 },
      { memoryKiB: 64, passes: 65, lanes: 1 },
      { memoryKiB: 1024, passes: 1, lanes: 17 },
      { memoryKiB: 31, passes: 1, lanes: 4 },
      { memoryKiB: 2 ** 32 + 64, passes: 1, lanes: 1 },
    ]) {
      await expect(argon2id({ password, salt, cost, lengthBytes: 32 })).rejects.toThrow(KdfLimitError);
    }
  });
});

describe("a cost", () => {
  const floor = { memoryKiB: 65_536, passes: 3, lanes: 1 };

  it("is accepted from the floor to the ceiling", () => {
    expect(() => assertArgon2Cost(floor)).not.toThrow();
    expect(() => assertArgon2Cost({ memoryKiB: 1_048_576, passes: 64, lanes: 16 })).not.toThrow();
  });

  it.each([
    ["memory below the floor", { memoryKiB: 65_535 }],
    ["passes below the floor", { passes: 2 }],
    ["no lanes", { lanes: 0 }],
    ["memory above the ceiling", { memoryKiB: 1_048_577 }],
    ["passes above the ceiling", { passes: 65 }],
    ["lanes above the ceiling", { lanes: 17 }],
    ["a fraction", { passes: 3.5 }],
    ["no number", { memoryKiB: Number.NaN }],
  ])("is refused for %s", (_, change) => {
    expect(() => assertArgon2Cost({ ...floor, ...change })).toThrow(KdfLimitError);
  });

  it("may pass a lower floor that the caller names", () => {
    expect(() => assertArgon2Cost(CHEAP, { memoryKiB: 64, passes: 1 })).not.toThrow();
    expect(() => assertArgon2Cost(CHEAP, { memoryKiB: 65, passes: 1 })).toThrow(KdfLimitError);
  });

  it("is refused where the memory is not there", () => {
    expect(() => assertMemoryAvailable(floor, 64 * 2 ** 20)).not.toThrow();
    expect(() => assertMemoryAvailable(floor, 64 * 2 ** 20 - 1)).toThrow(OutOfMemoryError);
    expect(() => assertMemoryAvailable(floor, 0)).toThrow(/needs 64 MiB of memory, and 0 MiB are free/u);
    expect(() => assertMemoryAvailable(CHEAP)).not.toThrow();
  });
});

describe.runIf(published !== undefined)("published vectors", () => {
  it.each(published?.rfc9106 ?? [])("RFC 9106 $type, with secret and associated data", async (one) => {
    const tag = await argon2.hash(Buffer.from(fromHex(one.password)), {
      raw: true,
      type: argon2[one.type],
      version: 0x13,
      memoryCost: one.memoryKiB,
      timeCost: one.passes,
      parallelism: one.lanes,
      hashLength: one.tagLength,
      salt: Buffer.from(fromHex(one.salt)),
      secret: Buffer.from(fromHex(one.secret)),
      associatedData: Buffer.from(fromHex(one.associatedData)),
    });
    expect(hex(tag)).toBe(one.tag);
  });

  it.each(published?.simple ?? [])(
    "$memoryKiB KiB, $passes passes, $lanes lanes, $passwordText, $saltText",
    async (one) => {
      const tag = await argon2id({
        password: utf8(one.passwordText),
        salt: utf8(one.saltText),
        cost: one,
        lengthBytes: 32,
      });
      expect(hex(tag)).toBe(one.tag);
    },
  );
});
