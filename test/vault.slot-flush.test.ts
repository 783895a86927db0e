import { join } from "node:path";
import { expect, test } from "vitest";
import { type FileSystem, nodeFileSystem } from "../src/storage/file-system.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import { createVaultIn } from "../src/vault.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

test("a change of a way in whose folder could not be flushed is not said to be durable", async () => {
  const directory = join(await scratch(), "vault");
  let refuses = false;
  const fs: FileSystem = {
    ...nodeFileSystem,
    syncDirectory: (path) =>
      refuses
        ? Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" }))
        : nodeFileSystem.syncDirectory(path),
  };
  const { vault } = await createVaultIn({ fs, openEngine: openLevelStore }, directory, {
    unlock: cheapPassphrase(),
  });
  // The kept database is dropped, which would be refused too.
  await vault.kms.createKey();
  const warnings: string[] = [];
  vault.on("warning", ({ message }) => warnings.push(message));
  const [slot] = await vault.slots.list();
  refuses = true;
  await vault.slots.setLabel(slot?.id ?? "", "mine");
  await Promise.resolve();
  expect(warnings).toEqual([expect.stringMatching(/counts, but a power cut may take it back/u)]);
  refuses = false;
  await vault.close();
  expect(warnings).toHaveLength(1);
});
