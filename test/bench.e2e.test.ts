import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root, textOf } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const scratch = scratchDirectories();

interface Line {
  readonly what: string;
  readonly microseconds: number;
  readonly ratio?: number;
  readonly target?: { readonly ratio?: number; readonly milliseconds?: number };
  readonly isMet?: boolean;
}

test("the bench measures every question, prints a table and writes JSON", async () => {
  const output = join(await scratch(), "new/results.json");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(root, "bench/main.mjs"), "--quick", "--output", output],
    { timeout: 50_000 },
  );
  const { isQuick, lines } = JSON.parse(await readFile(output, "utf8")) as {
    isQuick: boolean;
    lines: Line[];
  };
  expect(isQuick).toBe(true);
  expect(lines.map(({ what }) => what)).toEqual([
    "encrypt, 32 B",
    "decrypt, 32 B",
    "generateDataKey, 32 B",
    "encrypt, 1 KiB",
    "decrypt, 1 KiB",
    "generateDataKey, 1 KiB",
    "encrypt, 6 KiB",
    "decrypt, 6 KiB",
    "open, 10 keys",
    "open, 12 keys",
    "describeKey, one key by its alias",
    "describeKey, 12 keys by id in turn",
  ]);
  for (const { what, microseconds, ratio, target, isMet } of lines) {
    expect(microseconds, what).toBeGreaterThan(0);
    if (what.includes("crypt,") || what.includes("DataKey,")) expect(ratio, what).toBeGreaterThan(0);
    expect(typeof isMet, what).toBe(target === undefined ? "undefined" : "boolean");
    expect(stdout).toContain(`\n${what} `);
  }
  expect(lines.filter(({ target }) => target !== undefined)).toHaveLength(5);
});

test("bench/README.md has a row for every line of a full run", () => {
  const published = textOf("bench/README.md");
  for (const what of ["encrypt, 1 KiB", "generateDataKey, 1 KiB", "open, 10,000 keys", "describeKey"]) {
    expect(published).toContain(`\n${what}`);
  }
});
