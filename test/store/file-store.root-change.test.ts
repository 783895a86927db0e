import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";

import { equal } from "../../src/bytes.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { openVault, restoreVault } from "../../src/vault.ts";
import { withStore } from "../doctor-vaults.ts";
import { all, bytesOf, objectsOf, storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";

test("a change of the root key leaves the stored files readable, for readers that were open too", async () => {
  const ground = await storeGround();
  const { vault, folder } = ground;
  const large = bytesOf(400_000, 1);
  await vault.store.write("d/large", large, { metadata: { a: "b" } });
  await vault.store.write("d/small", bytesOf(100, 2));
  await vault.backup(join(folder, "before.coa"));
  await using open = await vault.store.open("d/large");
  const stream = await vault.store.readStream("d/large");
  await vault.rotateRootKey({ slots: [{ unlocker: cheapPassphrase(SECRET) }] });
  expect(equal(await open.read(0, large.length), large)).toBe(true);
  expect(Buffer.concat(await all(stream)).equals(large)).toBe(true);
  await vault.store.write("d/after", bytesOf(9000, 3));
  await vault.store.move("d/small", "small");
  await vault.backup(join(folder, "after.coa"));
  await ground.reopen();
  await restoreVault(join(folder, "before.coa"), join(folder, "b"), { unlock: cheapPassphrase(SECRET) });
  await restoreVault(join(folder, "after.coa"), join(folder, "a"), { unlock: cheapPassphrase(SECRET) });
  await using before = await openVault(join(folder, "b"), { unlock: cheapPassphrase(SECRET) });
  await using after = await openVault(join(folder, "a"), { unlock: cheapPassphrase(SECRET) });
  for (const { store } of [ground.vault, before, after]) {
    expect(equal(await store.read("d/large"), large)).toBe(true);
    expect((await store.stat("d/large")).metadata).toEqual({ a: "b" });
    expect((await store.verify()).problems).toEqual([]);
  }
  expect(equal(await after.store.read("d/after"), bytesOf(9000, 3))).toBe(true);
});

test("salvage reads the stored files whose names are intact, and writes nothing", async () => {
  const ground = await storeGround();
  for (const name of ["a", "b", "c"]) await ground.vault.store.write(name, bytesOf(9000, name.charCodeAt(0)));
  await ground.vault.store.write("small", bytesOf(100));
  await ground.vault.close();
  const objects = await objectsOf(ground.directory);
  await withStore(ground.directory, async (database) => {
    let isFirst = true;
    const entries = { gte: Uint8Array.of(0x20), lt: Uint8Array.of(0x21) };
    for await (const [key, value] of database.entries(entries)) {
      if (isFirst)
        await database.write([{ type: "put", key, value: Uint8Array.from(randomBytes(value.length)) }]);
      isFirst = false;
    }
  });
  const vault = await ground.reopen({ salvage: true });
  // Of an altered record an older one counts, where LevelDB still has it.
  const found = (await all(vault.store.list())).map(({ path }) => path);
  expect(found.length).toBeGreaterThanOrEqual(3);
  for (const name of found) {
    const expected = name === "small" ? bytesOf(100) : bytesOf(9000, name.charCodeAt(0));
    expect(equal(await vault.store.read(name), expected)).toBe(true);
  }
  const readOnly = { code: "COFFER_IO", reason: "read-only" };
  await expect(vault.store.write("new", "text")).rejects.toMatchObject(readOnly);
  await expect(vault.store.remove(found[0] ?? "")).rejects.toMatchObject(readOnly);
  await vault.close();
  expect(await objectsOf(ground.directory)).toEqual(objects);
});
