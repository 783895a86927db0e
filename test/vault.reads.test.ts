import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeFileSystem } from "../src/storage/file-system.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import type { Store } from "../src/storage/store.ts";
import { createVaultIn, type Vault } from "../src/vault.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

/** A vault whose engine tells late that a batch is written: until then LevelDB shows what nobody was told of. */
async function slowVault(): Promise<{ vault: Vault; duringWrite: (read: () => Promise<void>) => void }> {
  let meanwhile: (() => Promise<void>) | undefined;
  const openEngine = async (path: string, options: { readonly create: boolean }): Promise<Store> => {
    const store = await openLevelStore(path, options);
    return new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        if (name !== "write") return member.bind(target) as unknown;
        return async (batch: Parameters<Store["write"]>[0]) => {
          await target.write(batch);
          const read = meanwhile;
          meanwhile = undefined;
          await read?.();
        };
      },
    });
  };
  const directory = join(await scratch(), "vault");
  const environment = { fs: nodeFileSystem, openEngine };
  const { vault } = await createVaultIn(environment, directory, { unlock: cheapPassphrase() });
  return { vault, duringWrite: (read) => void (meanwhile = read) };
}

test("what is read while a change is written is the state before it, and no damage", async () => {
  const { vault, duringWrite } = await slowVault();
  const { kms } = vault;
  const aliasName = "alias/moved";
  const first = (await kms.createKey({ alias: aliasName })).keyMetadata.keyId;
  const targetKeyId = (await kms.createKey()).keyMetadata.keyId;
  const targets = async (): Promise<unknown> =>
    (await kms.listAliases()).aliases.find((alias) => alias.aliasName === aliasName)?.targetKeyId;
  const damage: unknown[] = [];
  vault.on("damage", (notice) => damage.push(notice));
  let during: unknown;
  duringWrite(async () => void (during = await targets()));
  await kms.updateAlias({ aliasName, targetKeyId });
  expect([during, await targets()]).toEqual([first, targetKeyId]);

  const names: unknown[] = [];
  duringWrite(async () => {
    for (const { keyId } of (await kms.listKeys()).keys) {
      names.push((await kms.listResourceTags({ keyId })).tags);
      await kms.encrypt({ keyId, plaintext: "x" });
    }
    names.push(await targets());
  });
  await kms.deleteAlias({ aliasName });
  expect(names).toEqual([[], [], [], targetKeyId]);
  expect(await targets()).toBeUndefined();
  expect(damage).toEqual([]);
  await vault.close();
});
