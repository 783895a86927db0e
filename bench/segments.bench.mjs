/**
 * Which segment size is best? Smaller ones make reads of a few bytes cheaper, larger ones whole files.
 * @module
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { withProcesses } from "./file-process.mjs";
import { inRounds, median, rateLine, sizeText } from "./measure.mjs";
import { makeFile, settle } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";

const SIZES = [65_536, 262_144, 1_048_576];
const READ_BYTES = 4096;

/** @returns {Promise<object[]>} */
export async function segmentSizes({ fileRounds, partBytes, reads, isQuick }) {
  return withProcesses(async ({ folder, start }) => {
    const source = join(folder, "source");
    await makeFile(source, partBytes);
    const child = await start();
    const works = {};
    for (const segmentBytes of SIZES) {
      const sealed = join(folder, `sealed-${segmentBytes}`);
      const seconds = async (job) => (await child.ask(job)).seconds;
      works[`encryptFile, ${segmentBytes}`] = () =>
        seconds({ type: "encrypt", source, destination: sealed, segmentBytes });
      works[`decryptFile, ${segmentBytes}`] = () =>
        seconds({ type: "decrypt", source: sealed, destination: join(folder, "opened") });
    }
    const took = await inRounds(fileRounds, works, {
      isWarm: isQuick,
      before: () => settle(folder, partBytes),
    });
    const lines = ["encryptFile", "decryptFile"].flatMap((name) =>
      SIZES.map((segmentBytes) =>
        rateLine({
          question: "segment sizes",
          what: `${name}, ${sizeText(segmentBytes)} segments`,
          bytes: partBytes,
          took: took[`${name}, ${segmentBytes}`],
          ...(segmentBytes > SIZES[0] && {
            baseline: sizeText(SIZES[0]),
            baselineTook: took[`${name}, ${SIZES[0]}`],
          }),
        }),
      ),
    );
    return [...lines, ...(await readsOf(folder, source, reads))];
  });
}

async function readsOf(folder, source, reads) {
  return withVault(1, async ({ vault }) => {
    const readers = [];
    try {
      for (const segmentBytes of SIZES) {
        const sealed = join(folder, `to-read-${segmentBytes}`);
        await vault.encryptFile(source, sealed, { segmentBytes });
        readers.push(await vault.openFile(sealed));
      }
      const took = readers.map(() => []);
      for (let i = 0; i < reads; i += 1) {
        for (const [which, reader] of readers.entries()) {
          const at = randomInt(reader.size - READ_BYTES);
          const startedMs = performance.now();
          await reader.read(at, READ_BYTES);
          took[which].push((performance.now() - startedMs) * 1000);
        }
      }
      return SIZES.map((segmentBytes, which) => ({
        question: "segment sizes",
        what: `random 4 KiB read, ${sizeText(segmentBytes)} segments`,
        value: median(took[which]),
        unit: "us",
      }));
    } finally {
      await Promise.all(readers.map((reader) => reader.close()));
    }
  });
}
