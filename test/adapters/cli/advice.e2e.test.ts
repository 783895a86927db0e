/**
 * What the command line answers where the library's advice is about methods and options: it names commands and flags.
 * @module
 */
import { cp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";

import { createVault } from "../../../src/vault.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { bytesOf } from "../../store/store-ground.ts";
import { cheapPassphrase } from "../../vault-files.ts";
import { coffer, cofferJson } from "./run-cli.ts";

const scratch = scratchDirectories();
const WAY_IN = ["--recovery-code-file", "code"];
const VAULT = ["-V", "v", ...WAY_IN];
let cwd: string;

/** Runs a command that must be refused; what it prints has no JavaScript in it. */
async function told(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await coffer(args, { cwd });
  expect(code).toBe(1);
  // The folder's name is drawn at random.
  const text = (stdout.toString() + stderr).replaceAll(cwd, "");
  expect(text).not.toMatch(/\{ |\b(?:store|slots|kms|vault)\.\w|\b[a-z]+[A-Z]/u);
  return text;
}

beforeAll(async () => {
  cwd = await scratch();
  const { vault, recoveryCode } = await createVault(join(cwd, "v"), { unlock: cheapPassphrase() });
  await vault.close();
  await writeFile(join(cwd, "code"), recoveryCode, { mode: 0o600 });
  await cp(join(cwd, "v"), join(cwd, "older"), { recursive: true });
  await writeFile(join(cwd, "large"), bytesOf(150_000));
  await cofferJson(["store", "put", ...VAULT, "large", "d/large"], { cwd });
});

test("a name that is taken, a directory that is not empty, a path that leads nowhere", async () => {
  for (const args of [
    ["put", ...VAULT, "large", "d/large"],
    ["cp", ...VAULT, "d/large", "d/large"],
  ]) {
    expect(await told("store", ...args)).toContain("or give --force. (COFFER_ALREADY_EXISTS)");
  }
  expect(await told("store", "mkdir", ...VAULT, "d/large")).toContain(
    "move or remove the file first. (COFFER_",
  );
  expect(await told("store", "rm", ...VAULT, "d")).toContain("or give --recursive.");
  expect(await told("store", "stat", ...VAULT, "nothing")).toContain("See coffer store ls for what is.");
  await writeFile(join(cwd, "taken"), "taken");
  const onto = ["--key", "alias/default", "large", "-o", "taken"];
  expect(await told("file", "encrypt", ...VAULT, ...onto)).toContain("--force");
  expect(await told("backup", ...VAULT, "taken")).toContain("or give --force.");
});

test("keys, aliases and ways in", async () => {
  const id = "00000000-0000-4000-8000-000000000000";
  expect(await told("key", "describe", ...VAULT, id)).toContain("See coffer key list for");
  expect(await told("key", "describe", ...VAULT, "alias/zzzzzzzzzz")).toContain("See coffer alias list for");
  expect(await told("key", "schedule-deletion", ...VAULT, "alias/default")).toContain("coffer key unprotect");
  await coffer(["alias", "create", ...VAULT, "alias/a", "alias/default"], { cwd });
  expect(await told("alias", "create", ...VAULT, "alias/a", "alias/default")).toContain(
    "coffer alias update",
  );
  expect(await told("slot", "remove", ...VAULT, "00")).toContain("See coffer slot list for");
  await coffer(["key", "disable", ...VAULT, "alias/default"], { cwd });
  const encrypt = ["--key", "alias/default", "taken"];
  expect(await told("encrypt", ...VAULT, ...encrypt)).toContain("Enable it with coffer key enable");
  await coffer(["key", "enable", ...VAULT, "alias/default"], { cwd });
});

test("a vault that is older than its anchor, its header or its database", async () => {
  await coffer(["slot", "label", ...VAULT, await slotId(), "another label"], { cwd });
  const { anchor } = await cofferJson(["anchor", ...VAULT], { cwd });
  await writeFile(join(cwd, "anchor"), String(anchor));
  const accepting = "coffer anchor --accept-rollback. (COFFER_ROLLED_BACK)";
  const older = ["-V", "older", ...WAY_IN];
  expect(await told("anchor", ...older, "--check", "anchor")).toContain(accepting);
  await mixed("older-header", /^header\./u);
  expect(await told("store", "ls", "-V", "older-header", ...WAY_IN)).toContain(accepting);
  await mixed("older-database", /^db-/u);
  expect(await told("store", "ls", "-V", "older-database", ...WAY_IN)).toContain(accepting);
  expect((await told("anchor", "-V", "nowhere", ...WAY_IN)).trim()).toMatch(/coffer init makes one/u);
});

test("an object that is missing: the diagnosis, the backup and the check", async () => {
  const sound = await coffer(["doctor", ...VAULT], { cwd });
  expect(sound.stdout.toString()).toContain("is told by coffer store verify.");
  await rm(join(cwd, "v", "objects"), { recursive: true });
  expect(await told("backup", ...VAULT, "b")).toContain("leave the files out with --without-files.");
  expect(await told("store", "verify", ...VAULT)).toBe(
    "missing: the content of d/large\n1 file and 1 directory, 150000 bytes; 1 problem\n",
  );
  expect(await told("doctor", ...VAULT)).toContain("1 stored file has no content");
  const help = await coffer(["doctor", "--help"], { cwd });
  expect(help.stdout.toString()).toContain("coffer store verify does that");
});

async function slotId(): Promise<string> {
  const { slots } = (await cofferJson(["slot", "list", ...VAULT], { cwd })) as unknown as {
    slots: readonly { readonly id: string }[];
  };
  return (slots[0] as { readonly id: string }).id;
}

/** A copy of the vault, of which some files are the older ones. */
async function mixed(name: string, older: RegExp): Promise<void> {
  await cp(join(cwd, "v"), join(cwd, name), { recursive: true });
  for (const file of await readdir(join(cwd, name))) {
    if (!older.test(file)) continue;
    await rm(join(cwd, name, file), { recursive: true });
  }
  for (const file of await readdir(join(cwd, "older"))) {
    if (older.test(file)) await cp(join(cwd, "older", file), join(cwd, name, file), { recursive: true });
  }
}
