import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

import { bytesOf, type StoreGround, storeGround } from "./store-ground.ts";

const CONTENTS: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(),
  "d/small": bytesOf(1000),
  "d/large": bytesOf(200_000),
};

async function filled(): Promise<StoreGround> {
  const ground = await storeGround();
  for (const [name, content] of Object.entries(CONTENTS)) await ground.vault.store.write(name, content);
  return ground;
}

async function objectIn(directory: string): Promise<Buffer> {
  const names = await readdir(join(directory, "objects"), { recursive: true });
  const [object] = names.filter((name) => name.endsWith(".cof"));
  return readFile(join(directory, "objects", object as string));
}

async function expectContents({ vault }: StoreGround): Promise<void> {
  for (const [name, content] of Object.entries(CONTENTS))
    expect(await vault.store.read(name)).toEqual(content);
  expect((await vault.store.verify()).problems).toEqual([]);
}

test("after a rotation all data keys are under the new version, and the bodies as they were", async () => {
  const ground = await filled();
  const { kms, store } = ground.vault;
  const before = await objectIn(ground.directory);
  expect(await store.rewrapAll()).toEqual({ rewrapped: 0, unchanged: 3 });
  const { keyMetadata } = await kms.describeKey({ keyId: "alias/default" });
  await kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
  expect(await store.rewrapAll()).toEqual({ rewrapped: 2, unchanged: 1 });
  expect(await store.rewrapAll()).toEqual({ rewrapped: 0, unchanged: 3 });
  const after = await objectIn(ground.directory);
  const body = 64 + 448 + 2 * 2048;
  expect(after.equals(before)).toBe(false);
  expect(after.subarray(body).equals(before.subarray(body))).toBe(true);
  await expectContents(ground);
});

test("under another key, the first one can be disabled; a disabled key refuses small and large alike", async () => {
  const ground = await filled();
  const { kms, store } = ground.vault;
  const { keyMetadata: first } = await kms.describeKey({ keyId: "alias/default" });
  const { keyMetadata: other } = await kms.createKey({ alias: "alias/other" });
  expect(await store.rewrapAll({ keyId: "alias/other" })).toEqual({ rewrapped: 2, unchanged: 1 });
  await kms.disableKey({ keyId: first.keyId });
  await expectContents(ground);
  await kms.disableKey({ keyId: other.keyId });
  for (const name of ["d/small", "d/large"]) {
    await expect(store.read(name)).rejects.toMatchObject({ code: "COFFER_KEY_DISABLED" });
  }
  const { problems } = await store.verify();
  expect(problems).toEqual(
    expect.arrayContaining([
      { problem: "key", path: "d/large", code: "COFFER_KEY_DISABLED" },
      { problem: "key", path: "d/small", code: "COFFER_KEY_DISABLED" },
    ]),
  );
  await expect(store.rewrapAll({ keyId: "alias/none" })).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
});

test("encrypted anew, a file has another object and the same name, times and metadata", async () => {
  const ground = await filled();
  const { store } = ground.vault;
  await store.write("d/large", CONTENTS["d/large"] as Uint8Array, { overwrite: true, metadata: { a: "b" } });
  const entry = await store.stat("d/large");
  await expect
    .poll(
      async () =>
        (await readdir(join(ground.directory, "objects"), { recursive: true })).filter((n) =>
          n.endsWith(".cof"),
        ).length,
    )
    .toBe(1);
  const before = await objectIn(ground.directory);
  expect(await store.reencrypt("")).toEqual({ files: 2 });
  expect(await store.reencrypt("d/small")).toEqual({ files: 1 });
  expect(await store.stat("d/large")).toEqual(entry);
  await expect
    .poll(
      async () =>
        (await readdir(join(ground.directory, "objects"), { recursive: true })).filter((n) =>
          n.endsWith(".cof"),
        ).length,
    )
    .toBe(1);
  expect((await objectIn(ground.directory)).subarray(8192).equals(before.subarray(8192))).toBe(false);
  await ground.reopen();
  await expectContents(ground);
});
