/**
 * A stored file that is longer than memory, in threads: 10 GiB with a hole in soak, 48 MiB otherwise.
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { useFileWorker } from "../../src/envelope/worker-pool.ts";
import { isSoak, report, times } from "../field/scale.ts";
import { isSparse, writeSparse } from "../field/sparse-file.ts";
import { distUrl } from "../storage/scratch.ts";
import { bytesOf, storeGround } from "./store-ground.ts";

const MEBIBYTE = 1_048_576;
/** Ten times what the bench holds us to: a guard, not the measure. Only a file that is longer can pass it. */
const MAX_MEMORY_BYTES = 960 * MEBIBYTE;
const mebibytes = times(48, 10_240);
const lengthBytes = mebibytes * MEBIBYTE + 12_345;
const islands = [0, Math.floor(lengthBytes / 2), lengthBytes - 5000].map((at, i) => ({
  at,
  bytes: bytesOf(5000, i + 1),
}));
const measured = { mebibytes, memoryMebibytes: 0, writeSeconds: 0, verifySeconds: 0, exportSeconds: 0 };

beforeAll(() => useFileWorker(new URL(distUrl("envelope/file-worker.cjs"))));
afterAll(() => report("store: large file", measured));

test(
  "a long file is stored, read anywhere, verified and given back, in constant memory",
  { timeout: 1_800_000 },
  async () => {
    const { vault, folder } = await storeGround();
    const [source, given] = [join(folder, "source"), join(folder, "given")];
    await writeSparse(source, { lengthBytes, islands });
    const beforeBytes = process.memoryUsage.rss();
    let mostBytes = beforeBytes;
    const onProgress = (): void => void (mostBytes = Math.max(mostBytes, process.memoryUsage.rss()));
    const timed = async (work: Promise<unknown>): Promise<number> => {
      const startedMs = performance.now();
      await work;
      return (performance.now() - startedMs) / 1000;
    };
    measured.writeSeconds = await timed(vault.store.write("films/long", { path: source }, { onProgress }));
    await rm(source);
    expect(await vault.store.stat("films/long")).toMatchObject({ size: lengthBytes });
    const file = await vault.store.open("films/long");
    for (const { at, bytes } of islands) expect(await file.read(at, 5000)).toEqual(bytes);
    expect(await file.read(lengthBytes - 5100, 100)).toEqual(new Uint8Array(100));
    await file.close();
    const verifying = vault.store.verify({ onProgress });
    measured.verifySeconds = await timed(verifying);
    expect((await verifying).problems).toEqual([]);
    measured.exportSeconds = await timed(vault.store.exportTo("films", given, { onProgress }));
    measured.memoryMebibytes = (mostBytes - beforeBytes) / MEBIBYTE;
    if (isSoak) expect(mostBytes - beforeBytes).toBeLessThan(MAX_MEMORY_BYTES);
    expect(await isSparse(join(given, "long"), { lengthBytes, islands })).toBe(true);
  },
);
