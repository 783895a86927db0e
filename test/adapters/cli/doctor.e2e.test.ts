import { chmod, truncate } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { scratchDirectories } from "../../storage/scratch.ts";
import { coffer, cofferError, cofferJson, makeVault } from "./run-cli.ts";

const scratch = scratchDirectories();
let cwd = "";
let recovery: readonly string[] = [];

beforeAll(async () => {
  cwd = await scratch();
  ({ recovery } = await makeVault(cwd, "canary doctor passphrase"));
});

describe("coffer doctor", () => {
  test("ends with 0 for a sound vault, one line a finding, and asks for no secret", async () => {
    const { code, stdout, stderr } = await coffer(["doctor", "-V", "v"], { cwd });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.toString().trimEnd().split("\n");
    expect(lines.slice(0, -1).filter((line) => !/^(?:ok|note) +[a-z-]+: [A-Z].*\.$/u.test(line))).toEqual([]);
    expect(lines.at(-1)).toMatch(/v: sound; the records were not checked$/u);
  });

  test("opens every record with a secret", async () => {
    const diagnosis = await cofferJson(["doctor", ...recovery], { cwd });
    expect(diagnosis).toMatchObject({ verdict: "sound", isComplete: true, counts: { keys: 1 } });
  });

  test("ends with 1 and names damage, and with --repair mends it", async () => {
    await truncate(join(cwd, "v", "header.1"), 50);
    await chmod(join(cwd, "v"), 0o755);
    const found = await coffer(["doctor", ...recovery], { cwd });
    expect(found.code).toBe(1);
    expect(found.stdout.toString()).toMatch(
      /^damage +header: Copy 1 of the vault header is damaged .*\(header\.1\)$/mu,
    );
    expect(found.stdout.toString()).toMatch(/v: damaged\n$/u);
    const mended = await coffer(["doctor", "--repair", ...recovery], { cwd });
    expect(mended.code).toBe(0);
    expect(mended.stdout.toString()).toMatch(/^repaired +header: [^]*^repaired +modes: [^]*: sound\n$/mu);
    expect(await coffer(["doctor", ...recovery], { cwd })).toMatchObject({ code: 0 });
  });

  test("refuses a wrong secret and a place without a vault", async () => {
    const empty = await scratch();
    expect(await cofferError(["doctor", "-V", empty], { cwd })).toMatchObject({
      code: "COFFER_VAULT_NOT_FOUND",
    });
    const wrong = await cofferError(["doctor", "-V", "v", "--passphrase-file", "-"], { cwd, input: "wrong" });
    expect(wrong).toMatchObject({ code: "COFFER_WRONG_SECRET" });
  });
});
