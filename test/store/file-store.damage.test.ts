import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

import type { StoreEntry } from "../../src/storage/store.ts";
import { all, bytesOf, storeGround, withRecords } from "./store-ground.ts";

async function objectPaths(directory: string): Promise<string[]> {
  const names = await readdir(join(directory, "objects"), { recursive: true });
  return names.filter((name) => name.endsWith(".cof")).map((name) => join(directory, "objects", name));
}

test("two objects exchanged, one removed and one altered are each found at use, with the range [F-235] [F-242]", async () => {
  const { vault, directory } = await storeGround();
  const content = bytesOf(300_000);
  const [before, paths]: [Set<string>, Record<string, string>] = [new Set(), {}];
  for (const name of ["a", "b", "c", "d"]) {
    await vault.store.write(name, bytesOf(300_000, name.charCodeAt(0)));
    const path = (await objectPaths(directory)).find((found) => !before.has(found)) as string;
    before.add(path);
    paths[name] = path;
  }
  await rename(paths["a"] as string, `${paths["a"]}.x`);
  await rename(paths["b"] as string, paths["a"] as string);
  await rename(`${paths["a"]}.x`, paths["b"] as string);
  await rm(paths["c"] as string);
  const bytes = await readFile(paths["d"] as string);
  bytes[bytes.length - 100_000] = (bytes[bytes.length - 100_000] as number) ^ 1;
  await writeFile(paths["d"] as string, bytes);
  for (const name of ["a", "b", "c", "d"]) {
    await expect(vault.store.read(name)).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
  }
  const { problems } = await vault.store.verify();
  expect(problems).toContainEqual({
    problem: "damaged",
    path: "a",
    ranges: [{ start: 0, end: content.length }],
  });
  expect(problems).toContainEqual({ problem: "missing", path: "c" });
  expect(problems).toContainEqual({
    problem: "damaged",
    path: "d",
    ranges: [{ start: 196_608, end: 262_144 }],
  });
  expect(problems).toHaveLength(4);

  const ranges: unknown[] = [];
  const around = await vault.store.readStream("d", { onDamage: (range) => ranges.push(range) });
  const salvaged = Buffer.concat(await all(around));
  const expected = Buffer.from(bytesOf(300_000, "d".charCodeAt(0))).fill(0, 196_608, 262_144);
  expect(salvaged.equals(expected)).toBe(true);
  expect(ranges).toEqual([{ start: 196_608, end: 262_144 }]);
});

function flipped(bytes: Buffer, fromEnd: number): Buffer {
  bytes.writeUInt8(bytes.readUInt8(bytes.length - fromEnd) ^ 1, bytes.length - fromEnd);
  return bytes;
}

const LAST_SEGMENT_BYTES = (300_000 % 65_536) + 32;

test.each([
  ["its last segment altered", (bytes: Buffer) => flipped(bytes, 1), 262_144],
  ["its length field altered", (bytes: Buffer) => flipped(bytes, LAST_SEGMENT_BYTES), 262_144],
  ["the last segment cut off", (bytes: Buffer) => bytes.subarray(0, -LAST_SEGMENT_BYTES), 262_144],
  ["half of it cut off", (bytes: Buffer) => bytes.subarray(0, 150_000), 131_072],
  ["something behind it", (bytes: Buffer) => Buffer.concat([bytes, Buffer.from("x")]), 300_000],
] as const)(
  "an object with %s is refused whole, and read around on request [F-242]",
  async (_, alter, start) => {
    const { vault, directory } = await storeGround();
    await vault.store.write("a/x", bytesOf(300_000));
    const [path] = (await objectPaths(directory)) as [string];
    const bytes = await readFile(path);
    await writeFile(path, alter(bytes));
    const lost = start === 300_000 ? [] : [{ start, end: 300_000 }];
    await expect(vault.store.read("a/x")).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
    await expect(vault.store.open("a/x")).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
    const { problems } = await vault.store.verify();
    expect(problems).toEqual([{ problem: "damaged", path: "a/x", ranges: lost }]);
    const expected = Buffer.from(bytesOf(300_000)).fill(0, start);
    const told: { start: number; end: number }[] = [];
    const onDamage = (range: { start: number; end: number }): void => {
      const last = told.at(-1);
      if (last?.end === range.start) last.end = range.end;
      else told.push({ start: range.start, end: range.end });
    };
    const around = Buffer.concat(await all(await vault.store.readStream("a/x", { onDamage })));
    expect(around.equals(expected)).toBe(true);
    expect(told).toEqual(lost);
    told.length = 0;
    const given = join(directory, "..", "given");
    await expect(vault.store.exportTo("a", given)).resolves.toMatchObject({
      files: 0,
      damaged: 1,
      skipped: 1,
    });
    await expect(vault.store.exportTo("a", given, { onDamage })).resolves.toMatchObject({ files: 1 });
    expect((await readFile(join(given, "x"))).equals(expected)).toBe(true);
    expect(told).toEqual(lost);
  },
);

