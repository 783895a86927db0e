import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openVault } from "../src/index.ts";
import { type FileSystem, nodeFileSystem } from "../src/storage/file-system.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import { createVaultIn, openVaultIn } from "../src/vault.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();

/** A vault whose last change got into the database and not into the header, as after a crash. */
async function vaultWithOlderHeader(): Promise<string> {
  let refuses = false;
  const fs: FileSystem = {
    ...nodeFileSystem,
    rename: (from, to) =>
      refuses && to.includes("header.")
        ? Promise.reject(Object.assign(new Error("EIO"), { code: "EIO" }))
        : nodeFileSystem.rename(from, to),
  };
  const directory = join(await scratch(), "vault");
  const unlock = cheapPassphrase();
  const { vault } = await createVaultIn({ fs, openEngine: openLevelStore }, directory, { unlock });
  refuses = true;
  await vault.kms.createKey({ alias: "alias/last" });
  await vault.close();
  return directory;
}

test("a vault that was opened for reading only is closed without a write, and without a word", async () => {
  const directory = await vaultWithOlderHeader();
  const fs: FileSystem = {
    ...nodeFileSystem,
    open: (path, flags, mode) =>
      path.includes("vault.lock") && flags === "create"
        ? Promise.reject(Object.assign(new Error("EACCES"), { code: "EACCES" }))
        : nodeFileSystem.open(path, flags, mode),
  };
  const before = await treeOf(directory);
  const messages: string[] = [];
  const onWarning = ({ message }: { readonly message: string }): void => void messages.push(message);
  const unlock = cheapPassphrase();
  const vault = await openVaultIn({ fs, openEngine: openLevelStore }, directory, { unlock, onWarning });
  vault.on("warning", onWarning);
  expect(vault.isReadOnly).toBe(true);
  await vault.kms.describeKey({ keyId: "alias/last" });
  await vault.close();
  expect(await treeOf(directory)).toEqual(before);
  expect(messages).toEqual([expect.stringContaining("reading only")]);
});

test.each(["EACCES", "EPERM"])(
  "a lock that is refused once, with %s, is taken the second time",
  async (code) => {
    const directory = await vaultWithOlderHeader();
    let refused = 0;
    const fs: FileSystem = {
      ...nodeFileSystem,
      open: (path, flags, mode) =>
        path.includes("vault.lock") && flags === "create" && refused++ === 0
          ? Promise.reject(Object.assign(new Error(code), { code }))
          : nodeFileSystem.open(path, flags, mode),
    };
    const messages: string[] = [];
    const onWarning = ({ message }: { readonly message: string }): void => void messages.push(message);
    const unlock = cheapPassphrase();
    const vault = await openVaultIn({ fs, openEngine: openLevelStore }, directory, { unlock, onWarning });
    expect(vault.isReadOnly).toBe(false);
    await vault.kms.createKey({ alias: "alias/after" });
    await vault.close();
    expect(refused).toBeGreaterThan(1);
    expect(messages).toEqual([]);
  },
);

test("a vault whose lock file was taken away writes no header when it is closed", async () => {
  const directory = await vaultWithOlderHeader();
  const vault = await openVault(directory, { unlock: cheapPassphrase() });
  const header = await readFile(join(directory, "header.0"));
  await rm(join(directory, "vault.lock"));
  const warnings: string[] = [];
  vault.on("warning", ({ message }) => warnings.push(message));
  await vault.close();
  await Promise.resolve();
  expect(await readFile(join(directory, "header.0"))).toEqual(header);
  expect(warnings).toEqual([expect.stringContaining("lock file was removed")]);
  const again = await openVault(directory, { unlock: cheapPassphrase() });
  await again.kms.describeKey({ keyId: "alias/last" });
  await again.close();
  expect(await readFile(join(directory, "header.0"))).not.toEqual(header);
});
