import { join } from "node:path";
import { expect, test } from "vitest";

import { cheapPassphrase } from "../../src/testing.ts";
import { openVault, restoreVault } from "../../src/vault.ts";
import { bytesOf, storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";

test("a backup holds the stored files of its moment, and a restore gives them back [F-164] [F-167]", async () => {
  const { vault, folder } = await storeGround();
  const [large, small] = [bytesOf(150_000), bytesOf(100)];
  await vault.store.write("d/large", large);
  await vault.store.write("d/small", small);
  const file = join(folder, "backup.coa");
  expect(await vault.backup(file)).toMatchObject({ objectCount: 1 });
  const restored = await restoreVault(file, join(folder, "again"), { unlock: cheapPassphrase(SECRET) });
  expect(restored).toMatchObject({ objectCount: 1, missingObjectCount: 0 });
  await vault.close();
  await using again = await openVault(join(folder, "again"), { unlock: cheapPassphrase(SECRET) });
  expect(await again.store.read("d/large")).toEqual(large);
  expect(await again.store.read("d/small")).toEqual(small);
  expect((await again.store.verify()).problems).toEqual([]);
});

test("a backup that leaves the files out says how many are missing", async () => {
  const { vault, folder } = await storeGround();
  await vault.store.write("large", bytesOf(150_000));
  const file = join(folder, "backup.coa");
  expect(await vault.backup(file, { store: false })).toMatchObject({ objectCount: 0 });
  const restored = await restoreVault(file, join(folder, "again"), { unlock: cheapPassphrase(SECRET) });
  expect(restored).toMatchObject({ objectCount: 0, missingObjectCount: 1 });
});
