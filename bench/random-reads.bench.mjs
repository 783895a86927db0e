/**
 * How long does reading 4 KiB anywhere in a large encrypted file take?
 * @module
 */
import { randomInt } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { median, quantile, sizeText } from "./measure.mjs";
import { makeFile, withFolder } from "./scratch-files.mjs";
import { withVault } from "./scratch-vault.mjs";

const READ_BYTES = 4096;

/** @returns {Promise<object[]>} */
export async function randomReads({ sparseBytes, reads }) {
  return withFolder((folder) =>
    withVault(1, async ({ vault }) => {
      const source = join(folder, "source");
      const sealed = join(folder, "sealed");
      await makeFile(source, sparseBytes, { isSparse: true });
      await vault.encryptFile(source, sealed);
      await rm(source);
      const reader = await vault.openFile(sealed);
      const took = [];
      try {
        for (let i = 0; i < reads; i += 1) {
          const at = randomInt(reader.size - READ_BYTES);
          const startedMs = performance.now();
          await reader.read(at, READ_BYTES);
          took.push((performance.now() - startedMs) * 1000);
        }
      } finally {
        await reader.close();
      }
      const question = `random 4 KiB reads of ${sizeText(sparseBytes)}`;
      return [
        {
          question,
          what: "read, median",
          value: median(took),
          unit: "us",
          target: { of: "value", atMost: 1000 },
        },
        { question, what: "read, 99th percentile", value: quantile(took, 0.99), unit: "us" },
      ];
    }),
  );
}
