import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

import { hex } from "../../src/bytes.ts";
import type { FileProgress } from "../../src/envelope/progress.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { Objects } from "../../src/store/objects.ts";
import { StoreUse } from "../../src/store/store-use.ts";
import { writeContent } from "../../src/store/write-content.ts";
import { all, bytesOf, objectsOf, storeGround } from "./store-ground.ts";

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000);
}

test.each([
  ["as it was said", 2_000_000, 2_000_000, 262_144],
  ["longer than it was said", 2_000_000, 10, 65_536],
  ["shorter than it was said", 100_000, 5_000_000, 262_144],
  ["of a length that nobody knows", 2_000_000, undefined, 65_536],
  ["of a whole segment", 262_144, 1_500_000, 262_144],
])("a stream %s is written as it comes", async (_, length, sizeBytes, segmentBytes) => {
  const { vault, directory, folder } = await storeGround();
  const host = {
    fs: nodeFileSystem,
    clock: Date.now,
    report: () => undefined,
    mayUseWorkers: false,
    directory,
    mayWrite: true,
    kms: () => vault.kms,
    run: () => Promise.reject(new Error("not asked for")),
    unlocked: () => {
      throw new Error("not asked for");
    },
  };
  const content = bytesOf(length);
  const { content: written } = await writeContent(
    host,
    new Objects(nodeFileSystem, directory),
    new StoreUse(() => undefined),
    { kind: "pieces", pieces: piecesOf(content), ...(sizeBytes !== undefined && { sizeBytes }) },
    { keyId: undefined, isDurable: true, signal: new AbortController().signal, onUse: () => undefined },
  );
  expect(written.size).toBe(length);
  const path = join(directory, "incoming", `${hex(written.id)}.cof`);
  expect(await vault.fileInfo(path)).toMatchObject({ segmentBytes, plaintextBytes: length });
  await vault.decryptFile(path, join(folder, "plain"));
  expect((await readFile(join(folder, "plain"))).equals(content)).toBe(true);
});

test.each([
  ["small", 100],
  ["large", 200_000],
])("a listener that throws when all of a %s file is done leaves nothing", async (_, length) => {
  const { vault, directory, folder } = await storeGround();
  const { store } = vault;
  const content = bytesOf(length);
  const path = join(folder, "source");
  await writeFile(path, content);
  await store.write("there/file", content);
  const onProgress = ({ bytes, totalBytes }: FileProgress): void => {
    if (bytes === totalBytes) throw new Error("enough");
  };
  const before = await objectsOf(directory);
  for (const write of [
    () => store.write("new", content, { onProgress }),
    () => store.write("new", { path }, { onProgress }),
    () => store.write("new", piecesOf(content), { onProgress }),
    () => store.copy("there/file", "new", { onProgress }),
    () => store.copy("there", "new", { onProgress }),
  ]) {
    await expect(write()).rejects.toThrow("enough");
    expect((await all(store.walk())).map((entry) => entry.path)).toEqual(["there", "there/file"]);
    expect(await readdir(join(directory, "incoming"))).toEqual([]);
  }
  await vault.close();
  expect(await objectsOf(directory)).toEqual(before);
});
