import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { TABLES } from "../../src/formats/records/tables.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import type { Vault } from "../../src/vault.ts";
import { cheapPassphrase, DAY_MS, START_MS, testVaults } from "./kms-vault.ts";

const newVault = testVaults();

const NOT_FOUND = { code: "COFFER_NOT_FOUND" };

async function newKeyId(vault: Vault, alias?: string): Promise<string> {
  return (await vault.kms.createKey({ alias })).keyMetadata.keyId;
}

/** Whether any file below a directory holds some bytes. */
async function isInFiles(directory: string, bytes: Uint8Array): Promise<boolean> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    if ((await readFile(join(entry.parentPath, entry.name))).includes(Buffer.from(bytes))) return true;
  }
  return false;
}

/** The first bytes of every value that a closed vault's database holds for keys and versions. */
async function storedTraces(directory: string): Promise<Uint8Array[]> {
  const store = await openLevelStore(join(directory, "db-1"), { create: false });
  const traces: Uint8Array[] = [];
  try {
    const range = { gte: Uint8Array.of(TABLES.keys), lt: Uint8Array.of(TABLES.versions + 1) };
    for await (const [, value] of store.entries(range)) traces.push(value.slice(0, 24));
  } finally {
    await store.close();
  }
  return traces;
}

describe("trap 23: deletion is scheduled, blocks at once, and really happens", () => {
  test("the key is blocked from the call on, and described with its date", async () => {
    const { vault } = await newVault();
    const keyId = await newKeyId(vault);
    const { ciphertextBlob } = await vault.kms.encrypt({ keyId, plaintext: "x" });
    const answer = await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    const deletionDate = new Date(START_MS + 7 * DAY_MS);
    expect(answer).toEqual({ keyId, deletionDate, keyState: "PendingDeletion", pendingWindowInDays: 7 });
    expect((await vault.kms.describeKey({ keyId })).keyMetadata).toMatchObject({
      keyState: "PendingDeletion",
      enabled: false,
      deletionDate,
      pendingDeletionWindowInDays: 7,
    });
    await expect(vault.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject({
      code: "COFFER_INVALID_KEY_STATE",
    });
    await expect(vault.kms.scheduleKeyDeletion({ keyId })).rejects.toMatchObject({
      code: "COFFER_INVALID_KEY_STATE",
    });
  });

  test("the window is 7 to 366 days, and 30 unless told", async () => {
    const { vault } = await newVault();
    const keyId = await newKeyId(vault);
    for (const pendingWindowInDays of [6, 367, 7.5]) {
      await expect(vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays })).rejects.toMatchObject({
        code: "COFFER_INVALID_ARGUMENT",
      });
    }
    expect((await vault.kms.scheduleKeyDeletion({ keyId })).pendingWindowInDays).toBe(30);
  });

  test("when the time has come the key is gone with its aliases and tags, before the next access", async () => {
    const { vault, clock } = await newVault();
    const keyId = await newKeyId(vault, "alias/goes");
    const stays = await newKeyId(vault, "alias/stays");
    await vault.kms.createAlias({ aliasName: "alias/goes-too", targetKeyId: keyId });
    await vault.kms.tagResource({ keyId, tags: [{ tagKey: "a", tagValue: "b" }] });
    const { ciphertextBlob } = await vault.kms.encrypt({ keyId, plaintext: "x" });
    await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    clock.nowMs = START_MS + 7 * DAY_MS - 1;
    expect((await vault.kms.describeKey({ keyId })).keyMetadata.keyState).toBe("PendingDeletion");
    clock.nowMs = START_MS + 7 * DAY_MS;
    const deletedAt = new Date(clock.nowMs).toISOString();
    const gone = { ...NOT_FOUND, details: { keyId, deletedAt } };
    await expect(vault.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject(gone);
    await expect(vault.kms.describeKey({ keyId })).rejects.toMatchObject(gone);
    await expect(vault.kms.describeKey({ keyId: "alias/goes" })).rejects.toMatchObject(NOT_FOUND);
    const { aliases } = await vault.kms.listAliases();
    expect(aliases.map(({ aliasName }) => aliasName).sort()).toEqual(["alias/default", "alias/stays"]);
    expect((await vault.kms.listKeys()).keys.map((key) => key.keyId)).toContain(stays);
    expect((await vault.kms.listKeys()).keys).toHaveLength(2);
    await vault.kms.createKey({ alias: "alias/goes" });
  });

  test("also when the vault was closed in between, and the tombstone stays", async () => {
    const { vault, clock, reopen, notices } = await newVault();
    const keyId = await newKeyId(vault);
    const { ciphertextBlob } = await vault.kms.encrypt({ keyId, plaintext: "x" });
    await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    await vault.close();
    clock.nowMs += 8 * DAY_MS;
    const again = await reopen();
    expect((await again.kms.listKeys()).keys).toHaveLength(1);
    await again.close();
    clock.nowMs += DAY_MS;
    const third = await reopen();
    await expect(third.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject({
      ...NOT_FOUND,
      message: expect.stringContaining("was deleted on 2026-01-09") as string,
    });
    expect(notices).toEqual([]);
  });

  test("the wrapped bytes of a deleted key are in no file of the vault", async () => {
    const { vault, clock, directory, reopen } = await newVault();
    await vault.close();
    const before = await storedTraces(directory);
    const second = await reopen();
    const keyId = await newKeyId(second);
    await second.kms.rotateKeyOnDemand({ keyId });
    await second.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    await second.close();
    const traces = (await storedTraces(directory)).filter(
      (trace) => !before.some((known) => Buffer.compare(known, trace) === 0),
    );
    // The key's record and its two versions.
    expect(traces).toHaveLength(3);
    for (const trace of traces) expect(await isInFiles(directory, trace)).toBe(true);
    clock.nowMs += 7 * DAY_MS;
    const third = await reopen();
    for (const trace of traces) expect(await isInFiles(directory, trace)).toBe(false);
    for (const trace of before) expect(await isInFiles(directory, trace)).toBe(true);
    expect((await third.kms.listKeys()).keys).toHaveLength(1);
  });

  test("a cancelled deletion does not happen", async () => {
    const { vault, clock } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    await vault.kms.cancelKeyDeletion({ keyId });
    clock.nowMs += 30 * DAY_MS;
    expect((await vault.kms.describeKey({ keyId })).keyMetadata.keyState).toBe("Disabled");
  });

  test("a protected key is not scheduled until its protection is off", async () => {
    const { vault } = await newVault();
    const { keyId } = (await vault.kms.describeKey()).keyMetadata;
    const refused = { code: "COFFER_INVALID_KEY_STATE", reason: "deletion-protection" };
    await expect(vault.kms.scheduleKeyDeletion({ keyId })).rejects.toMatchObject(refused);
    await vault.kms.setDeletionProtection({ keyId, enableDeletionProtection: false });
    expect((await vault.kms.describeKey()).keyMetadata.deletionProtection).toBe(false);
    await vault.kms.scheduleKeyDeletion({ keyId });
    await expect(
      vault.kms.setDeletionProtection({ keyId, enableDeletionProtection: true }),
    ).rejects.toMatchObject({ code: "COFFER_INVALID_KEY_STATE" });
  });

  test("many keys that are due at once all go", async () => {
    const { vault, clock } = await newVault();
    const keyIds = await Promise.all(Array.from({ length: 70 }, () => newKeyId(vault)));
    await Promise.all(
      keyIds.map((keyId) => vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 })),
    );
    clock.nowMs += 7 * DAY_MS;
    const lists = await Promise.all([1, 2, 3].map(() => vault.kms.listKeys()));
    for (const { keys } of lists) expect(keys).toHaveLength(1);
  });
});