test("a damaged segment of 256 KiB is told once, by whatever pieces it is read [F-242]", async () => {
  const { vault, directory, folder } = await storeGround();
  const content = bytesOf(1_300_000);
  await vault.store.write("a/long", content);
  const [path] = (await objectPaths(directory)) as [string];
  await writeFile(path, flipped(await readFile(path), 700_000));
  const range = { start: 524_288, end: 786_432 };
  const expected = Buffer.from(content).fill(0, range.start, range.end);
  expect((await vault.store.verify()).problems).toEqual([
    { problem: "damaged", path: "a/long", ranges: [range] },
  ]);
  const told: unknown[] = [];
  const onDamage = (one: unknown): void => void told.push(one);
  const around = Buffer.concat(await all(await vault.store.readStream("a/long", { onDamage })));
  expect(around.equals(expected)).toBe(true);
  expect(told.splice(0)).toEqual([range]);
  const part = await all(await vault.store.readStream("a/long", { start: 600_001, end: 800_000, onDamage }));
  expect(Buffer.concat(part).equals(expected.subarray(600_001, 800_000))).toBe(true);
  expect(told.splice(0)).toEqual([range]);
  await vault.store.exportTo("a", join(folder, "out"), { onDamage });
  expect((await readFile(join(folder, "out", "long"))).equals(expected)).toBe(true);
  expect(told).toEqual([{ ...range, path: "a/long" }]);
});

test("a key area that is damaged is told by name, and written anew (A-12)", async () => {
  const { vault, directory } = await storeGround();
  await vault.store.write("a", bytesOf(9000));
  await vault.store.write("b", bytesOf(9000, 2));
  for (const path of await objectPaths(directory)) {
    const bytes = await readFile(path);
    if (bytes.subarray(600, 700).every((byte) => byte === 0)) throw new Error("no key area there");
    await writeFile(path, bytes.fill(0, 512, 2560));
  }
  const { problems } = await vault.store.verify();
  expect(problems.toSorted((x, y) => JSON.stringify(x).localeCompare(JSON.stringify(y)))).toEqual([
    { problem: "key-area", path: "a" },
    { problem: "key-area", path: "b" },
  ]);
  expect(await vault.store.read("a")).toEqual(bytesOf(9000));
  await vault.store.reencrypt("");
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("an object that no record names is reported, and never removed [F-239]", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("x", bytesOf(50_000));
  const [path] = await objectPaths(ground.directory);
  const kept = await readFile(path as string);
  await ground.vault.store.remove("x", { purge: true });
  await writeFile(path as string, kept, { mode: 0o600 });
  await writeFile(join(ground.directory, "objects", "stray"), "", { mode: 0o600 });
  const vault = await ground.reopen();
  expect((await vault.store.verify()).problems).toEqual([
    { problem: "foreign", name: join("objects", "stray") },
    { problem: "orphan", content: (path as string).slice(-36, -4) },
  ]);
  expect(await objectPaths(ground.directory)).toEqual([path]);
});

test("what a crash has left in incoming is removed, or moved where a record names it [F-237] [F-238]", async () => {
  const ground = await storeGround();
  const content = bytesOf(50_000);
  await ground.vault.store.write("x", content);
  const [path] = await objectPaths(ground.directory);
  await ground.vault.close();
  const incoming = join(ground.directory, "incoming");
  await rename(path as string, join(incoming, (path as string).slice(-36)));
  await writeFile(join(incoming, `${"ab".repeat(16)}.cof`), "never finished", { mode: 0o600 });
  const vault = await ground.reopen();
  expect(await vault.store.read("x")).toEqual(content);
  await expect.poll(() => readdir(incoming)).toEqual([]);
  expect(await objectPaths(ground.directory)).toEqual([path]);
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("a sound store is sound in salvage mode too, where no sums are known, and a record that does not open is told [F-242]", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("d/large", bytesOf(50_000));
  await ground.vault.store.write("d/small", bytesOf(10));
  const salvaged = await ground.reopen({ salvage: true });
  expect((await salvaged.store.verify()).problems).toEqual([]);
  await withRecords(ground, async (store, ofTable) => {
    const [key, value] = ofTable(0x20)[0] as StoreEntry;
    value[value.length - 1] = (value.at(-1) as number) ^ 1;
    await store.write([{ type: "put", key, value }]);
    // Else salvage finds it as it was before.
    await store.compact(Uint8Array.of(0x20), Uint8Array.of(0x21));
  });
  const damaged = await ground.reopen({ salvage: true });
  const { problems } = await damaged.store.verify();
  expect(problems).toContainEqual({ problem: "index", found: 3, expected: 3, unreadable: 1 });
});
