/**
 * Which segment size is best? Smaller ones make reads of a few bytes cheaper, larger ones whole files.
 * @module
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { withProcesses } from "./file-process.mjs";
import { inRounds, median, rateLine, sizeText } from "./measure.mjs";
import { makeFile } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";

const SIZES = [65_536, 262_144, 1_048_576];
const READ_BYTES = 4096;

/** @returns {Promise<object[]>} */
export async function segmentSizes({ fileRounds, partBytes, reads, isQuick }) {
  return withProcesses(async ({ folder, start }) => {
    const source = join(folder, "source");
    await makeFile(source, partBytes);
    const child = await start();
    const works = SIZES.map((segmentBytes) => [
      segmentBytes,
      async () =>
        (await child.ask({ type: "encrypt", source, destination: join(folder, "sealed"), segmentBytes }))
          .seconds,
    ]);
    const took = await inRounds(fileRounds, Object.fromEntries(works), { isWarm: isQuick });
    const lines = SIZES.map((segmentBytes) =>
      rateLine({
        question: "segment sizes",
        what: `encryptFile, ${sizeText(segmentBytes)} segments`,
        bytes: partBytes,
        took: took[segmentBytes],
        ...(segmentBytes > SIZES[0] && { baseline: sizeText(SIZES[0]), baselineTook: took[SIZES[0]] }),
      }),
    );
    return [...lines, ...(await readsOf(folder, source, reads))];
  });
}

async function readsOf(folder, source, reads) {
  return withVault(1, async ({ vault }) => {
    const readers = [];
    try {
      for (const segmentBytes of SIZES) {
        const sealed = join(folder, `sealed-${segmentBytes}`);
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
