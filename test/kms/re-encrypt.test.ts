import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import type { Kms } from "../../src/kms/kms.ts";
import { testVaults } from "./kms-vault.ts";

const newVault = testVaults();
let kms: Kms;

beforeAll(async () => {
  kms = (await newVault()).vault.kms;
});

async function newKeyId(): Promise<string> {
  return (await kms.createKey()).keyMetadata.keyId;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());

describe("reEncrypt", () => {
  test("seals the same content under another key, and tells both", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    const { ciphertextBlob } = await kms.encrypt({ keyId: a, plaintext: "moves" });
    const moved = await kms.reEncrypt({ ciphertextBlob, destinationKeyId: b });
    expect(moved).toEqual({
      ciphertextBlob: expect.any(Uint8Array),
      sourceKeyId: a,
      sourceKeyVersion: 1,
      keyId: b,
      keyVersion: 1,
      sourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      destinationEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    });
    const { plaintext, keyId } = await kms.decrypt({ ciphertextBlob: moved.ciphertextBlob });
    expect([text(plaintext), keyId]).toEqual(["moves", b]);
  });

  test("brings a blob to the current version of its own key", async () => {
    const keyId = await newKeyId();
    const { ciphertextBlob } = await kms.encrypt({ keyId, plaintext: "x" });
    await kms.rotateKeyOnDemand({ keyId });
    const again = await kms.reEncrypt({ ciphertextBlob, destinationKeyId: keyId });
    expect([again.sourceKeyVersion, again.keyVersion]).toEqual([1, 2]);
  });

  test("trap 2: a source key id is a constraint", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    const { ciphertextBlob } = await kms.encrypt({ keyId: a, plaintext: "x" });
    await expect(
      kms.reEncrypt({ ciphertextBlob, sourceKeyId: b, destinationKeyId: b }),
    ).rejects.toMatchObject({
      code: "COFFER_INCORRECT_KEY",
    });
  });

  test("trap 11: an omitted destination context means none", async () => {
    const encryptionContext = { a: "b" };
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x", encryptionContext });
    const request = { ciphertextBlob, destinationKeyId: "alias/default" };
    await expect(kms.reEncrypt(request)).rejects.toMatchObject({ code: "COFFER_INVALID_CIPHERTEXT" });
    const bare = await kms.reEncrypt({ ...request, sourceEncryptionContext: encryptionContext });
    expect(text((await kms.decrypt({ ciphertextBlob: bare.ciphertextBlob })).plaintext)).toBe("x");
    const bound = await kms.reEncrypt({
      ciphertextBlob: bare.ciphertextBlob,
      destinationKeyId: "alias/default",
      destinationEncryptionContext: encryptionContext,
    });
    await expect(kms.decrypt({ ciphertextBlob: bound.ciphertextBlob })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
  });

  test("needs a destination", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    await expect(kms.reEncrypt({ ciphertextBlob } as never)).rejects.toThrow(
      new TypeError("destinationKeyId: required, and missing"),
    );
  });
});

describe("trap 14: encryptDataKey checks the key's digest before it wraps", () => {
  test("and decryptDataKey gives the digest back", async () => {
    // Huawei's own example: 64 zero bytes.
    const plaintext = new Uint8Array(64);
    const digest = sha256(plaintext);
    expect(Buffer.from(digest).toString("hex")).toMatch(/^f5a5fd42.*59fb4b$/u);
    const { ciphertextBlob, ...rest } = await kms.encryptDataKey({ plaintext, digest });
    expect(rest).toMatchObject({ keyVersion: 1, dataKeyBytes: 64 });
    expect(await kms.decryptDataKey({ ciphertextBlob })).toEqual({ plaintext, digest, ...rest });
    expect((await kms.decrypt({ ciphertextBlob })).plaintext).toEqual(plaintext);
  });

  test("a key that does not fit its digest is refused, and nothing of it shown", async () => {
    const digest = sha256(new Uint8Array(64));
    await expect(kms.encryptDataKey({ plaintext: new Uint8Array(63), digest })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "digest",
    });
    await expect(
      kms.encryptDataKey({ plaintext: new Uint8Array(1), digest: digest.subarray(1) }),
    ).rejects.toThrow(new RangeError("digest: expected 32 bytes, got 31"));
    await expect(kms.encryptDataKey({ plaintext: "key" as never, digest })).rejects.toThrow(TypeError);
    const long = new Uint8Array(1025);
    await expect(kms.encryptDataKey({ plaintext: long, digest: sha256(long) })).rejects.toMatchObject({
      code: "COFFER_LIMIT_EXCEEDED",
    });
  });

  test("the context binds it, as any blob", async () => {
    const plaintext = Uint8Array.of(1);
    const encryptionContext = { file: "a" };
    const { ciphertextBlob } = await kms.encryptDataKey({
      plaintext,
      digest: sha256(plaintext),
      encryptionContext,
    });
    await expect(kms.decryptDataKey({ ciphertextBlob })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
  });
});
