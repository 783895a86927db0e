import { inspect } from "node:util";
import { beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import type { EncryptResponse } from "../../src/kms/encrypt.ts";
import type { Kms } from "../../src/kms/kms.ts";
import type { DryRunResponse } from "../../src/kms/operation.ts";
import { cheapPassphrase, type TestVault, testVaults } from "./kms-vault.ts";

const newVault = testVaults();
let opened: TestVault;
let kms: Kms;

beforeAll(async () => {
  opened = await newVault();
  kms = opened.vault.kms;
});

const CANARY = "canary-7f3a";

/** Calls with a request that its type would not allow. */
function call(name: string, request: unknown): Promise<unknown> {
  const method = (kms as unknown as Record<string, (request: unknown) => Promise<unknown>>)[name];
  return (method as (request: unknown) => Promise<unknown>).call(kms, request);
}

describe("a request", () => {
  test.each([
    [
      "encrypt",
      { plaintext: "x", encryptioncontext: {} },
      "encryptioncontext: no such member in this request; did you mean encryptionContext?",
    ],
    ["encrypt", { plaintext: 7 }, "plaintext: expected a Uint8Array or a string, got number"],
    ["encrypt", {}, "plaintext: required, and missing"],
    ["encrypt", { plaintext: "x", keyId: 5 }, "keyId: expected a string, got number"],
    ["encrypt", { plaintext: "x", dryRun: "yes" }, "dryRun: expected a boolean, got string"],
    ["encrypt", "x", "request: expected an object, got string"],
    ["encrypt", null, "request: expected an object, got null"],
    [
      "decrypt",
      { ciphertextBlob: [1, 2] },
      "ciphertextBlob: expected a Uint8Array or a Base64 string, got an array",
    ],
    ["createKey", { tags: [{ tagKey: "a" }] }, "tags[0].tagValue: required, and missing"],
    ["createKey", { tags: "a" }, "tags: expected an array, got string"],
    ["listKeys", { limit: "5" }, "limit: expected a number, got string"],
    ["listKeys", { limit: Number.NaN }, "limit: expected a number, got NaN"],
    ["createAlias", { aliasName: "alias/x" }, "targetKeyId: required, and missing"],
  ])("%s(%j) is refused as a TypeError, label first", async (name, request, message) => {
    await expect(call(name, request)).rejects.toThrow(new TypeError(message));
  });

  test("is read once, member by member, and copied before anything is awaited", async () => {
    const reads: string[] = [];
    const plaintext = Uint8Array.of(1, 2, 3);
    const context = { a: "1" };
    const request = {
      get plaintext(): Uint8Array {
        reads.push("plaintext");
        return plaintext;
      },
      get encryptionContext(): Record<string, string> {
        reads.push("encryptionContext");
        return context;
      },
    };
    const pending = kms.encrypt(request);
    plaintext.fill(9);
    context.a = "2";
    const { ciphertextBlob } = await pending;
    expect(reads.sort()).toEqual(["encryptionContext", "plaintext"]);
    const blob = ciphertextBlob.slice();
    const decrypting = kms.decrypt({ ciphertextBlob: blob, encryptionContext: { a: "1" } });
    blob.fill(0);
    expect((await decrypting).plaintext).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("keeps its bytes: only our copies are wiped", async () => {
    const plaintext = Uint8Array.of(1, 2, 3);
    await kms.encrypt({ plaintext });
    expect(plaintext).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("shows nothing of its values in an error", async () => {
    const requests: readonly (readonly [string, unknown])[] = [
      ["encrypt", { plaintext: CANARY, keyId: { secret: CANARY } }],
      ["encrypt", { plaintext: CANARY, more: CANARY }],
      ["encrypt", { plaintext: CANARY.repeat(1000) }],
      ["encrypt", { plaintext: CANARY, keyId: "alias/none" }],
      ["encrypt", { plaintext: `${CANARY}\ud800` }],
      ["decrypt", { ciphertextBlob: CANARY }],
      ["generateDataKey", { keySpec: CANARY }],
    ];
    for (const [name, request] of requests) {
      const error: unknown = await call(name, request).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Error);
      expect(inspect(error) + JSON.stringify(error)).not.toContain(CANARY);
    }
  });
});

describe("trap 43: a dry run", () => {
  test("answers that the call would have succeeded, and does nothing", async () => {
    const before = await kms.listKeys();
    expect(await kms.createKey({ alias: "alias/dry", dryRun: true })).toEqual({ dryRun: true });
    expect(await kms.listKeys()).toEqual(before);
    await expect(kms.describeKey({ keyId: "alias/dry" })).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    expect(await kms.encrypt({ plaintext: "x", dryRun: true })).toEqual({ dryRun: true });
    expect(await kms.generateDataKey({ keySpec: "AES_256", dryRun: true })).toEqual({ dryRun: true });
  });

  test("rejects as the call would have", async () => {
    await expect(kms.createKey({ alias: "alias/default", dryRun: true })).rejects.toMatchObject({
      code: "COFFER_ALREADY_EXISTS",
    });
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    expect(await kms.decrypt({ ciphertextBlob, dryRun: true })).toEqual({ dryRun: true });
    const encryptionContext = { a: "b" };
    await expect(kms.decrypt({ ciphertextBlob, encryptionContext, dryRun: true })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
  });

  test("does not wait in a queue's way: what comes after it is done", async () => {
    const [dry, real] = await Promise.all([
      kms.createKey({ alias: "alias/dry-2", dryRun: true }),
      kms.createKey({ alias: "alias/dry-2" }),
    ]);
    expect(dry).toEqual({ dryRun: true });
    expect(real.keyMetadata.enabled).toBe(true);
  });

  test("has an answer of its own type", () => {
    expectTypeOf(() =>
      kms.encrypt({ plaintext: "x", dryRun: true }),
    ).returns.resolves.toEqualTypeOf<DryRunResponse>();
    expectTypeOf(() => kms.encrypt({ plaintext: "x" })).returns.resolves.toEqualTypeOf<EncryptResponse>();
    expectTypeOf(() =>
      kms.encrypt({ plaintext: "x", dryRun: false }),
    ).returns.resolves.toEqualTypeOf<EncryptResponse>();
  });
});

describe("trap 42: checks come in order", () => {
  test("the request before the key", async () => {
    await expect(kms.encrypt({ keyId: "alias/none", plaintext: "" })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
    });
    await expect(kms.decrypt({ keyId: "alias/none", ciphertextBlob: "" })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
  });

  test("the key before cryptography", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    const damaged = ciphertextBlob.slice();
    damaged[80] = (damaged[80] as number) ^ 1;
    await expect(kms.decrypt({ keyId: "alias/none", ciphertextBlob: damaged })).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
  });
});

describe("a locked vault", () => {
  test("refuses every operation with COFFER_LOCKED, and serves again when unlocked", async () => {
    const { vault } = await newVault();
    const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: "x" });
    await vault.lock();
    const locked = { code: "COFFER_LOCKED" };
    await expect(vault.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject(locked);
    await expect(vault.kms.createKey()).rejects.toMatchObject(locked);
    await expect(vault.kms.generateRandom({ numberOfBytes: 1 })).rejects.toMatchObject(locked);
    await vault.unlock(cheapPassphrase());
    expect((await vault.kms.decrypt({ ciphertextBlob })).plaintext).toEqual(Uint8Array.of(0x78));
  });
});

describe("vault.kms", () => {
  test("shows nothing of what it holds", () => {
    expect(inspect(kms, { depth: 9, showHidden: true })).toBe("[Kms]");
    expect(JSON.stringify({ kms })).toBe('{"kms":"[Kms]"}');
    expect(Object.assign({}, kms)).toEqual({});
  });
});
