/**
 * A vault on a real disk with a passphrase that costs nothing, for tests of its file store.
 * @module
 */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

import { cheapPassphrase } from "../../src/testing.ts";
import { createVault, openVault, type Vault } from "../../src/vault.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import type { Store, StoreEntry } from "../../src/storage/store.ts";
import type { OpenVaultOptions } from "../../src/vault-options.ts";

export { bytesOf } from "../field/random.mjs";

const SECRET = "a passphrase for tests";

export interface StoreGround {
  /** A folder of the test's own, beside the vault. */
  readonly folder: string;
  readonly directory: string;
  readonly vault: Vault;
  /** Closes the vault and opens it again. */
  reopen(options?: Partial<OpenVaultOptions>): Promise<Vault>;
}

/** Makes a vault; it is closed and removed after the test. */
export async function storeGround(): Promise<StoreGround> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-store-"));
  const directory = join(folder, "vault");
  const { vault } = await createVault(directory, { unlock: cheapPassphrase(SECRET) });
  const vaults = [vault];
  onTestFinished(async () => {
    for (const opened of vaults) await opened.close();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    folder,
    directory,
    get vault() {
      return vaults.at(-1) as Vault;
    },
    async reopen(options = {}) {
      await vaults.at(-1)?.close();
      const again = await openVault(directory, { unlock: cheapPassphrase(SECRET), ...options });
      vaults.push(again);
      return again;
    },
  };
}

/** Gathers what an async iterable gives. */
export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Returns the paths of a vault's objects. */
export async function objectsOf(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, "objects"), { recursive: true });
  return names
    .filter((name) => name.endsWith(".cof"))
    .toSorted()
    .map((name) => join(directory, "objects", name));
}

/** Changes the raw records of the closed vault. */
export async function withRecords(
  { directory, vault }: StoreGround,
  change: (store: Store, ofTable: (table: number) => StoreEntry[]) => Promise<void>,
): Promise<void> {
  await vault.close();
  const [folder] = (await readdir(directory)).filter((name) => /^db-\d+$/u.test(name));
  const store = await openLevelStore(join(directory, folder as string), { create: false });
  const records = await all(store.entries());
  await change(store, (table) => records.filter(([key]) => key[0] === table));
  await store.close();
}
