import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseArguments, UsageError } from "../../../src/adapters/cli/arguments.ts";
import { selectCommand } from "../../../src/adapters/cli/commands.ts";
import { Output } from "../../../src/adapters/cli/output.ts";
import { createVault } from "../../../src/vault.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { cheapPassphrase } from "../../vault-files.ts";

const scratch = scratchDirectories();
let folder = "";

/** Keeps what a command prints. */
class KeptOutput extends Output {
  value: unknown;
  lines: readonly string[] = [];
  override async result(value: unknown, lines: readonly string[]): Promise<void> {
    this.value = JSON.parse(JSON.stringify(value));
    this.lines = lines;
  }
}

async function run(...argv: readonly string[]): Promise<KeptOutput> {
  const { command, rest } = selectCommand(argv) as Extract<
    ReturnType<typeof selectCommand>,
    { rest: unknown }
  >;
  const output = new KeptOutput(true);
  const args = parseArguments(command, [...rest, "--recovery-code-file", join(folder, "code")]);
  await command.run({ args, output, signal: new AbortController().signal });
  return output;
}

const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await scratch();
  const { vault, recoveryCode } = await createVault(at("v"), { unlock: cheapPassphrase() });
  await vault.close();
  await writeFile(at("code"), recoveryCode, { mode: 0o600 });
});

test("a vault is backed up, checked and restored, and its older state told from the present one", async () => {
  const before = await run("anchor", "-V", at("v"));
  expect(before.lines).toEqual([expect.stringMatching(/^coffer1\.[\w-]{96}$/u)]);
  const made = await run("backup", at("b.coa"), "-V", at("v"));
  expect(made.value).toMatchObject({ destination: at("b.coa"), fileBytes: expect.any(Number) });
  expect(made.lines).toEqual([expect.stringMatching(/ records, 0 files above 4 KiB, \d+ bytes$/u)]);
  await expect(run("backup", at("b.coa"), "-V", at("v"))).rejects.toMatchObject({
    code: "COFFER_ALREADY_EXISTS",
  });
  await run("backup", at("b.coa"), "-V", at("v"), "--force");

  await run("key", "create", "-V", at("v"));
  const { lines } = await run("anchor", "-V", at("v"));
  await writeFile(at("anchor"), `${lines.join("\n")}\n`);

  const names = await readdir(folder);
  const checked = await run("restore", at("b.coa"), "--verify-only");
  expect(checked.value).toMatchObject({ keyCount: 1, directory: null });
  expect(checked.lines).toEqual([expect.stringContaining(", 1 key, 0 files above 4 KiB")]);
  expect(await readdir(folder)).toEqual(names);
  const restored = await run("restore", at("b.coa"), at("w"));
  expect(restored.value).toMatchObject({ directory: at("w"), keyCount: 1 });
  await expect(run("restore", at("b.coa"), at("v"))).rejects.toMatchObject({ code: "COFFER_VAULT_EXISTS" });

  await run("anchor", "-V", at("v"), "--check", at("anchor"));
  await expect(run("anchor", "-V", at("w"), "--check", at("anchor"))).rejects.toMatchObject({
    code: "COFFER_ROLLED_BACK",
    reason: "anchor",
  });
  await run("anchor", "-V", at("w"), "--check", at("anchor"), "--accept-rollback");
  await run("anchor", "-V", at("w"), "--check", at("anchor"));
});

test.each([
  [["restore", "b.coa"]],
  [["restore", "b.coa", "dir", "--verify-only"]],
  [["restore"]],
  [["backup"]],
])("%j is a usage error", async (argv) => {
  await expect(run(...argv)).rejects.toBeInstanceOf(UsageError);
});

test("what is no anchor is refused", async () => {
  await writeFile(at("no-anchor"), "something");
  await expect(run("anchor", "-V", at("v"), "--check", at("no-anchor"))).rejects.toMatchObject({
    code: "COFFER_INVALID_ARGUMENT",
    reason: "anchor",
  });
});
