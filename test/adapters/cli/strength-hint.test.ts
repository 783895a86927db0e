// The thread runs the built package: `npm run build` comes first.
import { execFile } from "node:child_process";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { hintOf } from "../../../src/adapters/cli/strength-hint.ts";
import { root } from "../../source-files.ts";
import { scratchDirectories } from "../../storage/scratch.ts";

const scratch = scratchDirectories();

describe("the hint for a new passphrase", () => {
  // Half a second a guess: the time of one machine, and of a thousand.
  test.each([
    [0, "very weak", "less than a minute, a thousand in less than a minute"],
    [Math.log10(2 * 61), "very weak", "about 1 minute, a thousand in less than a minute"],
    [Math.log10(2 * 86_400 * 30), "very weak", "about 30 days, a thousand in about 43 minutes"],
    [Math.log10(2 * 86_400 * 1001), "weak", "about 3 years, a thousand in about 1 day"],
    [Math.log10(2 * 86_400 * 365 * 1001), "fair", "more than 1,000 years, a thousand in about 1 year"],
  ])("of 10^%f guesses says %s and how long they take", (guessesLog10, word, times) => {
    expect(hintOf(guessesLog10)).toMatch(new RegExp(`^Estimated strength: ${word}\\. `, "u"));
    expect(hintOf(guessesLog10)).toContain(times);
    expect(hintOf(guessesLog10)).toContain("It is used all the same");
  });

  test.each([Math.log10(2 * 86_400 * 365 * 100_001), 40, 300, 1000])(
    "of 10^%f guesses is content",
    (guesses) => {
      expect(hintOf(guesses)).toMatch(
        /^Estimated strength: strong\. .* for (?:about|more than) [\d,]+ years\.$/u,
      );
    },
  );
});

describe("the estimator's thread", () => {
  /** Runs a program that rates a passphrase, with the built command line in `folder`. */
  async function rated(folder: string, ...flags: readonly string[]): Promise<unknown> {
    const program = `
      import { StrengthEstimator } from ${JSON.stringify(join(folder, "strength-hint.js"))};
      const estimator = new StrengthEstimator();
      const bytes = new TextEncoder().encode("qwerty1985");
      const { signal } = new AbortController();
      const hint = await estimator.hint(bytes, signal);
      await estimator.end();
      console.log(JSON.stringify({ hint, left: bytes.length }));`;
    const args = [...flags, "--no-warnings", "--input-type=module", "-e", program];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  }

  test("rates a passphrase and takes its bytes over", async () => {
    const hint = expect.stringMatching(/^Estimated strength: very weak\./u) as unknown;
    expect(await rated(join(root, "dist/adapters/cli"))).toEqual({ hint, left: 0 });
  });

  test("that may not be started refuses nothing", async () => {
    // The option's name before Node 23.5.
    const isEarly = Number(process.versions.node.split(".")[0]) < 24;
    const flags = [isEarly ? "--experimental-permission" : "--permission", "--allow-fs-read=*"];
    const hint = expect.stringContaining("could not be estimated here") as unknown;
    expect(await rated(join(root, "dist/adapters/cli"), ...flags)).toMatchObject({ hint });
  });

  test("says in one line that it is not installed", async () => {
    const folder = join(await scratch(), "cli");
    await cp(join(root, "dist/adapters/cli"), folder, { recursive: true });
    const hint = "The passphrase's strength could not be estimated here; it is used as it is.";
    expect(await rated(folder)).toEqual({ hint, left: 0 });
  });
});
