import { copyFile, readdir, readFile, rename, symlink, truncate, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect, test } from "vitest";
import type { StoreEntry, StoreOperation } from "../../src/storage/store.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { bytesOf, objectsOf, type StoreGround, storeGround, withRecords } from "./store-ground.ts";

const CONTENT = bytesOf(150_000);

interface Planted {
  readonly ground: StoreGround;
  /** Where the object belongs, and where it was written. */
  readonly stored: string;
  readonly incoming: string;
}

/** A closed vault with one object. */
async function planted(): Promise<Planted> {
  const ground = await storeGround();
  await ground.vault.store.write("only.bin", CONTENT);
  await ground.vault.close();
  const [stored] = (await objectsOf(ground.directory)) as [string];
  return { ground, stored, incoming: join(ground.directory, "incoming", basename(stored)) };
}

async function reopened({ ground }: Planted): Promise<VaultNotice[]> {
  const notices: VaultNotice[] = [];
  const vault = await ground.reopen();
  for (const type of ["warning", "damage"] as const) vault.on(type, (notice) => void notices.push(notice));
  return notices;
}

async function expectWhole(from: Planted): Promise<void> {
  const { ground, stored } = from;
  expect(await reopened(from)).toEqual([]);
  await expect.poll(() => readdir(join(ground.directory, "incoming"))).toEqual([]);
  expect(await objectsOf(ground.directory)).toEqual([stored]);
  expect(Buffer.compare(await ground.vault.store.read("only.bin"), CONTENT)).toBe(0);
  expect((await ground.vault.store.verify()).problems).toEqual([]);
}

// A copy program that ran while the object was written, and once more afterwards.
test.each([0, 100, 5000, 149_000])(
  "the first %i bytes of an object, left in incoming, do not replace the whole one [F-238]",
  async (bytes) => {
    const from = await planted();
    await copyFile(from.stored, from.incoming);
    await truncate(from.incoming, bytes);
    await expectWhole(from);
  },
);

test("the same object twice is one of them [F-238]", async () => {
  const from = await planted();
  await copyFile(from.stored, from.incoming);
  await expectWhole(from);
});

test.each([0, 5000, 149_000])(
  "the first %i bytes of an object in its place are replaced by the whole one in incoming [F-238]",
  async (bytes) => {
    const from = await planted();
    await copyFile(from.stored, from.incoming);
    await truncate(from.stored, bytes);
    await expectWhole(from);
  },
);

test("another vault's object, and a link, in the place of one are replaced by the one in incoming [F-238]", async () => {
  const from = await planted();
  const other = await planted();
  await rename(from.stored, from.incoming);
  await copyFile(other.stored, from.stored);
  await expectWhole(from);
  await from.ground.vault.close();
  await rename(from.stored, from.incoming);
  await symlink(other.stored, from.stored);
  await expectWhole(from);
  expect(await objectsOf(other.ground.directory)).toEqual([other.stored]);
});

test("of two that are not the one that the record means, both stay, and it is said [F-238]", async () => {
  const from = await planted();
  const { ground, stored, incoming } = from;
  await copyFile(stored, incoming);
  await truncate(stored, 90_000);
  await truncate(incoming, 120_000);
  const kept = [await readFile(stored), await readFile(incoming)];
  const notices = await reopened(from);
  await expect.poll(() => notices.map(({ type }) => type)).toEqual(["damage"]);
  expect(notices[0]?.message).toContain(basename(stored));
  await expect(ground.vault.store.read("only.bin")).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
  await ground.vault.close();
  expect([await readFile(stored), await readFile(incoming)]).toEqual(kept);
});

