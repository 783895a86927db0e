import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { IoError } from "../src/errors.ts";
import { openVault } from "../src/index.ts";
import { nodeFileSystem } from "../src/storage/file-system.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import { type Store, StoreFailedError } from "../src/storage/store.ts";
import { createVaultIn } from "../src/vault.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

test("a vault whose database failed and does not open again still locks, closes and gives its directory free", async () => {
  let isBroken = false;
  const openEngine = async (path: string, options: { readonly create: boolean }): Promise<Store> => {
    if (isBroken) throw new IoError("the drive is gone");
    const store = await openLevelStore(path, options);
    const write = store.write.bind(store);
    store.write = (batch) => (isBroken ? Promise.reject(new StoreFailedError("no drive")) : write(batch));
    return store;
  };
  const directory = join(await scratch(), "vault");
  const environment = { fs: nodeFileSystem, openEngine };
  const { vault } = await createVaultIn(environment, directory, { unlock: cheapPassphrase() });
  await vault.kms.encrypt({ plaintext: "x" });
  isBroken = true;
  await expect(vault.kms.createKey()).rejects.toMatchObject({ details: { reason: "outcome-unknown" } });
  await vault.close();
  expect(vault.state).toBe("closed");
  expect(await readdir(directory)).not.toContain("vault.lock");
  const again = await openVault(directory, { unlock: cheapPassphrase() });
  expect((await again.kms.listKeys()).keys).toHaveLength(1);
  await again.close();
});
