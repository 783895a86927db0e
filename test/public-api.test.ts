import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root, textOf } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const scratch = scratchDirectories();
const uses = textOf("test/public-api-uses.ts");
const EXPECTED_ERROR = /^ *\/\/ @ts-expect-error .+\n/gmu;

const compilerOptions = {
  target: "es2023",
  lib: ["es2023", "esnext.disposable"],
  module: "nodenext",
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: true,
  noEmit: true,
};

/** Compiles a text as an app would that has the built package installed, and returns the lines with an error. */
async function errorLinesOf(source: string): Promise<number[]> {
  const app = await scratch();
  await mkdir(join(app, "node_modules"));
  await symlink(root, join(app, "node_modules/coffer"), "dir");
  await symlink(join(root, "node_modules/@types"), join(app, "node_modules/@types"), "dir");
  await writeFile(join(app, "package.json"), '{ "type": "module" }');
  await writeFile(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["app.ts"] }));
  await writeFile(join(app, "app.ts"), source.replace('"../src/index.ts"', '"coffer"'));
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, [compiler, "-p", app, "--pretty", "false"], (error, stdout, stderr) => {
      resolve(error === null ? "" : stdout + stderr);
    });
  });
  const errors = output.split("\n").filter((line) => line.includes("error TS"));
  return errors.map((line) => {
    const [, at] = /^app\.ts\((\d+),\d+\): error TS/u.exec(line.slice(line.lastIndexOf("app.ts"))) ?? [];
    if (at === undefined) throw new Error(`an error outside of the app: ${line}`);
    return Number(at);
  });
}

describe("the types of the built package", () => {
  test("allow what they should and refuse what they should", async () => {
    expect(await errorLinesOf(uses)).toEqual([]);
  });

  test("are what refuses: without the comments every expected error is there", async () => {
    const expected = [...uses.matchAll(EXPECTED_ERROR)].map(({ index }, removed) => {
      return uses.slice(0, index).split("\n").length - removed;
    });
    expect(expected.length).toBeGreaterThan(20);
    expect([...new Set(await errorLinesOf(uses.replaceAll(EXPECTED_ERROR, "")))]).toEqual(expected);
  });

  test("are compared exactly: a type that differs is an error", async () => {
    const changed = uses.replace(
      "Same<typeof usual.recoveryCode, string>",
      "Same<typeof usual.recoveryCode, never>",
    );
    expect(changed).not.toBe(uses);
    const line = uses.slice(0, uses.indexOf("Same<typeof usual.recoveryCode")).split("\n").length;
    expect(await errorLinesOf(changed)).toEqual([line]);
  });
});
