import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { root } from "./source-files.ts";

test("the bench of many keys runs, and answers every question", async () => {
  const bench = join(root, "bench/scale.bench.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", bench, "30"], {
    timeout: 50_000,
  });
  const questions = [
    "made with others at once",
    "open, 30 keys and aliases",
    "listKeys",
    "listAliases",
    "encrypt",
  ];
  for (const question of [...questions, "misspelt", "deletion", "bytes a record"]) {
    expect(stdout).toContain(question);
  }
});
