import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";

import { equal } from "../../src/bytes.ts";
import { isCofferError } from "../../src/errors.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { createVault, type Vault } from "../../src/vault.ts";
import { bytesOf, objectsOf, type StoreGround, storeGround } from "./store-ground.ts";

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

test("files that are moved meanwhile are wrapped anew all the same, so that the old key can go", async () => {
  const folder = await mkdtemp(join(tmpdir(), "coffer-store-"));
  try {
    let nowMs = Date.now();
    const unlock = cheapPassphrase("a passphrase for tests");
    const made = await createVault(join(folder, "vault"), { unlock, clock: () => nowMs });
    await using vault = made.vault;
    const { store, kms } = vault;
    const { keyMetadata: old } = await kms.createKey({});
    const { keyMetadata: next } = await kms.createKey({});
    const names = Array.from({ length: 60 }, (_, i) => `f${i}`);
    for (const name of names) await store.write(`in/${name}`, `content ${name}`, { keyId: old.keyId });
    const rewrapped = store.rewrapAll({ keyId: next.keyId });
    for (const name of names.toReversed()) await store.move(`in/${name}`, `out/${name}`);
    expect(await rewrapped).toEqual({ rewrapped: 60, unchanged: 0 });
    await kms.scheduleKeyDeletion({ keyId: old.keyId, pendingWindowInDays: 7 });
    nowMs += 8 * 86_400_000;
    for (const name of names) {
      expect(new TextDecoder().decode(await store.read(`out/${name}`))).toBe(`content ${name}`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("a change of the root key meanwhile hides no file from the new key", async () => {
  const { vault } = await storeGround();
  const { store, kms } = vault;
  for (let i = 0; i < 100; i++) await store.write(`f${i}`, `content ${i}`);
  const { keyMetadata } = await kms.createKey({});
  const slots = [{ unlocker: cheapPassphrase("a passphrase for tests") }];
  const changed = vault.rotateRootKey({ slots, recoveryCode: false });
  const [first] = await Promise.all([store.rewrapAll({ keyId: keyMetadata.keyId }), changed]);
  expect(first).toEqual({ rewrapped: 100, unchanged: 0 });
  expect(await store.rewrapAll({ keyId: keyMetadata.keyId })).toEqual({ rewrapped: 0, unchanged: 100 });
});

test("a copy that is made meanwhile is not left under the old key", async () => {
  const { vault } = await storeGround();
  const { store, kms } = vault;
  const { keyMetadata: old } = await kms.createKey({});
  const { keyMetadata: next } = await kms.createKey({});
  const contents = Array.from({ length: 40 }, (_, i) => bytesOf(i % 2 === 0 ? 100 : 100_000, i + 1));
  for (const [i, content] of contents.entries()) {
    await store.write(`a/f${i}`, content, { keyId: old.keyId });
  }
  const others = [store.copy("a", "b"), store.reencrypt("a")];
  const rewrapped = store.rewrapAll({ keyId: next.keyId });
  for (const i of contents.keys()) others.push(store.copy(`a/f${i}`, `c/f${i}`));
  await rewrapped;
  await Promise.all(others);
  await kms.disableKey({ keyId: old.keyId });
  for (const [i, content] of contents.entries()) {
    for (const folder of ["a", "b", "c"]) {
      expect(equal(await store.read(`${folder}/f${i}`), content)).toBe(true);
    }
  }
});

test("encrypted anew while they are moved, no file keeps its old data key", async () => {
  const { vault, directory } = await storeGround();
  const { store } = vault;
  const names = Array.from({ length: 10 }, (_, i) => `f${i}`);
  for (const name of names) await store.write(`in/sub/${name}`, bytesOf(300_000));
  await store.write("small", "in the index");
  const before = new Set(await objectsOf(directory));
  const renewed = store.reencrypt("in");
  for (const name of names.toReversed()) await store.move(`in/sub/${name}`, `out/${name}`);
  expect(await renewed).toEqual({ files: 10 });
  await store.remove("small", { purge: true });
  expect((await objectsOf(directory)).filter((path) => before.has(path))).toEqual([]);
  for (const name of names) expect(await store.read(`out/${name}`)).toEqual(bytesOf(300_000));
});

test("what an object says of its key does not choose the key that it is sealed by next", async () => {
  const ground = await storeGround();
  const { kms, store } = ground.vault;
  const { keyMetadata: own } = await kms.describeKey();
  const { keyMetadata: other } = await kms.createKey({});
  await store.write("secret", bytesOf(20_000));
  await ground.vault.close();
  const [path = ""] = await objectsOf(ground.directory);
  const bytes = await readFile(path);
  const at = bytes.indexOf(idOf(own.keyId));
  idOf(other.keyId).copy(bytes, at);
  await writeFile(path, bytes);
  const again = await ground.reopen();
  await again.kms.rotateKeyOnDemand({ keyId: own.keyId });
  expect(await again.store.rewrapAll()).toEqual({ rewrapped: 1, unchanged: 0 });
  const { entries, isDamaged } = await again.fileInfo(path);
  expect(entries).toMatchObject([{ id: own.keyId, keyVersion: 2 }]);
  expect(isDamaged).toBe(false);
  const after = await readFile(path);
  expect(after.subarray(512, 2560).equals(after.subarray(2560, 4608))).toBe(true);
  expect(await again.store.read("secret")).toEqual(bytesOf(20_000));
});

test("an area that claims to be under the present key is not taken at its word", async () => {
  const ground = await storeGround();
  const { kms, store } = ground.vault;
  const { keyMetadata } = await kms.describeKey();
  await store.write("secret", bytesOf(20_000));
  const [path = ""] = await objectsOf(ground.directory);
  const bytes = await readFile(path);
  const id = idOf(keyMetadata.keyId);
  // The version stands behind the id.
  bytes.writeUInt32BE(2, bytes.indexOf(id) + id.length);
  await writeFile(path, bytes);
  await kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
  expect(await store.rewrapAll()).toEqual({ rewrapped: 1, unchanged: 0 });
  expect(await store.rewrapAll()).toEqual({ rewrapped: 0, unchanged: 1 });
  expect(await store.read("secret")).toEqual(bytesOf(20_000));
});

test("files under a disabled key do not keep the others from the new version, unless they need it", async () => {
  const { vault } = await storeGround();
  const { store, kms } = vault;
  const { keyMetadata: closed } = await kms.createKey({});
  await store.write("closed", bytesOf(20_000), { keyId: closed.keyId });
  await store.write("small", "closed too", { keyId: closed.keyId });
  await store.write("open", bytesOf(20_000));
  await kms.disableKey({ keyId: closed.keyId });
  const { keyMetadata } = await kms.describeKey();
  await kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
  expect(await store.rewrapAll()).toEqual({ rewrapped: 1, unchanged: 2 });
  await expect(store.rewrapAll({ keyId: keyMetadata.keyId })).rejects.toMatchObject({
    code: "COFFER_KEY_DISABLED",
  });
});

function idOf(keyId: string): Buffer {
  return Buffer.from(keyId.replaceAll("-", ""), "hex");
}

/** The CMKs that files are under: each one closes its own when it is disabled. */
async function keyOf({ kms, store }: Vault, path: string): Promise<string | undefined> {
  const { keys } = await kms.listKeys();
  for (const { keyId } of keys) {
    await kms.disableKey({ keyId });
    try {
      await store.read(path);
    } catch (error) {
      if (isCofferError(error, "COFFER_KEY_DISABLED")) return keyId;
      throw error;
    } finally {
      await kms.enableKey({ keyId });
    }
  }
  return undefined;
}

test("encrypted anew or copied, a file stays under the key that it is under, unless another is named", async () => {
  const { vault } = await storeGround();
  const { store, kms } = vault;
  const { keyMetadata: two } = await kms.createKey({ alias: "alias/two" });
  const { keyMetadata: three } = await kms.createKey({ alias: "alias/three" });
  await store.write("d/small", bytesOf(100), { keyId: "alias/two" });
  await store.write("d/large", bytesOf(100_000), { keyId: "alias/two" });
  await store.write("d/empty", "");
  // An alias names a key for what is written from now on.
  await kms.updateAlias({ aliasName: "alias/two", targetKeyId: three.keyId });
  expect(await store.reencrypt("")).toEqual({ files: 2 });
  await store.copy("d", "copy");
  await store.copy("d/small", "copied");
  for (const path of ["d/small", "d/large", "copy/small", "copy/large", "copied"]) {
    expect(await keyOf(vault, path)).toBe(two.keyId);
  }
  await store.copy("d", "other", { keyId: "alias/three" });
  await store.reencrypt("d", { keyId: three.keyId });
  for (const path of ["d/small", "d/large", "other/small", "other/large"]) {
    expect(await keyOf(vault, path)).toBe(three.keyId);
  }
  expect(await store.read("other/large")).toEqual(bytesOf(100_000));
  expect((await store.verify()).problems).toEqual([]);
});

test.each(["small", "large"])(
  "under a disabled key a %s file is neither encrypted anew nor copied",
  async (name) => {
    const { vault, directory } = await storeGround();
    const { store, kms } = vault;
    const { keyMetadata: two } = await kms.createKey({ alias: "alias/two" });
    const content = bytesOf(name === "small" ? 100 : 100_000);
    await store.write(name, content, { keyId: "alias/two" });
    const [entry, objects] = [await store.stat(name), await objectsOf(directory)];
    await kms.disableKey({ keyId: two.keyId });
    const refused = { code: "COFFER_KEY_DISABLED" };
    await expect(store.reencrypt(name)).rejects.toMatchObject(refused);
    await expect(store.reencrypt(name, { keyId: "alias/default" })).rejects.toMatchObject(refused);
    await expect(store.copy(name, "copy")).rejects.toMatchObject(refused);
    await kms.enableKey({ keyId: two.keyId });
    await kms.disableKey({ keyId: (await kms.createKey({ alias: "alias/closed" })).keyMetadata.keyId });
    await expect(store.reencrypt(name, { keyId: "alias/closed" })).rejects.toMatchObject(refused);
    await expect(store.copy(name, "copy", { keyId: "alias/closed" })).rejects.toMatchObject(refused);
    expect(await store.stat(name)).toEqual(entry);
    await expect(store.stat("copy")).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    expect(await objectsOf(directory)).toEqual(objects);
    expect(await readdir(join(directory, "incoming"))).toEqual([]);
    expect(await store.read(name)).toEqual(content);
  },
);

test("a large file keeps its long segments when it is copied and encrypted anew", async () => {
  const { vault, directory } = await storeGround();
  const { store } = vault;
  await store.write("large", bytesOf(2_000_000));
  await store.copy("large", "copy");
  await store.reencrypt("large");
  // The old object goes a moment later, and must not be looked at while it does.
  await expect.poll(() => objectsOf(directory)).toHaveLength(2);
  const segments = await Promise.all(
    (await objectsOf(directory)).map(async (path) => (await vault.fileInfo(path)).segmentBytes),
  );
  expect(new Set(segments)).toEqual(new Set([262_144]));
  for (const path of ["large", "copy"]) expect(await store.read(path)).toEqual(bytesOf(2_000_000));
});

test("many files under one signal are no leak that Node warns of", async () => {
  const { vault } = await storeGround();
  for (let n = 0; n < 20; n++) await vault.store.write(`d/${n}`, bytesOf(20_000, n));
  const warned = vi.fn<(warning: Error) => void>();
  process.on("warning", warned);
  try {
    const { signal } = new AbortController();
    await vault.store.reencrypt("d", { signal });
    await vault.store.copy("d", "copy", { signal });
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("warning", warned);
  }
  expect(warned).not.toHaveBeenCalled();
});
