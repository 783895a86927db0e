import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TABLES } from "../../src/formats/records/tables.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import type { Vault } from "../../src/vault.ts";
import { storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";

async function databaseOf(directory: string): Promise<string> {
  return join(directory, (await readdir(directory)).find((name) => /^db-\d+$/u.test(name)) as string);
}

/** The first bytes of each name's record, as stored. */
async function storedNames(directory: string): Promise<Uint8Array[]> {
  const store = await openLevelStore(await databaseOf(directory), { create: false });
  const found: Uint8Array[] = [];
  for await (const [key, value] of store.entries()) {
    if (key[0] === TABLES.entries) found.push(value.slice(0, 24));
  }
  await store.close();
  return found;
}

/** Names of the database's files that hold these bytes. */
async function filesWith(directory: string, bytes: Uint8Array): Promise<string[]> {
  const database = await databaseOf(directory);
  const found: string[] = [];
  for (const name of await readdir(database)) {
    if ((await readFile(join(database, name))).includes(Buffer.from(bytes))) found.push(name);
  }
  return found;
}

const lock = (vault: Vault): Promise<void> => vault.lock();
const unlock = (vault: Vault): Promise<void> => vault.unlock(cheapPassphrase(SECRET));

const BETWEEN: Readonly<Record<string, readonly ((vault: Vault) => Promise<unknown>)[]>> = {
  nothing: [],
  "a lock": [lock],
  "a lock and an unlock": [lock, unlock],
  "two locks and another removal": [lock, unlock, (vault) => vault.store.remove("other"), lock, unlock],
};

test.each(Object.keys(BETWEEN))(
  "with %s between a removal and the close, what was removed is gone from the files [F-241]",
  async (name) => {
    const ground = await storeGround();
    for (const path of ["secret-name", "other", "kept"]) await ground.vault.store.write(path, "a content");
    await ground.vault.close();
    const records = await storedNames(ground.directory);
    expect(records).toHaveLength(3);
    const vault = await ground.reopen();
    await vault.store.remove("secret-name");
    for (const step of BETWEEN[name] ?? []) await step(vault);
    await vault.close();
    const left = await storedNames(ground.directory);
    const gone = records.filter((record) => !left.some((other) => Buffer.compare(record, other) === 0));
    expect(gone).toHaveLength(name.startsWith("two") ? 2 : 1);
    for (const record of gone) expect(await filesWith(ground.directory, record)).toEqual([]);
  },
);
