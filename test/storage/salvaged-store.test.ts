import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fromHex, utf8 } from "../../src/bytes.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { openSalvagedStore } from "../../src/storage/salvaged-store.ts";
import { SealedStore } from "../../src/storage/sealed-store.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();
const KEYS = { database: new Uint8Array(32).fill(1), vaultId: new Uint8Array(16).fill(2) };
const KEY = fromHex("04" + "a1".repeat(16));

/** A database with these versions of one record, undefined being its removal; and the stored bytes of each. */
async function databaseWith(
  ...versions: readonly (string | undefined)[]
): Promise<{ path: string; stored: Uint8Array[] }> {
  const path = join(await scratch(), "db-1");
  const store = new SealedStore(await openLevelStore(path, { create: true }), KEYS.database, KEYS.vaultId);
  const stored: Uint8Array[] = [];
  for (const version of versions) {
    if (version === undefined) await store.write([{ type: "delete", key: KEY }]);
    else await store.write([{ type: "put", key: KEY, value: utf8(version) }]);
    const bytes = store.inner.get(KEY);
    if (bytes !== undefined) stored.push(bytes);
  }
  await store.close();
  return { path, stored };
}

async function flipIn(path: string, bytes: Uint8Array): Promise<void> {
  for (const name of await readdir(path)) {
    const file = await readFile(join(path, name));
    const at = file.indexOf(bytes);
    if (at < 0) continue;
    file[at + 60] = (file[at + 60] as number) ^ 1;
    await writeFile(join(path, name), file);
  }
}

async function salvaged(path: string): Promise<string | undefined> {
  const store = new SealedStore(
    await openSalvagedStore(nodeFileSystem, path, KEYS),
    KEYS.database,
    KEYS.vaultId,
  );
  try {
    const value = store.get(KEY);
    return value && Buffer.from(value).toString();
  } finally {
    await store.close();
  }
}

test("gives the newest version of a record", async () => {
  const { path } = await databaseWith("one", "two", "three");
  expect(await salvaged(path)).toBe("three");
});

test("gives the newest version that opens, when a newer one is damaged", async () => {
  const { path, stored } = await databaseWith("one", "two", "three");
  await flipIn(path, stored[2] as Uint8Array);
  expect(await salvaged(path)).toBe("two");
  await flipIn(path, stored[1] as Uint8Array);
  expect(await salvaged(path)).toBe("one");
});

test("keeps to a removal, and tells a record that opens nowhere from one that is not there", async () => {
  const removed = await databaseWith("one", undefined);
  expect(await salvaged(removed.path)).toBeUndefined();
  const lost = await databaseWith("one");
  await flipIn(lost.path, lost.stored[0] as Uint8Array);
  await expect(salvaged(lost.path)).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
});
