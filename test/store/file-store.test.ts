import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";

import { INLINE_BYTES } from "../../src/store/write-content.ts";
import { all, bytesOf, storeGround } from "./store-ground.ts";

const SIZES = [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 65_536, 65_537, 200_000];

test.each(SIZES)(
  "%i bytes come back as bytes, stream, range and after a reopen [F-232] [F-234]",
  async (size) => {
    const ground = await storeGround();
    const content = bytesOf(size);
    const entry = await ground.vault.store.write("a/b/c.bin", content, {
      metadata: { type: "x", __proto__x: "y" },
    });
    expect(entry).toMatchObject({ name: "c.bin", path: "a/b/c.bin", kind: "file", size });
    for (const isReopened of [false, true]) {
      const vault = isReopened ? await ground.reopen() : ground.vault;
      expect(await vault.store.read("a/b/c.bin")).toEqual(content);
      const stream = await vault.store.readStream("a/b/c.bin", { start: Math.floor(size / 3) });
      expect(Buffer.concat(await all(stream))).toEqual(Buffer.from(content.subarray(Math.floor(size / 3))));
      await using file = await vault.store.open("a/b/c.bin");
      expect(file.size).toBe(size);
      expect(await file.read(Math.max(0, size - 5), 10)).toEqual(content.slice(Math.max(0, size - 5)));
      expect((await vault.store.stat("a/b/c.bin")).metadata).toEqual({ type: "x", __proto__x: "y" });
    }
    const { problems } = await ground.vault.store.verify();
    expect(problems).toEqual([]);
  },
);

test.each(SIZES)(
  "%i bytes of a stream in odd pieces and of a file on disk are the same content",
  async (size) => {
    const { vault, folder } = await storeGround();
    const content = bytesOf(size, 3);
    const path = join(folder, "source");
    await writeFile(path, content);
    await vault.store.write("from-path", { path });
    await vault.store.write("from-stream", Readable.from(pieces(content, 1237), { objectMode: true }));
    expect(await vault.store.read("from-path")).toEqual(content);
    expect(await vault.store.read("from-stream")).toEqual(content);
    expect((await vault.store.stat("from-path")).modifiedAt).toEqual(
      new Date(Math.trunc((await stat(path)).mtimeMs)),
    );
  },
);

test("a directory is listed in the order of names, and walked with what it holds [F-231] [F-233]", async () => {
  const { vault } = await storeGround();
  for (const name of ["z", "a", "Ä", "b/2", "b/1/x", "𝄞", "｡"]) await vault.store.write(name, name);
  await vault.store.createDirectory("empty/er");
  const names = (await all(vault.store.list())).map(({ name }) => name);
  expect(names).toEqual(["a", "b", "empty", "z", "Ä", "｡", "𝄞"]);
  const paths = (await all(vault.store.walk("b"))).map(({ path }) => path);
  expect(paths).toEqual(["b/1", "b/1/x", "b/2"]);
  expect(await vault.store.usage()).toEqual({ files: 7, directories: 4, bytes: 1 + 1 + 2 + 3 + 5 + 4 + 3 });
});

