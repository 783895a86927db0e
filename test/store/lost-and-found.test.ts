import { copyFile, mkdir, readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";

import { equal } from "../../src/bytes.ts";
import { TABLES } from "../../src/formats/records/tables.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import type { Vault } from "../../src/vault.ts";
import { readStored } from "../../src/keystore/stored-record.ts";
import { keysFrom, withStore } from "../doctor-vaults.ts";
import { all, bytesOf, objectsOf, storeGround } from "./store-ground.ts";

const idOf = (path: string): string => basename(path, ".cof");

const paths = async (vault: Vault): Promise<string[]> =>
  (await all(vault.store.walk())).map(({ path }) => path);

test("an object that no record names comes to lost+found, and one that does not open stays [F-239] [F-243]", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("kept", bytesOf(9000, 1));
  const [kept = ""] = await objectsOf(ground.directory);
  await ground.vault.store.write("x", bytesOf(50_000, 2));
  const [path = ""] = (await objectsOf(ground.directory)).filter((found) => found !== kept);
  await copyFile(path, join(ground.folder, "copy"));
  await ground.vault.store.remove("x", { purge: true });
  await mkdir(dirname(path), { recursive: true });
  await copyFile(join(ground.folder, "copy"), path);
  const broken = path.replace(/[0-9a-f]{32}\.cof$/u, `${idOf(path).slice(0, 2)}${"0".repeat(30)}.cof`);
  await copyFile(path, broken);
  await ground.reopen();
  expect(await ground.vault.store.recover()).toEqual({
    rejoined: 0,
    attached: [`lost+found/${idOf(path)}`],
    unopened: [idOf(broken)],
  });
  const found = await ground.vault.store.read(`lost+found/${idOf(path)}`);
  expect(equal(found, bytesOf(50_000, 2))).toBe(true);
  const { problems } = await ground.vault.store.verify();
  expect(problems).toEqual([{ problem: "orphan", content: idOf(broken) }]);
  expect(await ground.vault.store.recover()).toMatchObject({ attached: [], unopened: [idOf(broken)] });
  expect(equal(await readFile(broken), await readFile(path))).toBe(true);
});

test("a sound store has nothing to recover, whatever is removed and replaced meanwhile", async () => {
  const { vault } = await storeGround();
  for (let i = 0; i < 8; i++) await vault.store.write(`d/f${i}`, bytesOf(9000, i));
  const removed = vault.store.remove("d/f0");
  const nothing = { rejoined: 0, attached: [], unopened: [] };
  const answers = await Promise.all([
    vault.store.recover(),
    vault.store.reencrypt(""),
    vault.store.write("d/f1", bytesOf(7000), { overwrite: true }),
    vault.store.recover(),
    vault.store.write("new", bytesOf(7000)),
    vault.store.remove("d", { recursive: true }),
    vault.store.recover(),
    removed,
  ]);
  expect([answers[0], answers[3], answers[6]]).toEqual([nothing, nothing, nothing]);
  expect((await vault.store.verify()).problems).toEqual([]);
  // What was written while its directory was removed came before that, or after.
  expect([["new"], ["d", "d/f1", "new"]]).toContainEqual(await paths(vault));
});

test("lost records are found again by what is left: names kept, contents and directories attached", async () => {
  const ground = await storeGround();
  const { store } = ground.vault;
  await store.write("a/b/inner", bytesOf(9000, 1));
  await store.write("a/b/small", bytesOf(10));
  await store.write("named", bytesOf(20_000, 2));
  await store.write("nameless", bytesOf(30_000, 3));
  await store.write("lost+found", bytesOf(10));
  await ground.vault.close();
  const keys = await keysFrom(ground.directory, cheapPassphrase("a passphrase for tests"));
  await withStore(ground.directory, async (database) => {
    for await (const [key, value] of database.entries()) {
      const lost = losesRecord(keys, key, value);
      if (lost) await database.write([{ type: "delete", key }]);
    }
  });
  keys.wipe();
  await ground.reopen();
  const { problems } = await ground.vault.store.verify();
  expect(problems.map(({ problem }) => problem)).toContain("index");
  expect(await ground.vault.store.recover()).toMatchObject({ rejoined: 1, unopened: [] });
  const found = await paths(ground.vault);
  expect(found).toContain("named");
  expect(equal(await ground.vault.store.read("named"), bytesOf(20_000, 2))).toBe(true);
  const inner = found.find((path) => path.endsWith("/inner")) ?? "";
  // A file has the name of the usual directory.
  expect(inner).toMatch(/^lost\+found 2\/[0-9a-f]{32}\/inner$/u);
  expect(equal(await ground.vault.store.read(inner), bytesOf(9000, 1))).toBe(true);
  const contents = found.filter((path) => /^lost\+found 2\/[0-9a-f]{32}$/u.test(path));
  const sizes = await Promise.all(contents.map(async (path) => (await ground.vault.store.stat(path)).size));
  expect(sizes.toSorted((a, b) => a - b)).toEqual([0, 30_000]);
});

function losesRecord(
  keys: Awaited<ReturnType<typeof keysFrom>>,
  key: Uint8Array,
  value: Uint8Array,
): boolean {
  if (key[0] !== TABLES.entries && key[0] !== TABLES.contents) return false;
  const { record } = readStored(keys, key, value);
  if (record === undefined) return false;
  if ("headerTag" in record) return record.length === 20_000;
  return "name" in record && (record.name === "b" || record.name === "nameless");
}

test("nothing is recovered while records do not open, or where nothing may be written", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("x", bytesOf(9000));
  const reader = await ground.reopen({ salvage: true });
  await expect(reader.store.recover()).rejects.toMatchObject({ code: "COFFER_IO", reason: "read-only" });
  await reader.close();
  await withStore(ground.directory, async (database) => {
    for await (const [key, value] of database.entries({
      gte: Uint8Array.of(0x20),
      lt: Uint8Array.of(0x21),
    })) {
      value[40] = (value[40] ?? 0) ^ 1;
      await database.write([{ type: "put", key, value }]);
    }
  });
  const vault = await ground.reopen();
  await expect(vault.store.recover()).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
});
