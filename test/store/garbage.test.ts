import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import type { StoreEntry } from "../../src/storage/store.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { all, bytesOf, objectsOf, type StoreGround, storeGround, withRecords } from "./store-ground.ts";

const [ENTRIES, GARBAGE] = [0x20, 0x22];
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

async function recordsOf(ground: StoreGround, table: number): Promise<StoreEntry[]> {
  let found: StoreEntry[] = [];
  await withRecords(ground, async (_store, ofTable) => {
    found = ofTable(table);
  });
  return found;
}

/** The entries of the directory that has most of them. */
function largestOf(entries: readonly StoreEntry[]): StoreEntry[] {
  const groups = new Map<string, StoreEntry[]>();
  for (const entry of entries) {
    const directory = hexOf(entry[0].subarray(0, 17));
    groups.set(directory, [...(groups.get(directory) ?? []), entry]);
  }
  return [...groups.values()].toSorted((a, b) => b.length - a.length)[0] as StoreEntry[];
}

test("a damaged record in a removed directory is left, and nothing waits for it", async () => {
  const ground = await storeGround();
  for (let i = 0; i < 5; i++) await ground.vault.store.write(`dir/f${i}`, bytesOf(50_000, i));
  await withRecords(ground, async (store, ofTable) => {
    const [key, value] = largestOf(ofTable(ENTRIES))[0] as StoreEntry;
    value[value.length - 1] = (value.at(-1) as number) ^ 1;
    await store.write([{ type: "put", key, value }]);
  });
  const vault = await ground.reopen();
  await vault.store.remove("dir", { recursive: true });
  // The damaged one keeps its object, as nobody knows what it names.
  await expect.poll(async () => (await objectsOf(ground.directory)).length).toBe(1);
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(250);
  await vault.close();
  const again = await ground.reopen();
  expect((await again.store.verify()).problems.map(({ problem }) => problem)).toContain("index");
});

test(
  "what a removed directory held does not come back by a change of the root key",
  { timeout: 120_000 },
  async () => {
    for (let round = 0; round < 4; round++) {
      const { vault, directory } = await storeGround();
      for (let i = 0; i < 12; i++) await vault.store.write(`dir/f${i}`, bytesOf(i % 2 === 0 ? 9000 : 50, i));
      await Promise.all(Array.from({ length: 100 }, (_, i) => vault.store.write(`other/f${i}`, "x")));
      await vault.store.remove("dir", { recursive: true });
      if (round % 2 === 1) await new Promise((resolve) => setTimeout(resolve, 5 * round));
      await vault.rotateRootKey({
        slots: [{ unlocker: cheapPassphrase("a passphrase for tests") }],
        recoveryCode: false,
      });
      await vault.store.remove("other/f0", { purge: true });
      expect((await vault.store.verify()).problems).toEqual([]);
      expect(await objectsOf(directory)).toEqual([]);
      expect(await vault.store.recover()).toMatchObject({ attached: [] });
    }
  },
);

test("an older record that leads a directory back into itself is told, and walked once (A-14)", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("top", "x");
  const top = new Set((await recordsOf(ground, ENTRIES)).map(([key]) => hexOf(key.subarray(0, 17))));
  await (await ground.reopen()).store.write("a/b/file", "hello");
  const older = await recordsOf(ground, ENTRIES);
  const { store: moving } = await ground.reopen();
  await moving.move("a/b", "b");
  await moving.move("a", "b/a");
  await withRecords(ground, async (store, ofTable) => {
    const now = new Set(ofTable(ENTRIES).map(([key]) => hexOf(key)));
    const gone = older.find(([key]) => !now.has(hexOf(key)) && !top.has(hexOf(key.subarray(0, 17))));
    const [key, value] = gone as StoreEntry;
    await store.write([{ type: "put", key, value }]);
  });
  const { store } = await ground.reopen();
  const paths = (await all(store.walk())).map(({ path }) => path);
  expect(paths.toSorted()).toEqual(["b", "b/a", "b/file", "top"]);
  expect(await store.usage()).toMatchObject({ files: 2, directories: 2 });
  expect((await store.verify()).problems.map(({ problem }) => problem)).toEqual(["index"]);
});

test("an older list of removed files, put back, removes nothing, and is told (A-14)", async () => {
  const ground = await storeGround();
  for (let i = 0; i < 5; i++) await ground.vault.store.write(`source/f${i}`, bytesOf(9000, i));
  await ground.vault.store.write("other", "x");
  // While a directory is filled it stands on the list.
  const meanwhile = join(ground.folder, "meanwhile");
  await ground.vault.store.copy("source", "copy", {
    onProgress() {
      if (!existsSync(meanwhile)) cpSync(ground.directory, meanwhile, { recursive: true });
    },
  });
  const older = await garbageIn(meanwhile);
  expect(older.length).toBe(1);
  await withRecords(ground, async (store) =>
    store.write(older.map(([key, value]) => ({ type: "put", key, value }))),
  );
  const vault = await ground.reopen();
  const damage = new Promise<VaultNotice>((resolve) => void vault.on("damage", resolve));
  await vault.store.remove("other");
  expect((await damage).message).toContain("list of removed files");
  expect(await vault.store.usage("copy")).toMatchObject({ files: 5 });
  for (let i = 0; i < 5; i++) expect(await vault.store.read(`copy/f${i}`)).toEqual(bytesOf(9000, i));
  expect((await vault.store.verify()).problems.map(({ problem }) => problem)).toEqual(["index"]);
  await expect(vault.store.remove("source", { recursive: true, purge: true })).rejects.toMatchObject({
    code: "COFFER_IO",
    reason: "traces-left",
  });
});

async function garbageIn(directory: string): Promise<StoreEntry[]> {
  const store = await openLevelStore(join(directory, "db-1"), { create: false });
  const found = await all(store.entries({ gte: Uint8Array.of(GARBAGE), lt: Uint8Array.of(GARBAGE + 1) }));
  await store.close();
  return found;
}
