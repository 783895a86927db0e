import { expect, test } from "vitest";
import { recordKey } from "../../src/formats/records/record-key.ts";
import { TABLES } from "../../src/formats/records/tables.ts";
import { DAY_MS } from "./kms-vault.ts";
import { type Ground, grounds } from "./kms-ground.ts";

const newGround = grounds();

function dueCount({ keystore }: Ground): number {
  return keystore.records.keys({ prefix: Uint8Array.of(TABLES.due) }).length;
}

test("a key whose bytes could not be removed is gone all the same, and their removal is tried again", async () => {
  const ground = await newGround();
  const { kms, clock, notices } = ground;
  const { keyId } = (await kms.createKey()).keyMetadata;
  await kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
  ground.compactionFails = true;
  clock.nowMs += 7 * DAY_MS;
  await expect(kms.describeKey({ keyId })).rejects.toMatchObject({
    code: "COFFER_NOT_FOUND",
    details: { deletedAt: new Date(clock.nowMs).toISOString() },
  });
  expect(notices).toEqual([expect.stringContaining("could not be completed (no space left)")]);
  expect(dueCount(ground)).toBe(1);
  ground.compactionFails = false;
  clock.nowMs += 59_999;
  await kms.listKeys();
  expect([dueCount(ground), ground.compactions]).toEqual([1, 0]);
  clock.nowMs += 1;
  await kms.listKeys();
  // Record, versions and the mirrors of both.
  expect([dueCount(ground), ground.compactions]).toEqual([0, 4]);
  await expect(kms.describeKey({ keyId })).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
});

test("calls that wait for what is due are answered, and it is done once", async () => {
  const ground = await newGround();
  const { kms, clock } = ground;
  const { keyId } = (await kms.createKey()).keyMetadata;
  await kms.enableKeyRotation({ keyId, rotationPeriodInDays: 90 });
  clock.nowMs += 90 * DAY_MS;
  const answers = await Promise.all(Array.from({ length: 20 }, () => kms.encrypt({ keyId, plaintext: "x" })));
  expect(new Set(answers.map(({ keyVersion }) => keyVersion))).toEqual(new Set([2]));
  expect((await kms.listKeyRotations({ keyId })).rotations).toHaveLength(1);
});

test("a rotation record that its key no longer means is dropped", async () => {
  const ground = await newGround();
  const { kms, clock, keystore } = ground;
  const { keyMetadata } = await kms.createKey();
  const { id } = keystore.resolve(keyMetadata.keyId);
  await keystore.change((transaction) => {
    const due = { id, what: "rotate" as const, at: clock.nowMs };
    transaction.put(TABLES.due, recordKey.due(keystore.keys.name, id, "rotate"), due);
  });
  expect((await kms.describeKey({ keyId: keyMetadata.keyId })).keyMetadata.keyVersion).toBe(1);
  expect(dueCount(ground)).toBe(0);
});
