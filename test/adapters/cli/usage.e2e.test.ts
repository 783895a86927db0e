import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { textOf } from "../../source-files.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { coffer, expectNeverPrinted } from "./run-cli.ts";

const scratch = scratchDirectories();
const SECRET = "canary-on-the-command-line";

describe("the built command line", () => {
  test("begins with the line that lets a shell run it", () => {
    const built = new URL("../../../dist/adapters/cli/main.js", import.meta.url);
    expect(readFileSync(built, "utf8").startsWith("#!/usr/bin/env node\n")).toBe(true);
  });

  test("tells its version and how a command is used", async () => {
    const cwd = await scratch();
    const { version } = JSON.parse(textOf("package.json")) as { version: string };
    expect((await coffer(["--version"], { cwd })).stdout.toString()).toBe(`${version}\n`);
    const help = await coffer(["encrypt", "--help"], { cwd });
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout.toString()).toContain("usage: coffer encrypt -V VAULT --key KEY");
    const imported = await coffer(["store", "import", "--help"], { cwd });
    expect(imported.stdout.toString()).toMatch(/^usage: coffer store import -V VAULT FOLDER \[DIR\] /u);
  });

  test("answers a usage error with exit code 2 and the right usage, and repeats no value", async () => {
    const cwd = await scratch();
    expectNeverPrinted(SECRET);
    const refused = await coffer(["encrypt", "-V", "v", `--passphrase=${SECRET}`, "in"], { cwd });
    expect(refused.code).toBe(2);
    expect(refused.stdout.toString()).toBe("");
    expect(refused.stderr).toMatch(
      /^coffer: --passphrase: .*\nusage: coffer encrypt -V VAULT --key KEY .*\ncoffer encrypt --help tells more\n$/u,
    );
    const json = await coffer(["decrypt", "-V", "v", "--json", "--passphrase-file", "-"], { cwd });
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stderr)).toEqual({
      error: { code: "USAGE", message: expect.stringContaining("cannot both be standard input") },
    });
  });

  test("asks for a file where there is no terminal to ask on", async () => {
    const cwd = await scratch();
    const alone = await coffer(["init", "v"], { cwd });
    expect(alone).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--module PATH and --pin-file FILE"),
    });
  });
});
