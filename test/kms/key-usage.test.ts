import { describe, expect, test } from "vitest";
import { START_MS, testVaults } from "./kms-vault.ts";

const newVault = testVaults();
const HOUR_MS = 3_600_000;

describe("getKeyLastUsage", () => {
  test("tells the last successful use, and nothing before the first", async () => {
    const { vault, clock } = await newVault();
    const { kms } = vault;
    const { keyId } = (await kms.createKey()).keyMetadata;
    const keyCreationDate = new Date(START_MS);
    expect(await kms.getKeyLastUsage({ keyId })).toEqual({ keyId, keyCreationDate });
    const { ciphertextBlob } = await kms.encrypt({ keyId, plaintext: "x" });
    clock.nowMs += 1000;
    await kms.decrypt({ ciphertextBlob });
    const keyLastUsage = { operation: "decrypt", timestamp: new Date(clock.nowMs) };
    clock.nowMs += 1000;
    await kms.encrypt({ keyId, plaintext: "x", dryRun: true });
    await kms.decrypt({ ciphertextBlob, encryptionContext: { a: "b" } }).catch(() => undefined);
    await kms.describeKey({ keyId });
    expect(await kms.getKeyLastUsage({ keyId })).toEqual({ keyId, keyCreationDate, keyLastUsage });
  });

  test("counts a re-encryption for both keys", async () => {
    const { kms } = (await newVault()).vault;
    const keyIds = [(await kms.createKey()).keyMetadata.keyId, (await kms.createKey()).keyMetadata.keyId];
    const [keyId, destinationKeyId = ""] = keyIds;
    const { ciphertextBlob } = await kms.encrypt({ keyId, plaintext: "x" });
    await kms.reEncrypt({ ciphertextBlob, destinationKeyId });
    for (const each of keyIds) {
      expect((await kms.getKeyLastUsage({ keyId: each })).keyLastUsage?.operation).toBe("reEncrypt");
    }
  });

  test("is kept over a close, and gone with its key", async () => {
    const { vault, reopen, clock } = await newVault();
    const { keyId } = (await vault.kms.createKey()).keyMetadata;
    await vault.kms.generateDataKey({ keyId, keySpec: "AES_256" });
    await vault.close();
    const again = await reopen();
    expect((await again.kms.getKeyLastUsage({ keyId })).keyLastUsage).toEqual({
      operation: "generateDataKey",
      timestamp: new Date(START_MS),
    });
    await again.kms.encrypt({ keyId, plaintext: "x" });
    await again.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    clock.nowMs += 8 * 24 * HOUR_MS;
    await expect(again.kms.getKeyLastUsage({ keyId })).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    await again.close();
    const third = await reopen();
    expect((await third.kms.listKeys()).keys).toHaveLength(1);
  });

  test("is written at most hourly: a session that uses a key soon again writes nothing", async () => {
    const { vault, reopen, clock } = await newVault();
    const { ciphertextBlob, keyId } = await vault.kms.encrypt({ plaintext: "x" });
    await vault.close();
    const lastWritten = async (): Promise<unknown> => {
      const opened = await reopen();
      const { keyLastUsage } = await opened.kms.getKeyLastUsage({ keyId });
      await opened.kms.decrypt({ ciphertextBlob });
      await opened.close();
      return keyLastUsage;
    };
    const first = { operation: "encrypt", timestamp: new Date(START_MS) };
    clock.nowMs += HOUR_MS - 1;
    expect(await lastWritten()).toEqual(first);
    clock.nowMs += 1;
    expect(await lastWritten()).toEqual(first);
    expect(await lastWritten()).toEqual({ operation: "decrypt", timestamp: new Date(clock.nowMs) });
  });
});
