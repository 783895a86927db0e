/**
 * How fast does a large file go into the store and out of it, beside `encryptFile` and `decryptFile`; and how fast is it
 * streamed, and read anywhere?
 * @module
 */
import { randomInt } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { inRounds, rateLine, repeated, sizeText, timeLine } from "./measure.mjs";
import { makeFile, run, settle, withFolder } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";
import { seconds } from "./store-ground.mjs";

const READ_BYTES = 4096;
const TARGET = 0.9;

/** @returns {Promise<object[]>} */
export async function storeLarge({ fileRounds, storeFileBytes: fileBytes, reads, isQuick }) {
  return withFolder((folder) =>
    withVault(1, async ({ vault }) => {
      const [source, sealed, opened] = ["source", "sealed", "opened"].map((name) => join(folder, name));
      const exported = join(folder, "exported");
      await makeFile(source, fileBytes);
      await mkdir(exported);
      const { store } = vault;
      const works = {
        encryptFile: async () => {
          await rm(sealed, { force: true });
          return seconds(() => vault.encryptFile(source, sealed));
        },
        write: async () => {
          for await (const { path } of store.list()) await store.remove(path, { purge: true });
          return seconds(() => store.write("large", { path: source }));
        },
        decryptFile: async () => {
          await rm(opened, { force: true });
          return seconds(() => vault.decryptFile(sealed, opened));
        },
        exportTo: async () => {
          await rm(join(exported, "large"), { force: true });
          return seconds(() => store.exportTo("large", exported));
        },
        readStream: () => seconds(async () => drain(await store.readStream("large"))),
        openFile: () => seconds(async () => drainReader(await vault.openFile(sealed))),
      };
      const took = await inRounds(fileRounds, works, {
        isWarm: isQuick,
        before: () => settle(folder, fileBytes),
      });
      await run("cmp", source, join(exported, "large"));
      const question = `store: a file of ${sizeText(fileBytes)}, flushed`;
      const line = (what, baseline, target) =>
        rateLine({
          question,
          what,
          bytes: fileBytes,
          took: took[what],
          baseline,
          baselineTook: took[baseline],
          target,
        });
      return [
        line("write", "encryptFile", TARGET),
        line("exportTo", "decryptFile", TARGET),
        line("readStream", "openFile"),
        ...(await randomReads({ vault, sealed, fileBytes, reads, question })),
      ];
    }),
  );
}

async function randomReads({ vault, sealed, fileBytes, reads, question }) {
  const [stored, file] = [await vault.store.open("large"), await vault.openFile(sealed)];
  const once = (from) => () => from.read(randomInt(fileBytes - READ_BYTES), READ_BYTES);
  const times = Math.ceil(reads / 10);
  try {
    const took = await inRounds(10, {
      own: repeated(times, once(stored)),
      file: repeated(times, once(file)),
    });
    const baseline = "openFile";
    const what = "open, a read of 4 KiB anywhere";
    return [timeLine({ question, what, took: took.own, baseline, baselineTook: took.file, times })];
  } finally {
    await stored.close();
    await file.close();
  }
}

async function drain(stream) {
  let bytes = 0;
  for await (const piece of stream) bytes += piece.length;
  return bytes;
}

async function drainReader(file) {
  try {
    await drain(file.stream());
  } finally {
    await file.close();
  }
}
