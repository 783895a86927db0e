import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { exportName } from "../../src/store/export-names.ts";
import { all, bytesOf, storeGround } from "./store-ground.ts";

const TREE: Readonly<Record<string, Uint8Array>> = {
  "a.txt": bytesOf(10, 1),
  "d/b.bin": bytesOf(70_000, 2),
  "d/e/ü.bin": bytesOf(5000, 3),
  "d/e/empty": new Uint8Array(),
};

async function makeTree(root: string): Promise<void> {
  await mkdir(join(root, "hollow"), { recursive: true });
  for (const [name, content] of Object.entries(TREE)) {
    await mkdir(join(root, name, ".."), { recursive: true });
    await writeFile(join(root, name), content);
    await utimes(join(root, name), new Date(), new Date(1_500_000_000_000));
  }
}

async function treeAt(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(root, { recursive: true })).sort()) {
    const stats = await stat(join(root, name));
    found[name] = stats.isDirectory() ? "directory" : (await readFile(join(root, name))).toString("base64");
  }
  return found;
}

test("a folder that was imported and exported is the same, times and empty folders too", async () => {
  const { vault, folder } = await storeGround();
  const [source, destination] = [join(folder, "source"), join(folder, "out")];
  await makeTree(source);
  const told: number[] = [];
  const imported = await vault.store.importFrom(source, "in/here", {
    onProgress: ({ bytes }) => told.push(bytes),
  });
  expect(imported).toEqual({ files: 4, directories: 3, bytes: 75_010, unchanged: 0, skipped: 0 });
  expect(told.at(-1)).toBe(75_010);
  expect(await vault.store.importFrom(source, "in/here", { resume: true })).toMatchObject({
    files: 0,
    unchanged: 4,
  });
  const exported = await vault.store.exportTo("in/here", destination);
  expect(exported).toEqual({
    files: 4,
    directories: 3,
    bytes: 75_010,
    unchanged: 0,
    skipped: 0,
    renamed: [],
  });
  expect(await treeAt(destination)).toEqual(await treeAt(source));
  const stats = await stat(join(destination, "d", "b.bin"));
  expect([stats.mode & 0o777, stats.mtimeMs]).toEqual([0o600, 1_500_000_000_000]);
  await rm(join(destination, "a.txt"));
  expect(await vault.store.exportTo("in/here", destination, { resume: true })).toMatchObject({
    files: 1,
    unchanged: 3,
  });
  expect(await treeAt(destination)).toEqual(await treeAt(source));
  const skipped: unknown[] = [];
  await vault.store.exportTo("in/here", destination, { onSkip: (one) => skipped.push(one) });
  expect(skipped).toHaveLength(4);
});

