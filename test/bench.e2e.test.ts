import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root, textOf } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const scratch = scratchDirectories();

interface Line {
  readonly question: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly baseline?: string;
  readonly baselineValue?: number;
  readonly ratio?: number;
  readonly target?: { readonly of: "ratio" | "value"; readonly atLeast?: number; readonly atMost?: number };
  readonly isMet?: boolean;
}

interface Drawing {
  readonly pictureOf: (result: unknown) => string;
}

/** Plain JavaScript, as all of the bench. */
function drawing(): Promise<Drawing> {
  return import(new URL("../bench/picture.mjs", import.meta.url).href) as Promise<Drawing>;
}

test("the bench measures every question, prints a table and writes JSON that can be drawn", async () => {
  const output = join(await scratch(), "new/results.json");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(root, "bench/main.mjs"), "--quick", "--output", output],
    { timeout: 110_000 },
  );
  const result = JSON.parse(await readFile(output, "utf8")) as { isQuick: boolean; lines: Line[] };
  const { isQuick, lines } = result;
  expect(isQuick).toBe(true);
  expect([...new Set(lines.map(({ question }) => question))]).toEqual([
    "small data",
    "opening a vault",
    "describing keys",
    "in memory, one thread",
    "Web Streams",
    "file to file, 17 MiB, not flushed",
    "file to file, 17 MiB, flushed",
    "segment sizes",
    "threads, 17 MiB, not flushed",
    "sizes, not flushed",
    "memory above what there was before, at most",
    "random 4 KiB reads of 1 MiB",
    "10 files of 10 KiB, flushed",
    "event loop late, at most",
    "store: 4 files of 1 KiB, 16 at once, flushed",
    "store: 4 files of 64 KiB, 16 at once, flushed",
    "store: a file of 1 MiB, flushed",
    "store: 10 names in one directory",
    "store: 4 writes of 1 KiB",
    "store: 4 writes of 64 KiB",
    "store: in the index, beside in an object",
  ]);
  for (const { question, what, value, baseline, baselineValue, target, isMet } of lines) {
    const name = `${question}: ${what}`;
    expect(value, name).toBeGreaterThanOrEqual(0);
    expect(typeof baselineValue, name).toBe(baseline === undefined ? "undefined" : "number");
    expect(typeof isMet, name).toBe(target === undefined ? "undefined" : "boolean");
    expect(stdout).toContain(`\n  ${what} `);
  }
  const { pictureOf } = await drawing();
  const picture = pictureOf(result);
  expect(picture).toMatch(/^<svg [^]*<\/svg>\n$/u);
  // Ours in both directions and cp, once flushed and once not.
  expect(picture.match(/<rect x=/gu)).toHaveLength(6);
}, 120_000);

test("the bench refuses a name that none of its benches has", async () => {
  const running = promisify(execFile)(process.execPath, [join(root, "bench/main.mjs"), "speed"]);
  await expect(running).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining("speed: no such bench") as unknown,
  });
});

test("bench/README.md names every bench and has a row for every question of a full run", () => {
  const published = textOf("bench/README.md");
  for (const file of readdirSync(join(root, "bench")).filter((name) => name.endsWith(".bench.mjs"))) {
    expect(published).toContain(`\`${file}\``);
  }
  for (const what of [
    "encrypt, 1 KiB",
    "generateDataKey, 1 KiB",
    "open, 10,000 keys",
    "describeKey",
    "encryptFile",
    "decryptFile",
    "encryptStream",
    "read, median",
  ]) {
    expect(published).toContain(`\n  ${what}`);
  }
});
