import { describe, expect, test } from "vitest";
import { commandLineAdvice, LIBRARY_CLAUSES } from "../../../src/adapters/cli/advice.ts";
import { COMMANDS } from "../../../src/adapters/cli/commands.ts";
import { filesBelow, textOf } from "../../source-files.ts";

const LIBRARY = filesBelow("src").filter((path) => !path.startsWith("src/adapters/"));
const TEXT = /"([^"\n]*)"|`([^`\n]*)`/gu;
/** Options, methods, and functions of the package. */
const IN_JAVASCRIPT =
  /\{ \w+: [^}]*\}|\b(?:store|slots|kms|vault)\.[a-z]|\b[a-z]+(?:Keys?|Alias(?:es)?|File|Vault|Deletion|Protection)\b(?!:)/u;
const EVERY_FLAG = { force: {}, recursive: {} };
const isCode = (line: string): boolean => !/^\s*(?:\*|\/[/*]|import\b|export\b.* from\b)/u.test(line);
const texts = LIBRARY.flatMap((path) =>
  textOf(path)
    .split("\n")
    .filter(isCode)
    // What is put in does not count: it is code.
    .flatMap((line) => [...line.matchAll(TEXT)].map((match) => match[1] ?? match[2] ?? ""))
    .map((text) => text.replaceAll(/\$\{[^}]*\}/gu, "0"))
    // What looks like a message: several words.
    .filter((text) => text.includes(" ")),
);

describe("advice on the command line", () => {
  test.each(LIBRARY_CLAUSES)("the library still says: %s", (clause) => {
    expect(texts.filter((text) => text.includes(clause))).not.toEqual([]);
  });

  test("no message of the library keeps its JavaScript", () => {
    const inJavaScript = texts.filter((text) => IN_JAVASCRIPT.test(text));
    expect(inJavaScript.length).toBeGreaterThan(10);
    const kept = inJavaScript.filter((text) => IN_JAVASCRIPT.test(commandLineAdvice(text, EVERY_FLAG)));
    // A file's name; and what no command does.
    const isMeant = /\bthe file vault\.lock\b|\bopenVault\b|made by createVault itself/u;
    expect(kept.filter((text) => !isMeant.test(text))).toEqual([]);
  });

  test("the commands and flags that it names exist", () => {
    const told = LIBRARY_CLAUSES.map((clause) => commandLineAdvice(clause, EVERY_FLAG)).join("\n");
    const names = [...told.matchAll(/\bcoffer ((?:store|slot|key|alias|file) [a-z-]+|[a-z-]+)/gu)];
    const flags = [...told.matchAll(/--([a-z-]+)/gu)];
    expect(names.length).toBeGreaterThan(10);
    expect(flags.length).toBeGreaterThan(4);
    const known = new Set(COMMANDS.map(({ name }) => name));
    expect(names.filter(([, name = ""]) => !known.has(name))).toEqual([]);
    const options = new Set(COMMANDS.flatMap((command) => Object.keys(command.options)));
    expect(flags.filter(([, flag = ""]) => !options.has(flag))).toEqual([]);
  });

  test("a flag is advised only where the command has it", () => {
    const message = "It is there already. Choose another name, or pass { overwrite: true }.";
    expect(commandLineAdvice(message, { force: {} })).toBe(
      "It is there already. Choose another name, or give --force.",
    );
    expect(commandLineAdvice(message)).toBe("It is there already. Choose another name.");
  });

  test("a name of the user is left as it is", () => {
    const message = "alias/listKeys does not exist in this vault. See listAliases for those that do.";
    expect(commandLineAdvice(message)).toBe(
      "alias/listKeys does not exist in this vault. See coffer alias list for those that do.",
    );
  });
});
