/**
 * What do many names cost: listed, looked up, written one more, and when the vault is opened?
 * @module
 */
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openVault, recovery } from "coffer";
import { inRounds, timeLine } from "./measure.mjs";
import { withFolder } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";
import { AT_ONCE, each, PlainFiles, seconds, StoredFiles } from "./store-ground.mjs";

const SAMPLE = 1000;
const WRITES_AT_ONCE = 1000;
const CONTENT = new Uint8Array(100);

/** @returns {Promise<object[]>} */
export async function storeNames({ storeNamesCount: count, storeRounds: rounds }) {
  return withFolder((folder) =>
    withVault(1, async ({ vault, directory, recoveryCode }) =>
      withVault(1, async (empty) => {
        const names = Array.from({ length: count }, (_, at) => `attachment ${at} of a message.pdf`);
        const plain = join(folder, "plain");
        await mkdir(plain);
        await each(names, AT_ONCE, (name) => writeFile(join(plain, name), CONTENT));
        const made = await seconds(() =>
          each(names, WRITES_AT_ONCE, (name) => vault.store.write(`many/${name}`, CONTENT)),
        );
        const took = await lookUps(vault.store, plain, { names, rounds });
        await vault.close();
        await empty.vault.close();
        Object.assign(
          took,
          await inRounds(rounds, {
            open: () => opening(directory, recoveryCode),
            openEmpty: () => opening(empty.directory, empty.recoveryCode),
          }),
        );
        const question = `store: ${count.toLocaleString("en")} names in one directory`;
        const step = Math.min(SAMPLE, count);
        const line = (what, own, times, baseline, baselineTook) =>
          timeLine({ question, what, took: own, times, baseline, baselineTook });
        return [
          line(`write, ${WRITES_AT_ONCE.toLocaleString("en")} at once, a file`, [made], count),
          line("list, all", took.list, 1, "readdir and lstat", took.plainList),
          line("list, all", took.list, 1, "readdir alone", took.readdir),
          line("stat", took.stat, step, "stat", took.plainStat),
          line("openVault", took.open, 1, "no files", took.openEmpty),
        ];
      }),
    ),
  );
}

async function lookUps(store, plain, { names, rounds }) {
  const [stored, files] = [new StoredFiles(store, "many"), new PlainFiles(plain)];
  const step = Math.max(1, Math.floor(names.length / SAMPLE));
  const sample = names.filter((_, at) => at % step === 0).slice(0, SAMPLE);
  return inRounds(rounds, {
    list: () => expectCount(stored, names.length),
    plainList: () => expectCount(files, names.length),
    readdir: async () => void (await readdir(plain)),
    stat: () => each(sample, 1, (name) => store.stat(`many/${name}`)),
    plainStat: () => each(sample, 1, (name) => stat(join(plain, name))),
  });
}

async function expectCount(place, count) {
  const found = await place.list();
  if (found !== count) throw new Error(`${found} names instead of ${count}`);
}

/** Closing does not count. */
async function opening(directory, recoveryCode) {
  let vault;
  const took = await seconds(async () => {
    vault = await openVault(directory, { unlock: recovery(recoveryCode) });
  });
  await vault.close();
  return took;
}