test("links and special names are passed over, and told; nothing outside the folder is read", async () => {
  const ground = await storeGround();
  const source = join(ground.folder, "source");
  await makeTree(source);
  await writeFile(join(ground.folder, "secret"), "outside");
  await symlink(join(ground.folder, "secret"), join(source, "link"));
  await symlink("/", join(source, "d", "root"));
  await writeFile(Buffer.concat([Buffer.from(join(source, "bad-")), Buffer.of(0xff)]), "x");
  const skipped: { path: string; reason: string }[] = [];
  const { store } = ground.vault;
  expect(await store.importFrom(source, "", { onSkip: (one) => skipped.push(one) })).toMatchObject({
    files: 4,
    skipped: 3,
  });
  expect(skipped.map(({ reason }) => reason).sort()).toEqual(["link", "link", "name"]);
  // The vault's own folder is no source.
  const { vault } = ground;
  expect(await vault.store.importFrom(ground.folder, "all", {})).toMatchObject({ skipped: 4 });
  expect((await all(vault.store.walk("all"))).some(({ path }) => path.includes("header.0"))).toBe(false);
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("an export writes through no link, over no folder, and a damaged file not at all or with zeros", async () => {
  const { vault, folder, directory } = await storeGround();
  const destination = join(folder, "out");
  await vault.store.write("d/x", "x");
  await vault.store.write("f", "f");
  await vault.store.write("g", "g");
  await vault.store.write("broken", bytesOf(200_000));
  await mkdir(join(folder, "elsewhere"));
  await mkdir(join(destination, "g"), { recursive: true });
  await symlink(join(folder, "elsewhere"), join(destination, "d"));
  await symlink(join(folder, "elsewhere", "f"), join(destination, "f"));
  const [object] = (await readdir(join(directory, "objects"), { recursive: true })).filter((name) =>
    name.endsWith(".cof"),
  );
  const path = join(directory, "objects", object as string);
  const bytes = await readFile(path);
  bytes[bytes.length - 150_000] = (bytes[bytes.length - 150_000] as number) ^ 1;
  await writeFile(path, bytes);
  const skipped: unknown[] = [];
  const result = await vault.store.exportTo("", destination, {
    overwrite: true,
    onSkip: (one) => skipped.push(one),
  });
  expect(result).toMatchObject({ files: 0, directories: 0 });
  expect(skipped).toEqual(
    expect.arrayContaining([
      { path: "d", reason: "in-the-way" },
      { path: "f", reason: "in-the-way" },
      { path: "g", reason: "in-the-way" },
      { path: "broken", reason: "damaged" },
    ]),
  );
  expect(await readdir(join(folder, "elsewhere"))).toEqual([]);
  expect((await readdir(destination)).sort()).toEqual(["d", "f", "g"]);
  const damage: unknown[] = [];
  await vault.store.exportTo("broken", destination, { onDamage: (range) => damage.push(range) });
  expect(damage).toEqual([{ path: "broken", start: 0, end: 65_536 }]);
  const expected = Buffer.from(bytesOf(200_000)).fill(0, 0, 65_536);
  expect((await readFile(join(destination, "broken"))).equals(expected)).toBe(true);
});

test("names that differ in case alone are not written over each other", async () => {
  const { vault, folder } = await storeGround();
  await vault.store.write("Name", "1");
  await vault.store.write("name", "2");
  const [skipped, out]: [unknown[], string] = [[], join(folder, "out")];
  await vault.store.exportTo("", out, { overwrite: true, onSkip: (one) => skipped.push(one) });
  // On a drive that tells them apart both are there, else the second is told.
  expect((await readdir(out)).length + skipped.length).toBe(2);
  expect(["1", "2"]).toContain(await readFile(join(out, "Name"), "utf8"));
});

test("an import that is ended leaves whole files, and is made to the end by another call", async () => {
  const { vault, folder } = await storeGround();
  const source = join(folder, "source");
  await mkdir(source);
  for (let i = 0; i < 60; i++) await writeFile(join(source, `f${i}`), bytesOf(20_000, i));
  const ending = new AbortController();
  const ended = vault.store.importFrom(source, "", {
    signal: ending.signal,
    onProgress: ({ bytes }) => bytes > 300_000 && ending.abort(new Error("enough")),
  });
  await expect(ended).rejects.toThrow("enough");
  const { files } = await vault.store.usage();
  expect(files).toBeLessThan(60);
  const rest = await vault.store.importFrom(source, "", { resume: true });
  expect(rest.files + rest.unchanged).toBe(60);
  for (let i = 0; i < 60; i++) expect(await vault.store.read(`f${i}`)).toEqual(bytesOf(20_000, i));
});

describe("names on Windows", () => {
  test.each([
    ["CON", "%43ON"],
    ["con.txt", "%63on.txt"],
    ["COM1", "%43OM1"],
    ["console", "console"],
    ["a:b", "a%3Ab"],
    ["x.", "x%2E"],
    ["x ", "x%20"],
    ["100%", "100%25"],
    ["..\\up", "..%5Cup"],
    ["\u0001", "%01"],
  ])("%j is written as %j", (name, expected) => {
    expect(exportName(name, "win32")).toBe(expected);
    expect(exportName(name, "linux")).toBe(name);
  });

  test("no two names become one, and none is refused by the system", () => {
    const part = fc.string({
      unit: fc.constantFrom(
        "a",
        "C",
        "O",
        "N",
        "n",
        "u",
        "l",
        ".",
        ":",
        " ",
        "%",
        "\\",
        "2",
        "E",
        "5",
        "c",
        "?",
        "*",
        "\u0002",
      ),
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(part, part, (a, b) => {
        const [x, y] = [exportName(a, "win32") as string, exportName(b, "win32") as string];
        expect(x === y).toBe(a === b);
        // oxlint-disable-next-line no-control-regex -- they are what is refused
        expect(x).toMatch(/^[^\u0000-\u001f"*/:<>?\\|]*[^\u0000-\u001f"*/:<>?\\|. ]$/u);
        expect(x).not.toMatch(/^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/iu);
      }),
    );
  });
});
