import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { closeVault } from "../../../src/adapters/cli/vault-session.ts";
import { createVault, openVault } from "../../../src/index.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { cheapPassphrase } from "../../vault-files.ts";

const scratch = scratchDirectories();

test("a vault that cannot be closed in full is a warning, so that what its work gave is still shown", async () => {
  const directory = join(await scratch(), "vault");
  await (await createVault(directory, { unlock: cheapPassphrase() })).vault.close();
  const vault = await openVault(directory, { unlock: cheapPassphrase() });
  // In the way of what the end of a session without changes renames.
  await mkdir(join(directory, "db-1.keep-old"));
  await writeFile(join(directory, "db-1.keep-old", "x"), "");
  const warnings: string[] = [];
  await closeVault(vault, { warning: (message) => void warnings.push(message) });
  expect(warnings).toEqual([expect.stringMatching(/not closed in full: .*kept database/u)]);
});