test("what no record names goes from incoming, and stays in objects [F-238] [F-239]", async () => {
  const from = await planted();
  const { ground, stored } = from;
  const vault = await ground.reopen();
  const kept = await readFile(stored);
  await vault.store.remove("only.bin", { purge: true });
  await vault.close();
  await writeFile(stored, kept, { mode: 0o600 });
  await writeFile(from.incoming, kept.subarray(0, 5000), { mode: 0o600 });
  await reopened(from);
  await expect.poll(() => readdir(join(ground.directory, "incoming"))).toEqual([]);
  await ground.vault.close();
  expect(await objectsOf(ground.directory)).toEqual([stored]);
  await unlink(stored);
});

const CONTENTS = 0x21;

/** A closed vault whose one object is on its way still, and whose record of it `change` changes. */
async function onItsWay(change: (record: StoreEntry) => StoreOperation): Promise<Planted> {
  const from = await planted();
  await rename(from.stored, from.incoming);
  await withRecords(from.ground, async (store, ofTable) => {
    const records = ofTable(CONTENTS);
    expect(records).toHaveLength(1);
    await store.write(records.map(change));
  });
  return from;
}

const lost = ([key]: StoreEntry): StoreOperation => ({ type: "delete", key });

const altered = ([key, value]: StoreEntry): StoreOperation => {
  value[value.length - 1] = (value.at(-1) as number) ^ 1;
  return { type: "put", key, value };
};

test("what is on its way stays while its record is lost, is told, and recovered under its name [F-238] [F-247]", async () => {
  const from = await onItsWay(lost);
  const { ground, stored, incoming } = from;
  const notices = await reopened(from);
  await expect.poll(() => notices.map(({ type }) => type)).toEqual(["damage"]);
  expect(notices[0]?.message).toContain("incoming");
  await ground.vault.close();
  expect(await readdir(dirname(incoming))).toEqual([basename(incoming)]);
  const vault = await ground.reopen();
  expect(await vault.store.recover()).toEqual({ rejoined: 1, attached: [], unopened: [] });
  expect(await objectsOf(ground.directory)).toEqual([stored]);
  expect(Buffer.compare(await vault.store.read("only.bin"), CONTENT)).toBe(0);
});

test("what is on its way stays while its record does not open [F-238]", async () => {
  const from = await onItsWay(altered);
  const { ground, incoming } = from;
  const notices = await reopened(from);
  await expect.poll(() => notices.map(({ type }) => type)).toEqual(["damage"]);
  await ground.vault.close();
  expect(await readdir(dirname(incoming))).toEqual([basename(incoming)]);
});

test("what is on its way and has neither record nor name stays, and comes to lost+found [F-238] [F-247]", async () => {
  const { ground, stored } = await onItsWay(lost);
  await withRecords(ground, async (store, ofTable) => store.write(ofTable(0x20).map(lost)));
  const vault = await ground.reopen();
  const path = `lost+found/${basename(stored, ".cof")}`;
  expect(await vault.store.recover()).toEqual({ rejoined: 0, attached: [path], unopened: [] });
  expect(await objectsOf(ground.directory)).toEqual([stored]);
  expect(Buffer.compare(await vault.store.read(path), CONTENT)).toBe(0);
});

test("what is on its way, nameless, under a key that does not serve goes where nothing is removed [F-247]", async () => {
  const ground = await storeGround();
  const { keyMetadata } = await ground.vault.kms.createKey({});
  const { keyId } = keyMetadata;
  await ground.vault.store.write("only.bin", CONTENT, { keyId });
  await ground.vault.kms.disableKey({ keyId });
  const [stored] = (await objectsOf(ground.directory)) as [string];
  await rename(stored, join(ground.directory, "incoming", basename(stored)));
  await withRecords(ground, async (store, ofTable) =>
    store.write([...ofTable(0x20), ...ofTable(CONTENTS)].map(lost)),
  );
  const vault = await ground.reopen();
  const id = basename(stored, ".cof");
  expect(await vault.store.recover()).toEqual({ rejoined: 0, attached: [], unopened: [id] });
  expect(await objectsOf(ground.directory)).toEqual([stored]);
  await vault.kms.enableKey({ keyId });
  expect(await vault.store.recover()).toMatchObject({ attached: [`lost+found/${id}`] });
});
