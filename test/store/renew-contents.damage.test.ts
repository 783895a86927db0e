/**
 * Renewal of a store in which contents are missing or damaged: all others are renewed, and then it is told.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import { TABLES } from "../../src/formats/records/tables.ts";
import { type FileSystem, nodeFileSystem } from "../../src/storage/file-system.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { createVaultIn, type Vault } from "../../src/vault.ts";
import { bytesOf, objectsOf, type StoreGround, storeGround, withRecords } from "./store-ground.ts";

const LARGE_BYTES = 20_000;

/** What becomes of the one object that is there, and of its record. */
const DAMAGES: Readonly<Record<string, (ground: StoreGround) => Promise<void>>> = {
  record: async (ground) => {
    await withRecords(ground, async (store, ofTable) => {
      await store.write(ofTable(TABLES.contents).map(([key]) => ({ type: "delete", key })));
    });
    for (const path of await objectsOf(ground.directory)) await rm(path);
  },
  missing: async ({ vault, directory }) => {
    await vault.close();
    for (const path of await objectsOf(directory)) await rm(path);
  },
  content: async ({ vault, directory }) => {
    await vault.close();
    const [path = ""] = await objectsOf(directory);
    const bytes = await readFile(path);
    await writeFile(path, bytes.fill(0, 512, 4608));
  },
};

/** A store of one file that is damaged and others that are not. */
async function damaged(reason: string): Promise<StoreGround> {
  const ground = await storeGround();
  // Names are worked on in no order that is known: most of the others come after this one, or before.
  await ground.vault.store.write("d/damaged", bytesOf(LARGE_BYTES));
  await DAMAGES[reason]?.(ground);
  const { store } = await ground.reopen();
  await store.write("d/small", bytesOf(100));
  for (let n = 0; n < 20; n++) await store.write(`d/large-${n}`, bytesOf(LARGE_BYTES, n));
  return ground;
}

async function expectOthers({ store }: Vault): Promise<void> {
  expect(await store.read("d/small")).toEqual(bytesOf(100));
  for (let n = 0; n < 20; n++) expect(await store.read(`d/large-${n}`)).toEqual(bytesOf(LARGE_BYTES, n));
}

test.each(Object.keys(DAMAGES))(
  "all others are wrapped anew before a content is told to be damaged: %s",
  async (reason) => {
    const { vault } = await damaged(reason);
    const { store, kms } = vault;
    const { keyMetadata: old } = await kms.describeKey();
    const { keyMetadata: next } = await kms.createKey({});
    const told = { code: "COFFER_DAMAGED", details: { part: "content", reason, count: 1 } };
    const signal = AbortSignal.timeout(20_000);
    await expect(store.rewrapAll({ keyId: next.keyId, signal })).rejects.toMatchObject(told);
    // Nothing waits for it any more.
    await store.copy("d/small", "copy");
    await kms.disableKey({ keyId: old.keyId });
    await expectOthers(vault);
  },
  30_000,
);

test.each(Object.keys(DAMAGES))(
  "all others are encrypted anew before a content is told to be damaged: %s",
  async (reason) => {
    const { vault, directory } = await damaged(reason);
    const before = new Set(await objectsOf(directory));
    const told = { code: "COFFER_DAMAGED", details: { part: "content", reason, count: 1 } };
    const signal = AbortSignal.timeout(20_000);
    await expect(vault.store.reencrypt("d", { signal })).rejects.toMatchObject(told);
    await vault.store.remove("d/small", { purge: true });
    const kept = (await objectsOf(directory)).filter((path) => before.has(path));
    expect(kept).toHaveLength(reason === "content" ? 1 : 0);
    await vault.store.write("d/small", bytesOf(100));
    await expectOthers(vault);
  },
  30_000,
);

test("a damaged file that is moved to and fro meanwhile ends no other way", async () => {
  const { vault } = await damaged("record");
  const { store } = vault;
  const renewed = store.rewrapAll({ signal: AbortSignal.timeout(20_000) });
  renewed.catch(() => undefined);
  for (let n = 0; n < 50; n++) {
    await store.move("d/damaged", "away");
    await store.move("away", "d/damaged");
  }
  await expect(renewed).rejects.toMatchObject({ code: "COFFER_DAMAGED", details: { reason: "record" } });
}, 30_000);

test("names that damage has taken keep no other file of a directory from being encrypted anew", async () => {
  const ground = await storeGround();
  for (let n = 0; n < 5; n++) await ground.vault.store.write(`f${n}`, bytesOf(LARGE_BYTES, n));
  await withRecords(ground, async (store, ofTable) => {
    const [[key, value] = []] = ofTable(TABLES.entries);
    if (key === undefined || value === undefined) throw new Error("no entry");
    value[value.length - 1] = (value.at(-1) as number) ^ 1;
    await store.write([{ type: "put", key, value }]);
  });
  const before = await objectsOf(ground.directory);
  const { store } = await ground.reopen();
  await expect(store.reencrypt("")).rejects.toMatchObject({
    code: "COFFER_DAMAGED",
    details: { part: "index", reason: "entries", count: 1 },
  });
  await ground.vault.close();
  const after = new Set(await objectsOf(ground.directory));
  expect(before.filter((path) => after.has(path))).toHaveLength(1);
});

test("an object that goes to its place in the moment before its keys are written is wrapped anew there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "coffer-store-"));
  const incoming = join(folder, "vault", "incoming");
  const withheld: [from: string, to: string][] = [];
  let moved = 0;
  const fs: FileSystem = {
    ...nodeFileSystem,
    async rename(from, to) {
      if (!from.startsWith(incoming)) return nodeFileSystem.rename(from, to);
      withheld.push([from, to]);
      throw Object.assign(new Error("busy"), { code: "EBUSY" });
    },
    async realpath(path) {
      for (const [from, to] of path.startsWith(incoming) ? withheld.splice(0) : []) {
        await nodeFileSystem.rename(from, to);
        moved += 1;
      }
      return nodeFileSystem.realpath(path);
    },
  };
  try {
    const unlock = cheapPassphrase("a passphrase for tests");
    const environment = { fs, openEngine: openLevelStore };
    const { vault } = await createVaultIn(environment, join(folder, "vault"), { unlock });
    await using _ = vault;
    await vault.store.write("large", bytesOf(LARGE_BYTES));
    expect(await readdir(incoming)).toHaveLength(1);
    const { keyMetadata } = await vault.kms.describeKey();
    await vault.kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
    expect(await vault.store.rewrapAll()).toEqual({ rewrapped: 1, unchanged: 0 });
    expect(moved).toBe(1);
    expect(await vault.store.rewrapAll()).toEqual({ rewrapped: 0, unchanged: 1 });
    expect(await vault.store.read("large")).toEqual(bytesOf(LARGE_BYTES));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
