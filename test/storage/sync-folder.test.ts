import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createVault, openVault, recovery, type VaultNotice } from "../../src/index.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { findSyncing } from "../../src/storage/sync-folder.ts";
import { cheapPassphrase } from "../vault-files.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

async function findIn(...path: readonly string[]): Promise<unknown> {
  const directory = join(await scratch(), ...path);
  await mkdir(directory, { recursive: true });
  return findSyncing(nodeFileSystem, directory);
}

test.each([
  ["Dropbox", "Dropbox"],
  ["OneDrive - Example Ltd", "OneDrive"],
  ["Google Drive", "Google Drive"],
  ["GoogleDrive-a@example.org", "Google Drive"],
  ["com~apple~CloudDocs", "iCloud Drive"],
  ["Nextcloud", "Nextcloud"],
  ["Proton Drive", "Proton Drive"],
])("a vault below a folder called %j lies in one of %s", async (name, program) => {
  expect(await findIn(name, "deep", "my.vault")).toEqual([{ sign: "folder", program }]);
});

test.each([["documents"], ["dropbox-notes"], ["my onedrive clone"], ["omega"]])(
  "a vault below a folder called %j lies in none",
  async (name) => {
    expect(await findIn(name, "my.vault")).toEqual([]);
  },
);

test("a mark of Syncthing anywhere above the vault is found, and a conflicted copy in it", async () => {
  const folder = await scratch();
  const directory = join(folder, "a", "my.vault");
  await mkdir(directory, { recursive: true });
  await mkdir(join(folder, ".stfolder"));
  await writeFile(join(directory, "header.sync-conflict-20300101-120000.0"), "x");
  expect(await findSyncing(nodeFileSystem, directory)).toEqual([
    { sign: "folder", program: "Syncthing" },
    { sign: "conflict-copy", name: "header.sync-conflict-20300101-120000.0" },
  ]);
});

test("what cannot be read is no sign", async () => {
  expect(await findSyncing(nodeFileSystem, join(await scratch(), "absent"))).toEqual([]);
});

test("opening a vault in a sync folder warns, and opens it", async () => {
  const folder = join(await scratch(), "Dropbox");
  await mkdir(folder, { mode: 0o700 });
  const { vault, recoveryCode } = await createVault(join(folder, "v"), { unlock: cheapPassphrase() });
  await vault.close();
  const notices: VaultNotice[] = [];
  const again = await openVault(join(folder, "v"), {
    unlock: recovery(recoveryCode),
    onWarning: (notice) => notices.push(notice),
  });
  await again.close();
  expect(notices).toEqual([{ type: "warning", message: expect.stringContaining("Dropbox") }]);
});
