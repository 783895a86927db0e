/**
 * How long do a thousand files of 10 KiB take, beside copies with the same flushes: of each file and of its folder?
 * @module
 */
import { constants } from "node:fs";
import { copyFile, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inRounds, timeLine } from "./measure.mjs";
import { makeFile, withFolder } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";

const FILE_BYTES = 10_240;
const ROUNDS = 5;
const AT_ONCE = 8;
const TARGET = { of: "ratio", atMost: 2 };

/** @returns {Promise<object[]>} */
export async function smallFiles({ smallFilesCount }) {
  return withFolder((folder) =>
    withVault(1, async ({ vault }) => {
      const source = join(folder, "source");
      await makeFile(source, FILE_BYTES);
      const count = Math.ceil(smallFilesCount / ROUNDS);
      const encrypt = (to) => vault.encryptFile(source, to);
      const copy = (to) => flushedCopy(source, to);
      const took = await inRounds(ROUNDS, {
        copy: () => inNewFolder(folder, count, 1, copy),
        own: () => inNewFolder(folder, count, 1, encrypt),
        copyAtOnce: () => inNewFolder(folder, count, AT_ONCE, copy),
        ownAtOnce: () => inNewFolder(folder, count, AT_ONCE, encrypt),
      });
      const line = (what, own, baselineTook, target) =>
        timeLine({
          question: `${(count * ROUNDS).toLocaleString("en")} files of 10 KiB, flushed`,
          what,
          took: own,
          baseline: "copies",
          baselineTook,
          target,
          times: count,
        });
      return [
        line("encryptFile, a file", took.own, took.copy, TARGET),
        line(`encryptFile, ${AT_ONCE} at once, a file`, took.ownAtOnce, took.copyAtOnce),
      ];
    }),
  );
}

/** Returns the seconds of `count` works, each with a new path; making and removing the folder do not count. */
async function inNewFolder(parent, count, atOnce, work) {
  const folder = join(parent, "many");
  await mkdir(folder);
  const startedMs = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) {
        next += 1;
        await work(join(folder, `${next}.file`));
      }
    }),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  await rm(folder, { recursive: true });
  return seconds;
}

/** As `encryptFile` does it: beside, flushed, renamed, and the folder flushed. */
async function flushedCopy(from, to) {
  const temporary = `${to}.tmp`;
  await copyFile(from, temporary, constants.COPYFILE_EXCL);
  await flush(temporary);
  await rename(temporary, to);
  await flush(dirname(to));
}

async function flush(path) {
  const handle = await open(path);
  await handle.sync();
  await handle.close();
}
