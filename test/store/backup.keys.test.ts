/** A backup, and the keys of the objects in it: what seals them is in the same backup, or no backup is made. */
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import { equal } from "../../src/bytes.ts";
import { encodeEndFrame, encodeObjectPrefix } from "../../src/formats/backup.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { createVault, openVault, restoreVault, type Vault } from "../../src/vault.ts";
import { resealedBackup } from "./resealed-backup.ts";
import { bytesOf, objectsOf, type StoreGround, storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";
const unlock = () => cheapPassphrase(SECRET);
const DAY_MS = 86_400_000;

async function rotate(vault: Vault): Promise<void> {
  const { keyMetadata } = await vault.kms.describeKey();
  await vault.kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
}

/** A vault whose backup takes a while, and one that begins once it does. */
async function longBackup({ vault, folder }: StoreGround): Promise<{
  readonly began: Promise<void>;
  readonly file: string;
  readonly done: Promise<unknown>;
}> {
  for (let i = 0; i < 12; i++) await vault.store.write(`f${i}`, bytesOf(2_000_000, i + 1));
  const file = join(folder, "backup.coa");
  let tell = (): void => undefined;
  const began = new Promise<void>((resolve) => (tell = resolve));
  const done = vault.backup(file, { onProgress: () => tell() });
  return { began, file, done };
}

test("keys that are rotated while a backup is made do not lock what is in it [F-165]", async () => {
  const ground = await storeGround();
  const { vault, folder } = ground;
  const { began, file, done } = await longBackup(ground);
  await began;
  await rotate(vault);
  let isMade = false;
  const rewrapped = vault.store.rewrapAll().then((answer) => ({ ...answer, isMade }));
  await done.then(() => (isMade = true));
  expect(await rewrapped).toEqual({ rewrapped: 12, unchanged: 0, isMade: true });
  await restoreVault(file, join(folder, "again"), { unlock: unlock() });
  await using again = await openVault(join(folder, "again"), { unlock: unlock() });
  for (let i = 0; i < 12; i++) {
    expect(equal(await again.store.read(`f${i}`), bytesOf(2_000_000, i + 1))).toBe(true);
  }
});

test("a backup waits for keys that are being exchanged, and holds the new ones [F-165]", async () => {
  const { vault, folder } = await storeGround();
  for (let i = 0; i < 20; i++) await vault.store.write(`f${i}`, bytesOf(9000, i + 1));
  await rotate(vault);
  const rewrapped = vault.store.rewrapAll();
  await vault.backup(join(folder, "backup.coa"));
  expect(await rewrapped).toEqual({ rewrapped: 20, unchanged: 0 });
  await restoreVault(join(folder, "backup.coa"), join(folder, "again"), { unlock: unlock() });
  await using again = await openVault(join(folder, "again"), { unlock: unlock() });
  expect(await again.store.rewrapAll()).toEqual({ rewrapped: 0, unchanged: 20 });
});

test("who waits for a backup can be told not to, and the lock ends both", async () => {
  const ground = await storeGround();
  const { vault } = ground;
  const { began, done } = await longBackup(ground);
  done.catch(() => undefined);
  await began;
  const given = new AbortController();
  const waiting = vault.store.rewrapAll({ signal: given.signal });
  given.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  const locked = vault.store.rewrapAll();
  locked.catch(() => undefined);
  await vault.lock();
  await expect(locked).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await expect(done).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await vault.unlock(unlock());
  expect(await vault.store.rewrapAll()).toEqual({ rewrapped: 0, unchanged: 12 });
});

/** Two states of one vault: its backup from before a rotation, its objects from after. */
async function tornApart(): Promise<StoreGround & { readonly file: string }> {
  const ground = await storeGround();
  const { vault, folder } = ground;
  for (const i of [1, 2, 3]) await vault.store.write(`f${i}`, bytesOf(9000, i));
  const file = join(folder, "backup.coa");
  await vault.backup(file);
  await rotate(vault);
  await vault.store.rewrapAll();
  await vault.close();
  return { ...ground, file };
}

test("no backup is made of objects whose keys the vault does not have [F-165]", async () => {
  const { folder, directory, file } = await tornApart();
  await restoreVault(file, join(folder, "again"), { unlock: unlock() });
  await cp(join(directory, "objects"), join(folder, "again", "objects"), { recursive: true });
  await using again = await openVault(join(folder, "again"), { unlock: unlock() });
  await expect(again.backup(join(folder, "second.coa"))).rejects.toMatchObject({
    code: "COFFER_DAMAGED",
    details: { part: "content", reason: "key" },
  });
  expect(await readdir(folder)).toEqual(["again", "backup.coa", "vault"]);
  await again.backup(join(folder, "second.coa"), { store: false });
});

test("a backup of objects whose keys it does not hold is refused [F-167]", async () => {
  const { folder, directory, file } = await tornApart();
  const objects = new Map<string, Uint8Array>();
  for (const path of await objectsOf(directory)) {
    objects.set(path.slice(-36, -4), new Uint8Array(await readFile(path)));
  }
  await resealedBackup(file, SECRET, ({ records, recordCount }) => [
    records,
    ...[...objects].flatMap(([id, bytes]) => [
      encodeObjectPrefix(Buffer.from(id, "hex"), bytes.length),
      bytes,
    ]),
    encodeEndFrame(recordCount, objects.size),
  ]);
  for (const verifyOnly of [true, false]) {
    await expect(
      restoreVault(file, join(folder, "again"), { unlock: unlock(), verifyOnly }),
    ).rejects.toMatchObject({ code: "COFFER_DAMAGED", details: { part: "backup", field: "key" } });
  }
  expect(await readdir(folder)).toEqual(["backup.coa", "vault"]);
});

test("files under a key that is disabled or was deleted keep nobody from a backup", async () => {
  const folder = await mkdtemp(join(tmpdir(), "coffer-store-"));
  try {
    let nowMs = Date.now();
    const clock = () => nowMs;
    await using vault = (await createVault(join(folder, "vault"), { unlock: unlock(), clock })).vault;
    const { keyMetadata: first } = await vault.kms.createKey({});
    const { keyMetadata: second } = await vault.kms.createKey({});
    await vault.store.write("deleted", bytesOf(9000, 1), { keyId: first.keyId });
    await vault.store.write("disabled", bytesOf(9000, 2), { keyId: second.keyId });
    await vault.kms.disableKey({ keyId: second.keyId });
    await vault.kms.scheduleKeyDeletion({ keyId: first.keyId, pendingWindowInDays: 7 });
    nowMs += 8 * DAY_MS;
    await expect(vault.store.read("deleted")).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    await vault.backup(join(folder, "backup.coa"));
    await restoreVault(join(folder, "backup.coa"), join(folder, "again"), { unlock: unlock() });
    await using again = await openVault(join(folder, "again"), { unlock: unlock(), clock });
    await again.kms.enableKey({ keyId: second.keyId });
    expect(equal(await again.store.read("disabled"), bytesOf(9000, 2))).toBe(true);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
