/**
 * A file that is longer than memory, in threads: 10 GiB with a hole in soak, 48 MiB otherwise. Memory stays that of a
 * short one, and offsets beyond 2^32 are what they should be.
 * @module
 */
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VaultFiles } from "../../src/envelope/vault-files.ts";
import { useFileWorker } from "../../src/envelope/worker-pool.ts";
import { isSoak, report, times } from "../field/scale.ts";
import { isSparse, writeSparse } from "../field/sparse-file.ts";
import { distUrl } from "../storage/scratch.ts";
import { fileGround, isSame, pattern, sourceIn } from "./file-ground.ts";

const MEBIBYTE = 1_048_576;
/** Ten times what the bench holds us to: a guard, not the measure. Only a file that is longer can pass it. */
const MAX_MEMORY_BYTES = 960 * MEBIBYTE;
const mebibytes = times(48, 10_240);
const lengthBytes = mebibytes * MEBIBYTE + 12_345;
const islands = [0, Math.floor(lengthBytes / 2), lengthBytes - 5000].map((at, i) => ({
  at,
  bytes: pattern(5000, i + 1),
}));
const measured = { mebibytes, memoryMebibytes: 0, encryptSeconds: 0, decryptSeconds: 0 };

const ground = fileGround();
let threaded: VaultFiles;

beforeAll(() => {
  useFileWorker(new URL(distUrl("envelope/file-worker.cjs")));
  threaded = new VaultFiles({ ...ground.host, mayUseWorkers: true });
});
afterAll(() => report("files.large", measured));

test(
  "a long file comes back as it was, in constant memory, and can be read anywhere",
  { timeout: 1_800_000 },
  async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), new Uint8Array(0));
    await writeSparse(source, { lengthBytes, islands });
    const beforeBytes = process.memoryUsage.rss();
    let mostBytes = beforeBytes;
    const onProgress = (): void => void (mostBytes = Math.max(mostBytes, process.memoryUsage.rss()));
    const timed = async (work: Promise<unknown>): Promise<number> => {
      const startedMs = performance.now();
      await work;
      return (performance.now() - startedMs) / 1000;
    };
    measured.encryptSeconds = await timed(threaded.encryptFile(source, encrypted, { onProgress }));
    await rm(source);
    measured.decryptSeconds = await timed(threaded.decryptFile(encrypted, decrypted, { onProgress }));
    measured.memoryMebibytes = (mostBytes - beforeBytes) / MEBIBYTE;
    if (isSoak) expect(mostBytes - beforeBytes).toBeLessThan(MAX_MEMORY_BYTES);
    expect(ground.notices).toEqual([]);

    const reader = await threaded.openFile(encrypted);
    expect(reader.size).toBe(lengthBytes);
    for (const { at, bytes } of islands) {
      const start = Math.max(0, at - 100);
      const around = await reader.read(start, 5200);
      expect(isSame(around.subarray(at - start, at - start + 5000), bytes)).toBe(true);
    }
    await reader.close();
    expect(await isSparse(decrypted, { lengthBytes, islands })).toBe(true);
  },
);
