import { describe, expect, test } from "vitest";
import { filesBelow, textOf } from "../../source-files.ts";

const FOLDER = "src/adapters/cli/";
const IMPORT = /\bfrom "([^"]+)"|\bimport\("([^"]+)"\)/gu;
const imports = filesBelow("src")
  .filter((path) => path.startsWith(FOLDER))
  .flatMap((path) =>
    [...textOf(path).matchAll(IMPORT)].map((match) => ({ path, name: match[1] ?? match[2] ?? "" })),
  );

describe("the command line", () => {
  test("knows the library by its public names alone", () => {
    const others = imports.filter(({ name }) => !/^(?:node:|\.\/[a-z-]+\.ts$)/u.test(name));
    expect([...new Set(others.map(({ name }) => name))].toSorted()).toEqual([
      "../../index.ts",
      "@clack/prompts",
      "@zxcvbn-ts/core",
      "@zxcvbn-ts/language-common",
      "@zxcvbn-ts/language-en",
    ]);
  });

  test("loads the prompts only when it asks", () => {
    const loading = imports.filter(({ name }) => name === "@clack/prompts").map(({ path }) => path);
    expect(loading).toEqual([`${FOLDER}terminal-prompt.ts`]);
    expect(textOf(`${FOLDER}terminal-prompt.ts`)).not.toContain('from "@clack');
  });

  test("gives a passphrase to the estimator in a thread of its own alone", () => {
    const estimating = imports.filter(({ name }) => name.startsWith("@zxcvbn-ts/")).map(({ path }) => path);
    expect([...new Set(estimating)]).toEqual([`${FOLDER}strength-worker.ts`]);
    expect(imports.filter(({ name }) => name.includes("strength-worker"))).toEqual([]);
  });
});