describe("a clock that is wrong", () => {
  test("set back does no harm: nothing falls due, time stands still, a warning says so", async () => {
    const { vault, clock, notices, reopen } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    await vault.close();
    clock.nowMs = START_MS - 1000 * DAY_MS;
    const again = await reopen();
    const { keyMetadata } = await again.kms.createKey();
    expect(keyMetadata.creationDate).toEqual(new Date(START_MS));
    expect((await again.kms.describeKey({ keyId })).keyMetadata.keyState).toBe("PendingDeletion");
    expect(notices.map(({ message }) => message)).toEqual([
      expect.stringContaining("The clock is before the vault's last change"),
    ]);
  });

  test("years ahead is noted, and believed when a later session finds it a day further on", async () => {
    const { vault, clock, notices, reopen } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    const isPending = async (on: Vault): Promise<boolean> =>
      on.kms.describeKey({ keyId }).then(
        ({ keyMetadata }) => keyMetadata.keyState === "PendingDeletion",
        () => false,
      );
    clock.nowMs = START_MS + 401 * DAY_MS;
    expect(await isPending(vault)).toBe(true);
    // In the same session a day does not confirm it.
    clock.nowMs += 2 * DAY_MS;
    expect(await isPending(vault)).toBe(true);
    expect(notices.map(({ message }) => message)).toEqual([
      expect.stringContaining("more than 400 days after"),
    ]);
    await vault.close();
    clock.nowMs = START_MS + 401 * DAY_MS + DAY_MS - 1;
    const second = await reopen();
    expect(await isPending(second)).toBe(true);
    expect((await second.kms.createKey()).keyMetadata.creationDate).toEqual(new Date(START_MS));
    await second.close();
    clock.nowMs += 1;
    const third = await reopen();
    expect(await isPending(third)).toBe(false);
    expect((await third.kms.createKey()).keyMetadata.creationDate).toEqual(new Date(clock.nowMs));
  });

  test("that is far on makes no waiting time of a deletion shorter than was said [F-116]", async () => {
    const { vault, clock, reopen } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.close();
    // Nobody has opened it for 500 days.
    clock.nowMs = START_MS + 500 * DAY_MS;
    const again = await reopen();
    const scheduledAtMs = clock.nowMs;
    const { deletionDate } = await again.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 366 });
    expect(deletionDate).toEqual(new Date(scheduledAtMs + 366 * DAY_MS));
    await again.close();
    clock.nowMs += DAY_MS + 1000;
    const nextDay = await reopen();
    expect((await nextDay.kms.describeKey({ keyId })).keyMetadata).toMatchObject({
      keyState: "PendingDeletion",
      deletionDate,
    });
    await nextDay.kms.cancelKeyDeletion({ keyId });
    await nextDay.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
    clock.nowMs += 7 * DAY_MS - 1;
    expect((await nextDay.kms.describeKey({ keyId })).keyMetadata.keyState).toBe("PendingDeletion");
    clock.nowMs += 1;
    await expect(nextDay.kms.describeKey({ keyId })).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
  });

  test("that is right again is believed at once, and the leap is forgotten", async () => {
    const { vault, clock, reopen } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 300 });
    clock.nowMs = START_MS + 3650 * DAY_MS;
    await vault.kms.describeKey();
    await vault.close();
    clock.nowMs = START_MS + DAY_MS;
    const second = await reopen();
    expect((await second.kms.createKey()).keyMetadata.creationDate).toEqual(new Date(clock.nowMs));
    await second.close();
    clock.nowMs = START_MS + 3652 * DAY_MS;
    const third = await reopen();
    expect((await third.kms.describeKey({ keyId })).keyMetadata.keyState).toBe("PendingDeletion");
  });

  test("is judged anew after lock and unlock", async () => {
    const { vault, clock } = await newVault();
    clock.nowMs = START_MS + 500 * DAY_MS;
    await vault.kms.describeKey();
    await vault.lock();
    clock.nowMs += DAY_MS;
    await vault.unlock(cheapPassphrase());
    expect((await vault.kms.createKey()).keyMetadata.creationDate).toEqual(new Date(clock.nowMs));
  });
});

