/**
 * How does the length of a file change the rate, and does it change the memory? The baseline is a copy by the kernel.
 * @module
 */
import { copyFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { withProcesses } from "./file-process.mjs";
import { inRounds, rateLine, sizeText } from "./measure.mjs";
import { makeFile, settle } from "./scratch-files.mjs";

const MAX_MEBIBYTES = 96;
/** Short ones many times, so that there is something to measure. */
const MIN_ROUND_BYTES = 1_048_576;
const MAX_FILES_PER_ROUND = 20;

/** @returns {Promise<object[]>} */
export async function sizes({ fileRounds, sizesBytes, isQuick }) {
  return withProcesses(async ({ folder, start }) => {
    const child = await start();
    const rates = [];
    const memory = [];
    for (const bytes of sizesBytes) {
      const paths = ["source", "sealed", "opened", "copy"].map((name) => join(folder, name));
      await makeFile(paths[0], bytes);
      const { took, peaks, files } = await measure(child, paths, { bytes, fileRounds, isQuick });
      for (const name of ["encryptFile", "decryptFile"]) {
        rates.push(
          rateLine({
            question: "sizes, not flushed",
            what: `${name}, ${sizeText(bytes)}`,
            bytes: bytes * files,
            took: took[name],
            baseline: "copyFile",
            baselineTook: took.copyFile,
          }),
        );
      }
      memory.push({
        question: "memory above what there was before, at most",
        what: `both directions, ${sizeText(bytes)}`,
        value: Math.max(...peaks) / 2 ** 20,
        unit: "MiB",
        target: { of: "value", atMost: MAX_MEBIBYTES },
      });
      await Promise.all(paths.map((path) => rm(path)));
    }
    return [...rates, ...memory];
  });
}

async function measure(child, [source, sealed, opened, copy], { bytes, fileRounds, isQuick }) {
  const files = Math.min(MAX_FILES_PER_ROUND, Math.ceil(MIN_ROUND_BYTES / bytes));
  const folder = dirname(source);
  const peaks = [];
  const repeat = async (work) => {
    let seconds = 0;
    for (let file = 0; file < files; file += 1) seconds += await work();
    return seconds;
  };
  const own = (type, from, to) => () =>
    repeat(async () => {
      const { seconds, peakBytes } = await child.ask({ type, source: from, destination: to });
      peaks.push(peakBytes);
      return seconds;
    });
  const took = await inRounds(
    fileRounds,
    {
      encryptFile: own("encrypt", source, sealed),
      decryptFile: own("decrypt", sealed, opened),
      copyFile: () =>
        repeat(async () => {
          await rm(copy, { force: true });
          const startedMs = performance.now();
          await copyFile(source, copy);
          return (performance.now() - startedMs) / 1000;
        }),
    },
    { isWarm: isQuick, before: () => settle(folder, bytes) },
  );
  return { took, peaks, files };
}
