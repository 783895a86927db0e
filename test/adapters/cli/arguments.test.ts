import { describe, expect, test } from "vitest";
import { type ArgumentSpec, parseArguments, UsageError } from "../../../src/adapters/cli/arguments.ts";
import { COMMANDS, selectCommand } from "../../../src/adapters/cli/commands.ts";
import { commandHelp, groupHelp } from "../../../src/adapters/cli/help.ts";

const SPEC: ArgumentSpec = {
  positionals: [{ name: "IN", help: "a file", isOptional: true, readsFile: true }],
  options: {
    key: { value: "KEY", help: "a key" },
    context: { value: "K=V", isRepeatable: true, help: "a pair" },
    bytes: { value: "N", help: "a number" },
    output: { short: "o", value: "OUT", help: "a file" },
    "passphrase-file": { value: "FILE", readsFile: true, help: "a file" },
    force: { help: "a flag" },
    help: { short: "h", help: "a flag" },
  },
};
const SECRET = "hunter2 of the canaries";

function refusal(...argv: string[]): string {
  try {
    parseArguments(SPEC, argv);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).message;
  }
  throw new Error("it was accepted");
}

describe("arguments", () => {
  test("are read in any order, long and short, with and without an equals sign", () => {
    const args = parseArguments(SPEC, [
      "--key=k",
      "in",
      "-o",
      "out",
      "--force",
      "--context",
      "a=b=c",
      "--context",
      "d=",
    ]);
    expect(args.text("key")).toBe("k");
    expect(args.text("output")).toBe("out");
    expect(args.has("force")).toBe(true);
    expect(args.pairs("context")).toEqual([
      ["a", "b=c"],
      ["d", ""],
    ]);
    expect(args.optionalPositional(0)).toBe("in");
  });

  test("may be a lone hyphen, and may follow two hyphens", () => {
    expect(parseArguments(SPEC, ["-o", "-", "x"]).text("output")).toBe("-");
    expect(parseArguments(SPEC, ["--", "--key"]).optionalPositional(0)).toBe("--key");
  });

  test.each([
    [["--ky", "x", "f"], "unknown option --ky; did you mean --key?"],
    [["--zzzzzz", "f"], "unknown option --zzzzzz"],
    [["--key"], "--key needs a value"],
    [["--key", "--force", "f"], "--key needs a value"],
    [["--force=yes", "f"], "--force takes no value"],
    [["--key", "a", "--key", "b", "f"], "--key is given twice"],
    [["a", "b"], "expected at most 1 argument, got 2"],
    [["--passphrase-file", "-"], "--passphrase-file and IN cannot both be standard input"],
    [["--passphrase-file", "-", "-"], "--passphrase-file and IN cannot both be standard input"],
  ])("%j are refused: %s", (argv, message) => {
    expect(refusal(...argv)).toContain(message);
  });

  test.each([
    [["--passphrase", SECRET]],
    [[`--passphrase=${SECRET}`]],
    [["--password", SECRET]],
    [["--recovery-code", SECRET]],
    [["a", SECRET]],
    [[`--${SECRET}`]],
    [[`-x${SECRET}`]],
    [["--key", `-${SECRET}`]],
  ])("never repeat a value that may be a secret", (argv) => {
    const message = refusal(...argv);
    expect(message).not.toContain(SECRET);
    expect(message).not.toContain("hunter2");
  });

  test("that are names of object members are no options", () => {
    expect(refusal("--__proto__", "f")).toContain("unknown option");
    expect(refusal("--constructor", "f")).toContain("unknown option");
  });

  test("that are numbers are whole and in range", () => {
    const bytes = (text: string) => parseArguments(SPEC, ["--bytes", text, "f"]).integer("bytes", 1, 1024);
    expect(bytes("1024")).toBe(1024);
    for (const text of ["0", "1025", "1.5", "0x10", "ten", "1e3", "99999999999999999999"]) {
      expect(() => bytes(text)).toThrow("--bytes takes a whole number from 1 to 1024");
    }
  });

  test("that are pairs have a name, each once", () => {
    const pairs = (...texts: string[]) =>
      parseArguments(SPEC, ["f", ...texts.flatMap((text) => ["--context", text])]).pairs("context");
    expect(() => pairs("novalue")).toThrow("NAME=VALUE");
    expect(() => pairs("=x")).toThrow("NAME=VALUE");
    expect(() => pairs("a=1", "a=2")).toThrow("twice");
    expect(pairs("__proto__=x")).toEqual([["__proto__", "x"]]);
  });
});

describe("commands", () => {
  test.each([
    [[], "no command is given"],
    [["-V", "v"], "the command comes first"],
    [["encrpyt"], "did you mean encrypt?"],
    [["key"], "coffer key needs one of: create, list, describe,"],
    [["key", "lsit"], "did you mean list?"],
    [["alias", "--json"], "coffer alias needs one of"],
  ])("%j are refused: %s", (argv, message) => {
    expect(() => selectCommand(argv)).toThrow(message);
  });

  test("do not repeat a word that looks like none", () => {
    expect(() => selectCommand(["Hunter2!"])).toThrow(/^unknown command; there are init, /u);
  });

  test.each(COMMANDS.map((command) => [command.name, command] as const))(
    "%s has a help that names all it takes",
    (name, command) => {
      const text = commandHelp(command).join("\n");
      expect(text).toContain(`usage: coffer ${name}`);
      for (const option of Object.keys(command.options)) expect(text).toContain(`--${option}`);
      for (const flag of command.synopsis.match(/--[a-z0-9-]+/gu) ?? []) {
        expect(Object.keys(command.options)).toContain(flag.slice(2));
      }
      expect(groupHelp("").join("\n")).toContain(`  ${name} `);
      expect(text.split("\n").filter((line) => line.length > 160)).toEqual([]);
    },
  );
});
