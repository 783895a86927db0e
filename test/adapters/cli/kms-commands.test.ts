import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parseArguments } from "../../../src/adapters/cli/arguments.ts";
import { COMMANDS, selectCommand } from "../../../src/adapters/cli/commands.ts";
import { Output } from "../../../src/adapters/cli/output.ts";
import { createVault } from "../../../src/vault.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { cheapPassphrase } from "../../vault-files.ts";

const scratch = scratchDirectories();
const DATA_KEY = Uint8Array.from({ length: 32 }, (_, index) => index);
const DIGEST = createHash("sha256").update(DATA_KEY).digest("hex");

let folder = "";

/** Keeps what a command prints. */
class KeptOutput extends Output {
  value: unknown;
  override async result(value: unknown): Promise<void> {
    this.value = JSON.parse(JSON.stringify(value));
  }
}

async function run(...argv: readonly string[]): Promise<Record<string, unknown>> {
  const { command, rest } = selectCommand(argv) as Extract<
    ReturnType<typeof selectCommand>,
    { rest: unknown }
  >;
  const session = ["-V", join(folder, "v"), "--recovery-code-file", join(folder, "code")];
  const output = new KeptOutput(true);
  const args = parseArguments(command, [...rest, ...session]);
  await command.run({ args, output, signal: new AbortController().signal });
  return output.value as Record<string, unknown>;
}

beforeAll(async () => {
  folder = await scratch();
  const { vault, recoveryCode } = await createVault(join(folder, "v"), { unlock: cheapPassphrase() });
  await vault.close();
  await writeFile(join(folder, "code"), recoveryCode, { mode: 0o600 });
  await writeFile(join(folder, "dek"), DATA_KEY);
  await run("key", "create", "--alias", "alias/a", "--tag", "team=apollo", "--tag", "env=test");
});

describe("coffer encrypt-data-key and decrypt-data-key", () => {
  test("give a data key back with its SHA-256, and refuse a wrong one", async () => {
    const sealed = join(folder, "dek.cipher");
    const key = ["--key", "alias/a", "--context", "file=1"];
    expect(
      await run("encrypt-data-key", ...key, "--digest", DIGEST, join(folder, "dek"), "-o", sealed),
    ).toMatchObject({
      dataKeyBytes: 32,
      output: sealed,
    });
    expect(await run("decrypt-data-key", ...key, sealed)).toMatchObject({
      plaintext: Buffer.from(DATA_KEY).toString("base64"),
      digest: DIGEST,
      keyVersion: 1,
    });
    const wrong = run("encrypt-data-key", ...key, "--digest", "0".repeat(64), join(folder, "dek"));
    await expect(wrong).rejects.toMatchObject({ code: "COFFER_INVALID_ARGUMENT", reason: "digest" });
    await expect(run("encrypt-data-key", ...key, "--digest", "00", join(folder, "dek"))).rejects.toThrow(
      "64 hexa",
    );
  });
});

describe("coffer key last-used and tags", () => {
  test("tell of the key that an alias names", async () => {
    expect(await run("key", "last-used", "alias/default")).not.toHaveProperty("keyLastUsage");
    await run("data-key", "--key", "alias/default");
    expect(await run("key", "last-used", "alias/default")).toMatchObject({
      keyLastUsage: { operation: "generateDataKey" },
    });
    const { tags } = await run("key", "tags", "alias/a");
    expect(tags).toEqual([
      { tagKey: "env", tagValue: "test" },
      { tagKey: "team", tagValue: "apollo" },
    ]);
  });
});

describe("--dry-run", () => {
  test("is on every command that performs an operation of the KMS, and on no other", () => {
    const others = COMMANDS.filter(({ options }) => !("dry-run" in options)).map(
      ({ name }) => name.split(" ")[0],
    );
    expect(others).not.toContain("key");
    expect(others).not.toContain("alias");
    expect(others.some((name) => name?.includes("crypt") === true)).toBe(false);
    expect(others).toContain("init");
  });

  test.each([
    ["key", "create", "--alias", "alias/b"],
    ["key", "disable", "alias/a"],
    ["key", "rotate", "alias/a"],
    ["key", "schedule-deletion", "alias/a"],
    ["key", "untag", "alias/a", "--tag", "team"],
    ["alias", "delete", "alias/a"],
    ["key", "describe", "alias/a"],
    ["data-key", "--key", "alias/a"],
  ])("says that %s %s would succeed, and changes nothing", async (...argv) => {
    const before = [await run("key", "list"), await run("key", "describe", "alias/a")];
    expect(await run(...argv, "--dry-run")).toEqual({ dryRun: true });
    expect([await run("key", "list"), await run("key", "describe", "alias/a")]).toEqual(before);
  });

  test("refuses what would be refused", async () => {
    await expect(run("alias", "delete", "alias/none", "--dry-run")).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
    await expect(run("key", "schedule-deletion", "alias/default", "--dry-run")).rejects.toMatchObject({
      reason: "deletion-protection",
    });
  });
});
