/**
 * Where the tests of one run have their files: a folder in memory where the system offers that, and one on a drive for
 * tests that are about it. Both are removed after the run, which fails when a test has left something in them.
 * Runs in the main process of vitest, as its global setup.
 * @module
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const IN_MEMORY = "/dev/shm";
const NAME = `coffer-tests-${process.pid}`;
const onDrive = join(tmpdir(), NAME);
const inMemory = existsSync(IN_MEMORY) ? join(IN_MEMORY, NAME) : onDrive;

/** For the processes that run tests. */
export const scratchEnvironment: Readonly<Record<string, string>> = {
  TMPDIR: inMemory,
  COFFER_TEST_DRIVE: onDrive,
};

/** Makes the folders, and returns the function that removes them. Called for each project, and once is enough. */
export async function setup(): Promise<() => Promise<void>> {
  const folders = new Set([inMemory, onDrive]);
  for (const folder of folders) await mkdir(folder, { recursive: true, mode: 0o700 });
  return async () => {
    for (const folder of folders) {
      if (!existsSync(folder)) continue;
      const left = await readdir(folder);
      await rm(folder, { recursive: true, force: true });
      if (left.length === 0) continue;
      process.exitCode = 1;
      process.stderr.write(`\nTests have left ${left.length} in ${folder}: ${left.slice(0, 5).join(", ")}\n`);
    }
  };
}
