import { beforeAll, describe, expect, test } from "vitest";
import type { Kms } from "../../src/kms/kms.ts";
import { testVaults } from "./kms-vault.ts";

const newVault = testVaults();
let kms: Kms;

beforeAll(async () => {
  kms = (await newVault()).vault.kms;
});

const INVALID = { code: "COFFER_INVALID_ARGUMENT" };

describe("generateDataKey", () => {
  test("gives a key in clear, and a blob that decrypts to it under the same context", async () => {
    const encryptionContext = { file: "film.mp4" };
    const dataKey = await kms.generateDataKey({ keySpec: "AES_256", encryptionContext });
    const { plaintext, keyId, keyVersion } = await kms.decrypt({
      ciphertextBlob: dataKey.ciphertextBlob,
      encryptionContext,
    });
    expect(dataKey).toMatchObject({ plaintext, keyId, keyVersion });
    await expect(kms.decrypt({ ciphertextBlob: dataKey.ciphertextBlob })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
  });

  test.each([
    [{ keySpec: "AES_256" as const }, 32],
    [{ keySpec: "AES_128" as const }, 16],
    [{ numberOfBytes: 1 }, 1],
    [{ numberOfBytes: 1024 }, 1024],
  ])("%j gives %i bytes", async (length, bytes) => {
    expect((await kms.generateDataKey(length)).plaintext).toHaveLength(bytes);
    const { ciphertextBlob, ...rest } = await kms.generateDataKeyWithoutPlaintext(length);
    expect(rest).not.toHaveProperty("plaintext");
    expect((await kms.decrypt({ ciphertextBlob })).plaintext).toHaveLength(bytes);
  });
});

describe("trap 12: exactly one of keySpec and numberOfBytes", () => {
  test.each([
    [{}],
    [{ keySpec: "AES_256" as const, numberOfBytes: 32 }],
    [{ numberOfBytes: 0 }],
    [{ numberOfBytes: 1025 }],
    [{ numberOfBytes: 1.5 }],
    [{ keySpec: "AES_512" as never }],
  ])("%j is refused", async (request) => {
    await expect(kms.generateDataKey(request)).rejects.toMatchObject(INVALID);
    await expect(kms.generateDataKeyWithoutPlaintext(request)).rejects.toMatchObject(INVALID);
  });

  test("each call gives a fresh key, unrelated to the ones before", async () => {
    const keys = await Promise.all(
      Array.from({ length: 20 }, () => kms.generateDataKey({ keySpec: "AES_256" })),
    );
    expect(new Set(keys.map(({ plaintext }) => Buffer.from(plaintext).toString("hex"))).size).toBe(20);
  });
});

describe("generateRandom", () => {
  test("gives as many bytes as asked for, others each time", async () => {
    const [a, b] = [
      await kms.generateRandom({ numberOfBytes: 1024 }),
      await kms.generateRandom({ numberOfBytes: 1024 }),
    ];
    expect(a.plaintext).toHaveLength(1024);
    expect(a.plaintext).not.toEqual(b.plaintext);
  });

  test("needs a number from 1 to 1,024", async () => {
    for (const numberOfBytes of [0, 1025, -1]) {
      await expect(kms.generateRandom({ numberOfBytes })).rejects.toMatchObject(INVALID);
    }
    await expect(kms.generateRandom({} as never)).rejects.toThrow(
      new TypeError("numberOfBytes: required, and missing"),
    );
  });
});