describe("trap 19: rotation adds material under the same key", () => {
  test("old blobs decrypt, new ones are made by the new version", async () => {
    const { vault } = await newVault();
    const keyId = await newKeyId(vault, "alias/rotates");
    const old = await vault.kms.encrypt({ keyId, plaintext: "old" });
    expect(await vault.kms.rotateKeyOnDemand({ keyId })).toEqual({ keyId, keyVersion: 2 });
    const fresh = await vault.kms.encrypt({ keyId: "alias/rotates", plaintext: "new" });
    expect([old.keyVersion, fresh.keyVersion]).toEqual([1, 2]);
    const { plaintext, keyVersion } = await vault.kms.decrypt({ ciphertextBlob: old.ciphertextBlob });
    expect([new TextDecoder().decode(plaintext), keyVersion]).toEqual(["old", 1]);
    const forged = fresh.ciphertextBlob.slice();
    forged[27] = 1;
    await expect(vault.kms.decrypt({ ciphertextBlob: forged })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
  });

  test("automatic rotation happens at its date, once for what was missed, and keeps its schedule", async () => {
    const { vault, clock, reopen } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.enableKeyRotation({ keyId, rotationPeriodInDays: 90 });
    clock.nowMs = START_MS + 90 * DAY_MS - 1;
    expect((await vault.kms.encrypt({ keyId, plaintext: "x" })).keyVersion).toBe(1);
    clock.nowMs += 1;
    expect((await vault.kms.encrypt({ keyId, plaintext: "x" })).keyVersion).toBe(2);
    await vault.close();
    clock.nowMs = START_MS + 365 * DAY_MS;
    const again = await reopen();
    expect((await again.kms.describeKey({ keyId })).keyMetadata.keyVersion).toBe(3);
    expect(await again.kms.getKeyRotationStatus({ keyId })).toEqual({
      keyId,
      keyRotationEnabled: true,
      rotationPeriodInDays: 90,
      nextRotationDate: new Date(START_MS + 450 * DAY_MS),
    });
    const { rotations, truncated } = await again.kms.listKeyRotations({ keyId });
    expect(truncated).toBe(false);
    expect(rotations).toEqual([
      {
        keyId,
        keyVersion: 2,
        keyMaterialState: "NON_CURRENT",
        rotationDate: new Date(START_MS + 90 * DAY_MS),
        rotationType: "AUTOMATIC",
      },
      {
        keyId,
        keyVersion: 3,
        keyMaterialState: "CURRENT",
        rotationDate: new Date(clock.nowMs),
        rotationType: "AUTOMATIC",
      },
    ]);
  });
});

describe("trap 20: rotation waits while the key is not enabled", () => {
  test("a disabled key keeps its schedule, and rotates at once when it is enabled overdue", async () => {
    const { vault, clock } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.enableKeyRotation({ keyId, rotationPeriodInDays: 90 });
    await vault.kms.disableKey({ keyId });
    clock.nowMs += 100 * DAY_MS;
    expect((await vault.kms.describeKey({ keyId })).keyMetadata.keyVersion).toBe(1);
    expect((await vault.kms.getKeyRotationStatus({ keyId })).keyRotationEnabled).toBe(true);
    await vault.kms.enableKey({ keyId });
    expect((await vault.kms.encrypt({ keyId, plaintext: "x" })).keyVersion).toBe(2);
  });

  test("pending deletion the status reads false, and the setting comes back", async () => {
    const { vault } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.enableKeyRotation({ keyId });
    await vault.kms.scheduleKeyDeletion({ keyId });
    expect(await vault.kms.getKeyRotationStatus({ keyId })).toEqual({ keyId, keyRotationEnabled: false });
    await vault.kms.cancelKeyDeletion({ keyId });
    expect(await vault.kms.getKeyRotationStatus({ keyId })).toMatchObject({
      keyRotationEnabled: true,
      rotationPeriodInDays: 365,
    });
  });
});

describe("trap 21: rotation on demand", () => {
  test("leaves the automatic schedule alone, and ends after 25 times", async () => {
    const { vault } = await newVault();
    const keyId = await newKeyId(vault);
    await vault.kms.enableKeyRotation({ keyId, rotationPeriodInDays: 100 });
    const before = await vault.kms.getKeyRotationStatus({ keyId });
    await Promise.all(Array.from({ length: 25 }, () => vault.kms.rotateKeyOnDemand({ keyId })));
    expect(await vault.kms.getKeyRotationStatus({ keyId })).toEqual(before);
    await expect(vault.kms.rotateKeyOnDemand({ keyId })).rejects.toMatchObject({
      code: "COFFER_LIMIT_EXCEEDED",
    });
    const all = await vault.kms.listKeyRotations({
      keyId,
      includeKeyMaterial: "ALL_KEY_MATERIAL",
      limit: 20,
    });
    expect(all.rotations.map(({ keyVersion }) => keyVersion)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    expect(all.rotations[0]).not.toHaveProperty("rotationType");
    const rest = await vault.kms.listKeyRotations({ keyId, marker: all.nextMarker });
    expect(rest.rotations.at(-1)).toMatchObject({
      keyVersion: 26,
      keyMaterialState: "CURRENT",
      rotationType: "ON_DEMAND",
    });
  });

  test("the period of automatic rotation is 90 to 2,560 days, and enabling again changes it", async () => {
    const { vault, clock } = await newVault();
    const keyId = await newKeyId(vault);
    for (const rotationPeriodInDays of [89, 2561]) {
      await expect(vault.kms.enableKeyRotation({ keyId, rotationPeriodInDays })).rejects.toMatchObject({
        code: "COFFER_INVALID_ARGUMENT",
      });
    }
    await vault.kms.enableKeyRotation({ keyId });
    clock.nowMs += DAY_MS;
    await vault.kms.enableKeyRotation({ keyId, rotationPeriodInDays: 90 });
    expect(await vault.kms.getKeyRotationStatus({ keyId })).toMatchObject({
      rotationPeriodInDays: 90,
      nextRotationDate: new Date(START_MS + 91 * DAY_MS),
    });
    await vault.kms.disableKeyRotation({ keyId });
    await vault.kms.disableKeyRotation({ keyId });
    clock.nowMs += 300 * DAY_MS;
    expect((await vault.kms.describeKey({ keyId })).keyMetadata.keyVersion).toBe(1);
  });
});