test("files and directories are moved in one record, and copied under new data keys", async () => {
  const ground = await storeGround();
  const { store } = ground.vault;
  const large = bytesOf(100_000);
  await store.write("d/small", "s");
  await store.write("d/e/large", large);
  await store.move("d", "f/g");
  expect((await all(store.walk())).map(({ path }) => path)).toEqual([
    "f",
    "f/g",
    "f/g/e",
    "f/g/e/large",
    "f/g/small",
  ]);
  await store.copy("f/g", "copy");
  await store.copy("copy", "copy/inside");
  expect(await store.read("copy/inside/e/large")).toEqual(large);
  await store.remove("f", { recursive: true });
  expect(await store.read("copy/e/large")).toEqual(large);
  await expect(store.move("copy", "copy/inside/further")).rejects.toMatchObject({ reason: "into-itself" });
  await expect(store.remove("copy")).rejects.toMatchObject({ reason: "not-empty" });
  await expect(store.write("copy/small/x", "x")).rejects.toMatchObject({ reason: "not-directory" });
  await expect(store.write("copy/small", "x")).rejects.toMatchObject({ code: "COFFER_ALREADY_EXISTS" });
  await expect(store.read("nothing")).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
  const vault = await ground.reopen();
  expect(await vault.store.read("copy/inside/e/large")).toEqual(large);
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("an open reader keeps what it opened; the object goes when nobody reads it [F-236] [F-240]", async () => {
  const { vault, directory } = await storeGround();
  const [first, second] = [bytesOf(80_000, 1), bytesOf(90_000, 2)];
  await vault.store.write("x", first);
  const file = await vault.store.open("x");
  await vault.store.write("x", second, { overwrite: true });
  expect(await vault.store.read("x")).toEqual(second);
  expect(await file.read(0, 80_000)).toEqual(first);
  expect(await objectsOf(directory)).toHaveLength(2);
  await file.close();
  await expect.poll(() => objectsOf(directory)).toHaveLength(1);
});

test.each([10, 700, 3000, 50_000])(
  "a source that gives Buffers of %i bytes, and uses their memory again, keeps what is its own",
  async (length) => {
    const { vault } = await storeGround();
    const content = bytesOf(100_000);
    async function* reusing(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
      const memory = Buffer.alloc(length);
      for (let at = 0; at < bytes.length; at += length) {
        const piece = bytes.subarray(at, at + length);
        memory.set(piece);
        yield memory.subarray(0, piece.length);
      }
    }
    for (const size of [3000, content.length]) {
      const expected = content.subarray(0, size);
      await vault.store.write("reused", reusing(expected), { overwrite: true });
      expect(Buffer.compare(await vault.store.read("reused"), expected)).toBe(0);
      const own = Buffer.from(expected);
      await vault.store.write("own", Readable.from(pieces(own, length)), { overwrite: true });
      expect(Buffer.compare(own, expected)).toBe(0);
      expect(Buffer.compare(await vault.store.read("own"), expected)).toBe(0);
    }
  },
);

test("a purge leaves no byte of a removed file, nor its name [F-241]", async () => {
  const { vault, directory } = await storeGround();
  for (let i = 0; i < 20; i++) await vault.store.write(`kept-${i}`, bytesOf(3000, i));
  await vault.store.write("gone/small", bytesOf(3000, 77));
  await vault.store.write("gone/large", bytesOf(50_000, 78));
  await vault.store.remove("gone", { recursive: true, purge: true });
  expect(await objectsOf(directory)).toHaveLength(0);
  expect((await vault.store.verify()).problems).toEqual([]);
});

async function objectsOf(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, "objects"), { recursive: true });
  return names.filter((name) => name.endsWith(".cof"));
}

function* pieces(bytes: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

test("nothing of a name or a content is in the vault's files", async () => {
  const { vault, directory } = await storeGround();
  const marks = ["NAME-mark-1", "META-mark-2", "CONTENT-mark-3"] as const;
  await vault.store.write(marks[0], marks[2].repeat(10), { metadata: { [marks[1]]: "x" } });
  await vault.store.write(`${marks[0]}/large`.replace("/", "-"), marks[2].repeat(10_000));
  await vault.close();
  for (const name of await readdir(directory, { recursive: true })) {
    const path = join(directory, name);
    if (!(await stat(path)).isFile()) continue;
    const bytes = await readFile(path, "latin1");
    for (const mark of marks) expect(bytes.includes(mark)).toBe(false);
  }
});

test("any number of files can be open at once without a warning of a leak", async () => {
  const { vault } = await storeGround();
  const warnings: Error[] = [];
  const note = (warning: Error): void => void warnings.push(warning);
  process.on("warning", note);
  try {
    for (const size of [10, INLINE_BYTES + 1]) {
      await vault.store.write(`${size}`, bytesOf(size));
      const files = await Promise.all(Array.from({ length: 20 }, () => vault.store.open(`${size}`)));
      for (const file of files) await file.close();
    }
    await setImmediate();
  } finally {
    process.off("warning", note);
  }
  expect(warnings).toEqual([]);
});
