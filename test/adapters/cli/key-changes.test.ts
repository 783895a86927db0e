import { describe, expect, test, vi } from "vitest";
import { parseArguments, UsageError } from "../../../src/adapters/cli/arguments.ts";
import { selectCommand } from "../../../src/adapters/cli/commands.ts";
import { Output } from "../../../src/adapters/cli/output.ts";

/** Runs a command line up to the point where it would look for the vault. */
async function begin(...argv: string[]): Promise<void> {
  const { command, rest } = selectCommand(argv) as Extract<
    ReturnType<typeof selectCommand>,
    { rest: unknown }
  >;
  const args = parseArguments(command, [...rest, "-V", "no-such-vault"]);
  return command.run({ args, output: new Output(true), signal: new AbortController().signal });
}

describe("commands that change a key", () => {
  test.each([
    [["rotate", "k", "--every", "30"], "--every takes a whole number from 90 to 2560"],
    [["rotate", "k", "--every", "90", "--never"], "give one of --every and --never"],
    [["schedule-deletion", "k", "--days", "6"], "--days takes a whole number from 7 to 366"],
    [["tag", "k"], "--tag is missing"],
    [["tag", "k", "--tag", "novalue"], "NAME=VALUE"],
    [["untag", "k"], "--tag is missing"],
    [["set-description", "k"], "TEXT is missing"],
  ])("refuse %j before they look for a vault", async (argv, message) => {
    const refused = begin("key", ...argv).catch((error: unknown) => error);
    expect(await refused).toBeInstanceOf(UsageError);
    expect(await refused).toMatchObject({ message: expect.stringContaining(message) });
  });

  test.each([
    [["rotate", "k", "--never"]],
    [["rotate", "k", "--every", "365"]],
    [["schedule-deletion", "k"]],
    [["untag", "k", "--tag", "a", "--tag", "b"]],
    [["set-description", "k", ""]],
  ])("look for the vault when %j is in order", async (argv) => {
    await expect(begin("key", ...argv)).rejects.toMatchObject({ code: "COFFER_VAULT_NOT_FOUND" });
  });
});

describe("commands that open a vault", () => {
  test("ask for its name", async () => {
    const { command, rest } = selectCommand(["status"]) as Extract<
      ReturnType<typeof selectCommand>,
      { rest: unknown }
    >;
    vi.stubEnv("COFFER_VAULT", "");
    const args = parseArguments(command, rest);
    const run = command.run({ args, output: new Output(true), signal: new AbortController().signal });
    await expect(run).rejects.toThrow("COFFER_VAULT");
    vi.unstubAllEnvs();
  });
});
