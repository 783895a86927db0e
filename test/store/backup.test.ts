import { readdir, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

import { concat, equal } from "../../src/bytes.ts";
import { encodeEndFrame, encodeObjectPrefix } from "../../src/formats/backup.ts";
import type { RestoreVaultOptions } from "../../src/index.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { openVault, restoreVault } from "../../src/vault.ts";
import { type OpenedFrames, resealedBackup } from "./resealed-backup.ts";
import { bytesOf, objectsOf, storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";

function restore(
  file: string,
  directory: string,
  options: Partial<RestoreVaultOptions> = {},
): ReturnType<typeof restoreVault> {
  return restoreVault(file, directory, { unlock: cheapPassphrase(SECRET), ...options });
}

test("a backup holds the stored files of its moment, and a restore gives them back [F-164] [F-167]", async () => {
  const { vault, folder } = await storeGround();
  const [large, small] = [bytesOf(150_000), bytesOf(100)];
  await vault.store.write("d/large", large);
  await vault.store.write("d/other", bytesOf(1_500_000, 2));
  await vault.store.write("d/small", small);
  const file = join(folder, "backup.coa");
  const told: number[] = [];
  const made = await vault.backup(file, {
    onProgress: ({ bytes, totalBytes }) => told.push(bytes, totalBytes),
  });
  expect(made).toMatchObject({ objectCount: 2 });
  expect(told.at(-1)).toBe(told.at(-2));
  expect(told.at(-1)).toBeGreaterThan(1_650_000);
  expect(await restore(file, "unused", { verifyOnly: true })).toMatchObject({ objectCount: 2 });
  const restored = await restore(file, join(folder, "again"));
  expect(restored).toMatchObject({ objectCount: 2, missingObjectCount: 0 });
  await vault.close();
  for (const path of await objectsOf(join(folder, "again"))) {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  }
  await using again = await openVault(join(folder, "again"), { unlock: cheapPassphrase(SECRET) });
  expect(equal(await again.store.read("d/large"), large)).toBe(true);
  expect(equal(await again.store.read("d/other"), bytesOf(1_500_000, 2))).toBe(true);
  expect(await again.store.read("d/small")).toEqual(small);
  expect((await again.store.verify()).problems).toEqual([]);
});

test("a backup that leaves the files out says how many are missing; the objects folder makes it whole", async () => {
  const { vault, folder, directory } = await storeGround();
  await vault.store.write("large", bytesOf(150_000));
  const file = join(folder, "backup.coa");
  expect(await vault.backup(file, { store: false })).toMatchObject({ objectCount: 0 });
  const warnings: string[] = [];
  const restored = await restore(file, join(folder, "again"), {
    onWarning: ({ message }) => void warnings.push(message),
  });
  expect(restored).toMatchObject({ objectCount: 0, missingObjectCount: 1 });
  expect(warnings.join()).toContain("objects folder");
  await vault.close();
  await rm(join(folder, "again", "objects"), { recursive: true, force: true });
  await rename(join(directory, "objects"), join(folder, "again", "objects"));
  await using again = await openVault(join(folder, "again"), { unlock: cheapPassphrase(SECRET) });
  expect(equal(await again.store.read("large"), bytesOf(150_000))).toBe(true);
});

test("files that are removed, replaced and added meanwhile do not tear a backup", async () => {
  const { vault, folder } = await storeGround();
  const names = Array.from({ length: 12 }, (_, i) => `f${i}`);
  for (const [i, name] of names.entries()) await vault.store.write(name, bytesOf(9000, i + 1));
  const backup = vault.backup(join(folder, "backup.coa"));
  await Promise.all([
    ...names.slice(0, 6).map((name) => vault.store.remove(name)),
    ...names.slice(6).map((name) => vault.store.write(name, bytesOf(8000), { overwrite: true })),
  ]);
  const { objectCount } = await backup;
  await restore(join(folder, "backup.coa"), join(folder, "again"));
  await vault.close();
  await using again = await openVault(join(folder, "again"), { unlock: cheapPassphrase(SECRET) });
  const { problems, files } = await again.store.verify();
  expect({ problems, files }).toEqual({ problems: [], files: objectCount });
});

test.each([
  ["missing", (path: string) => rm(path), "missing"],
  ["cut", (path: string) => truncate(path, 9000), "other"],
  ["cut in its first bytes", (path: string) => truncate(path, 20), "other"],
  ["longer", async (path: string) => writeFile(path, Buffer.alloc(10), { flag: "a" }), "other"],
  ["another file", (path: string) => writeFile(path, Buffer.alloc(150_000)), "other"],
  ["altered in its FLOE header", (path: string) => flip(path, 512 + 2 * 2048 + 70), "other"],
])("no backup is made where an object is %s, and the one before stays", async (_, harm, reason) => {
  const { vault, folder, directory } = await storeGround();
  await vault.store.write("large", bytesOf(150_000));
  const file = join(folder, "backup.coa");
  await vault.backup(file);
  const before = await readFile(file);
  const [path = ""] = await objectsOf(directory);
  await harm(path);
  const content = /([0-9a-f]{32})\.cof$/u.exec(path)?.[1];
  await expect(vault.backup(file, { overwrite: true })).rejects.toMatchObject({
    code: "COFFER_DAMAGED",
    details: { part: "content", reason, content },
  });
  expect((await readFile(file)).equals(before)).toBe(true);
  expect(await readdir(folder)).toEqual(["backup.coa", "vault"]);
  await vault.backup(file, { overwrite: true, store: false });
});

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

test("a backup and a restore of files can be given up", async () => {
  const { vault, folder } = await storeGround();
  await vault.store.write("large", bytesOf(6_000_000));
  const file = join(folder, "backup.coa");
  const onProgress = (): void => {
    throw new Error("enough");
  };
  await expect(vault.backup(file, { onProgress })).rejects.toThrow("enough");
  expect(await readdir(folder)).toEqual(["vault"]);
  await vault.backup(file);
  await expect(restore(file, join(folder, "again"), { onProgress })).rejects.toThrow("enough");
  expect(await readdir(folder)).toEqual(["backup.coa", "vault"]);
});

const ID_AT = 9;
const COF_AT = ID_AT + 16;

test.each<[string, (frames: OpenedFrames) => readonly Uint8Array[], boolean?]>([
  [
    "an object twice",
    ({ records, recordCount, objects: [a = X, b = X] }) => [records, a, b, a, encodeEndFrame(recordCount, 3)],
  ],
  [
    "an object less",
    ({ records, recordCount, objects: [a = X] }) => [records, a, encodeEndFrame(recordCount, 1)],
  ],
  [
    "an object that no record names",
    ({ records, recordCount, objects: [a = X, b = X] }) => [
      records,
      a,
      b,
      changedAt(a, ID_AT),
      encodeEndFrame(recordCount, 3),
    ],
  ],
  [
    "objects under each other's ids",
    ({ records, recordCount, objects: [a = X, b = X] }) => [
      records,
      swapped(a, b),
      swapped(b, a),
      encodeEndFrame(recordCount, 2),
    ],
  ],
  [
    "an object before its record",
    ({ records, recordCount, objects: [a = X, b = X] }) => [a, records, b, encodeEndFrame(recordCount, 2)],
  ],
  [
    "an object with another header tag",
    ({ records, recordCount, objects: [a = X, b = X] }) => [
      records,
      changedAt(a, COF_AT + 512 + 2 * 2048 + 70),
      b,
      encodeEndFrame(recordCount, 2),
    ],
  ],
  [
    "an object without its last bytes",
    ({ records, recordCount, objects: [a = X, b = X] }) => [
      records,
      cut(a),
      b,
      encodeEndFrame(recordCount, 2),
    ],
  ],
  [
    "an object of no bytes",
    ({ records, recordCount, objects: [a = X, b = X] }) => [
      records,
      encodeObjectPrefix(a.slice(ID_AT, COF_AT), 0),
      b,
      encodeEndFrame(recordCount, 2),
    ],
  ],
  [
    "an object longer than any file",
    ({ records, objects: [a = X] }) => [
      records,
      encodeObjectPrefix(a.slice(ID_AT, COF_AT), 2 ** 52),
      a.slice(COF_AT),
    ],
  ],
  [
    "a wrong number of objects",
    ({ records, recordCount, objects: [a = X, b = X] }) => [records, a, b, encodeEndFrame(recordCount, 3)],
  ],
  [
    "objects without the flag",
    ({ records, recordCount, objects: [a = X, b = X] }) => [records, a, b, encodeEndFrame(recordCount, 2)],
    false,
  ],
])("a backup with %s is refused, and nothing is made [F-164] [F-167]", async (_, change, hasObjects) => {
  const { vault, folder } = await storeGround();
  await vault.store.write("a", bytesOf(9000, 1));
  await vault.store.write("b", bytesOf(70_000, 2));
  const file = join(folder, "backup.coa");
  await vault.backup(file);
  await resealedBackup(file, SECRET, ({ records, recordCount, objects }) => [
    records,
    ...objects,
    encodeEndFrame(recordCount, 2),
  ]);
  expect(await restore(file, "unused", { verifyOnly: true })).toMatchObject({ objectCount: 2 });
  await resealedBackup(file, SECRET, change, hasObjects);
  for (const verifyOnly of [true, false]) {
    await expect(restore(file, join(folder, "again"), { verifyOnly })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
      details: { part: "backup" },
    });
  }
  expect(await readdir(folder)).toEqual(["backup.coa", "vault"]);
});

const X = new Uint8Array();

function changedAt(bytes: Uint8Array, at: number): Uint8Array {
  const changed = bytes.slice();
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

function swapped(own: Uint8Array, other: Uint8Array): Uint8Array {
  return concat(encodeObjectPrefix(own.slice(ID_AT, COF_AT), other.length - COF_AT), other.slice(COF_AT));
}

function cut(object: Uint8Array): Uint8Array {
  return concat(
    encodeObjectPrefix(object.slice(ID_AT, COF_AT), object.length - COF_AT - 9),
    object.slice(COF_AT, -9),
  );
}
