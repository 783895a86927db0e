import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { createVault, openVault } from "../src/index.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();
const CHECKSUM_BYTES = 32;

test("the database that an edited header names is not looked for: its MAC comes first", async () => {
  const directory = join(await scratch(), "vault");
  await (await createVault(directory, { unlock: cheapPassphrase() })).vault.close();
  for (const name of ["header.0", "header.1"]) {
    const bytes = await readFile(join(directory, name));
    bytes.writeUInt32BE(7, 48);
    const checked = bytes.subarray(0, -CHECKSUM_BYTES);
    createHash("sha256").update(checked).digest().copy(bytes, checked.length);
    await writeFile(join(directory, name), bytes);
  }
  const before = await treeOf(directory);
  await expect(openVault(directory, { unlock: cheapPassphrase() })).rejects.toMatchObject({
    code: "COFFER_DAMAGED",
    details: { part: "header" },
  });
  expect(await treeOf(directory)).toEqual(before);
});
