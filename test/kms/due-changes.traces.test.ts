import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import type { Store } from "../../src/storage/store.ts";
import { createVaultIn } from "../../src/vault.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { cheapPassphrase, DAY_MS, START_MS } from "./kms-vault.ts";

const scratch = scratchDirectories();

test("a deleted key's bytes are searched for at each attempt, until they are gone", async () => {
  let keepsBytes = true;
  let compactions = 0;
  const openEngine = async (path: string, options: { readonly create: boolean }): Promise<Store> => {
    const store = await openLevelStore(path, options);
    const compact = store.compact.bind(store);
    store.compact = async (start, end) => {
      compactions++;
      if (!keepsBytes) await compact(start, end);
    };
    return store;
  };
  let nowMs = START_MS;
  const { vault } = await createVaultIn({ fs: nodeFileSystem, openEngine }, join(await scratch(), "vault"), {
    unlock: cheapPassphrase(),
    clock: () => nowMs,
  });
  const { kms } = vault;
  const { keyId } = (await kms.createKey()).keyMetadata;
  await kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: 7 });
  nowMs += 7 * DAY_MS;
  const attempt = async (): Promise<boolean> => {
    compactions = 0;
    await kms.listKeys();
    nowMs += 60_000;
    return compactions > 0;
  };
  expect([await attempt(), await attempt(), await attempt()]).toEqual([true, true, true]);
  keepsBytes = false;
  expect([await attempt(), await attempt()]).toEqual([true, false]);
  await vault.close();
});
