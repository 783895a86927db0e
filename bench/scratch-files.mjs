/**
 * Files to measure on, and other programs to compare with.
 * @module
 */
import { execFile } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { existsSync } from "node:fs";
import process from "node:process";
import { promisify } from "node:util";

const BLOCK = new Uint8Array(1_048_576);

/** Gives a new temporary folder to `use`, and removes it with all its content afterwards. */
export async function withFolder(use) {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes a file of random blocks; a sparse one is a hole with a random end. Flushed, so that no bench pays for it. */
export async function makeFile(path, bytes, { isSparse = false } = {}) {
  const file = await open(path, "wx");
  try {
    randomFillSync(BLOCK);
    const from = isSparse ? Math.max(0, bytes - BLOCK.length) : 0;
    for (let at = from; at < bytes; at += BLOCK.length) {
      // A different block each time, at no cost.
      BLOCK[0] += 1;
      await file.write(BLOCK, 0, Math.min(BLOCK.length, bytes - at), at);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Lets the next work begin as the first one did, whatever came before: what others wrote is on the disk, so that the
 * system does not write it meanwhile, and there is memory for a file of `bytes`: a virtual machine that has given some of
 * its own back gets it page by page, which takes several times as long as to write the file.
 */
export async function settle(folder, bytes) {
  if (isInstalled("sync")) await run("sync");
  const spare = join(folder, "spare");
  const file = await open(spare, "wx");
  try {
    for (let at = 0; at < bytes; at += BLOCK.length) await file.write(BLOCK, 0, BLOCK.length, at);
  } finally {
    await file.close();
    await rm(spare);
  }
}

/** Whether a program of this name is installed. */
export function isInstalled(program) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => existsSync(join(folder, program)));
}

/** Runs a program to its end. @throws when it fails. @returns {Promise<string>} what it printed */
export async function run(program, ...args) {
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 2 ** 24 });
  return stdout;
}
