import { renameSync, symlinkSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { TABLES } from "../../src/formats/records/tables.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { isStorePart } from "../../src/formats/store-path.ts";
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

/** Alters a record of the index, whichever name it has. */
async function damageFirstEntry(directory: string): Promise<void> {
  const store = await openLevelStore(join(directory, "db-1"), { create: false });
  const range = { gte: Uint8Array.of(TABLES.entries), lt: Uint8Array.of(TABLES.entries + 1), limit: 1 };
  for await (const [key, value] of store.entries(range)) {
    value[value.length - 1] = (value.at(-1) as number) ^ 1;
    await store.write([{ type: "put", key, value }]);
  }
  await store.close();
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
    damaged: 0,
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
  // Progress is told every 50 ms.
  const count = 600;
  for (let i = 0; i < count; i++) await writeFile(join(source, `f${i}`), bytesOf(5000, i));
  const ending = new AbortController();
  const ended = vault.store.importFrom(source, "", {
    signal: ending.signal,
    onProgress: ({ bytes }) => bytes > 0 && ending.abort(new Error("enough")),
  });
  await expect(ended).rejects.toThrow("enough");
  const { files } = await vault.store.usage();
  expect(files).toBeLessThan(count);
  const rest = await vault.store.importFrom(source, "", { resume: true });
  expect(rest.files + rest.unchanged).toBe(count);
  for (let i = 0; i < count; i++) expect(await vault.store.read(`f${i}`)).toEqual(bytesOf(5000, i));
});

test("a random tree comes out of the store as it went in, to the millisecond", async () => {
  const { vault, folder } = await storeGround();
  // Letters of one case: the drive may not tell cases apart.
  const part = fc.string({
    unit: fc.constantFrom("a", "b", "ä", "ß", "%", ":", ".", "~", " ", "猫"),
    minLength: 1,
    maxLength: 6,
  });
  const name = part.filter((text) => text !== "." && text !== "..");
  const file = fc.record({
    path: fc.array(name, { minLength: 1, maxLength: 4 }),
    length: fc.oneof(
      fc.nat(20),
      fc.integer({ min: 4000, max: 5000 }),
      fc.integer({ min: 65_000, max: 70_000 }),
    ),
    modified: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  });
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(file, { maxLength: 8 }), async (files) => {
      const [source, out, into] = [join(folder, `s${++runs}`), join(folder, `o${runs}`), `run ${runs}`];
      await mkdir(source);
      const times = new Map<string, number>();
      for (const { path, length, modified } of files) {
        const at = join(source, ...path);
        try {
          await mkdir(join(at, ".."), { recursive: true });
          await writeFile(at, bytesOf(length, modified));
        } catch (error) {
          // A file and a folder want the same name.
          if (!["EEXIST", "ENOTDIR", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
            throw error;
          continue;
        }
        await utimes(at, new Date(), (modified + 0.001) / 1000);
        times.set(join(...path), modified);
      }
      expect(await vault.store.importFrom(source, into)).toMatchObject({ files: times.size, skipped: 0 });
      expect(await vault.store.exportTo(into, out)).toMatchObject({ files: times.size, skipped: 0 });
      expect(await treeAt(out)).toEqual(await treeAt(source));
      for (const [path, modified] of times) {
        expect(Math.trunc((await stat(join(out, path))).mtimeMs), path).toBe(modified);
      }
      const again = { files: 0, unchanged: times.size, skipped: 0 };
      expect(await vault.store.exportTo(into, out, { resume: true })).toMatchObject(again);
      expect(await vault.store.importFrom(out, into, { resume: true })).toMatchObject(again);
    }),
    { numRuns: 12 },
  );
});

test("an empty folder becomes a directory, and nothing is imported into a file", async () => {
  const { vault, folder } = await storeGround();
  await mkdir(join(folder, "source"));
  const nothing = { files: 0, directories: 0, bytes: 0, unchanged: 0, skipped: 0 };
  expect(await vault.store.importFrom(join(folder, "source"), "new/place")).toEqual(nothing);
  expect(await vault.store.stat("new/place")).toMatchObject({ kind: "directory" });
  await vault.store.write("file", "x");
  await expect(vault.store.importFrom(join(folder, "source"), "file/below")).rejects.toMatchObject({
    code: "COFFER_INVALID_ARGUMENT",
    reason: "not-directory",
  });
});

test("names of full length are exported, and one that is too long for the drive is told", async () => {
  const { vault, folder } = await storeGround();
  const long = "ä".repeat(127);
  await vault.store.write(`${long}/${long}`, "x");
  await vault.store.write("b", "b");
  const out = join(folder, "out");
  expect(await vault.store.exportTo("", out)).toMatchObject({ files: 2, skipped: 0 });
  expect(await readFile(join(out, long, long), "utf8")).toBe("x");
  const deep = join(folder, ...Array.from({ length: 15 }, () => "d".repeat(250)));
  await mkdir(deep, { recursive: true });
  const skipped: unknown[] = [];
  const result = await vault.store.exportTo("", deep, { onSkip: (one) => skipped.push(one) });
  expect(result).toMatchObject({ files: 1 });
  expect(skipped).toEqual([{ path: `${long}/${long}`, reason: "name" }]);
});

test("of two names that are one in Unicode's NFC the first is imported, the other told", async () => {
  const { vault, folder } = await storeGround();
  const source = join(folder, "source");
  await mkdir(join(source, "o\u0308"), { recursive: true });
  await writeFile(join(source, "u\u0308"), "decomposed");
  await writeFile(join(source, "\u00fc"), "composed");
  const skipped: unknown[] = [];
  const options = { overwrite: true, onSkip: (one: unknown) => skipped.push(one) };
  expect(await vault.store.importFrom(source, "", options)).toMatchObject({ files: 1, directories: 1 });
  expect(skipped).toEqual([{ path: join(source, "u\u0308"), reason: "collision" }]);
  expect(Buffer.from(await vault.store.read("\u00fc")).toString()).toBe("composed");
});

test("a vault is neither imported nor exported into itself", async () => {
  const { vault, folder, directory } = await storeGround();
  await vault.store.write("vault/header.0", "planted");
  for (const source of [directory, join(directory, "objects")]) {
    const skipped: unknown[] = [];
    await vault.store.importFrom(source, "", { onSkip: (one) => skipped.push(one) });
    expect(skipped).toEqual([{ path: source, reason: "vault" }]);
  }
  for (const inside of [directory, join(directory, "objects")]) {
    await expect(vault.store.exportTo("", inside)).rejects.toMatchObject({ reason: "inside-vault" });
  }
  expect(await vault.store.exportTo("", folder, { overwrite: true })).toMatchObject({ files: 0, skipped: 2 });
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("a folder of the export that becomes a link gets nothing more, and nothing is written where it leads", async () => {
  const { vault, folder } = await storeGround();
  const [out, elsewhere] = [join(folder, "out"), join(folder, "elsewhere")];
  await mkdir(elsewhere);
  for (let i = 0; i < 40; i++) await vault.store.write(`d/f${i}`, bytesOf(9000, i));
  let isSwapped = false;
  const onProgress = (): void => {
    if (isSwapped) return;
    isSwapped = true;
    renameSync(join(out, "d"), join(out, "moved"));
    symlinkSync(elsewhere, join(out, "d"));
  };
  await expect(vault.store.exportTo("", out, { onProgress })).rejects.toMatchObject({
    code: "COFFER_IO",
    reason: "swapped",
  });
  expect(await readdir(elsewhere)).toEqual([]);
});

test("a folder of the source that becomes a link is not read", async () => {
  const { vault, folder } = await storeGround();
  const [source, elsewhere] = [join(folder, "source"), join(folder, "elsewhere")];
  await mkdir(join(source, "d"), { recursive: true });
  await mkdir(elsewhere);
  for (let i = 0; i < 40; i++) {
    await writeFile(join(source, "d", `f${i}`), bytesOf(9000, i));
    await writeFile(join(elsewhere, `f${i}`), "another's secret");
  }
  let isSwapped = false;
  const onProgress = (): void => {
    if (isSwapped) return;
    isSwapped = true;
    renameSync(join(source, "d"), join(source, "moved"));
    symlinkSync(elsewhere, join(source, "d"));
  };
  const reasons: string[] = [];
  await vault.store.importFrom(source, "", { onProgress, onSkip: ({ reason }) => reasons.push(reason) });
  expect(reasons.length).toBeGreaterThan(0);
  expect(new Set(reasons)).toEqual(new Set(["changed"]));
  for await (const { path, kind } of vault.store.walk()) {
    if (kind === "file") expect((await vault.store.read(path)).length).toBe(9000);
  }
});

test("what a listener throws ends an export as it is, and leaves no part of a file", async () => {
  const { vault, folder } = await storeGround();
  await vault.store.write("f", bytesOf(200_000));
  await vault.store.write("g", bytesOf(200_000));
  const enough = new TypeError("enough");
  const onProgress = (): never => {
    throw enough;
  };
  await expect(vault.store.exportTo("", join(folder, "out"), { onProgress })).rejects.toBe(enough);
  expect((await readdir(join(folder, "out"))).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("files under a key that does not serve are told, and all others are exported", async () => {
  const { vault, folder } = await storeGround();
  const { keyMetadata } = await vault.kms.createKey({ alias: "alias/other" });
  await vault.store.write("small", "x", { keyId: "alias/other" });
  await vault.store.write("large", bytesOf(9000), { keyId: "alias/other" });
  await vault.store.write("usual", "y");
  await vault.kms.disableKey({ keyId: keyMetadata.keyId });
  const skipped: { path: string; reason: string }[] = [];
  const result = await vault.store.exportTo("", join(folder, "out"), { onSkip: (one) => skipped.push(one) });
  expect(result).toMatchObject({ files: 1, skipped: 2, damaged: 0 });
  expect(skipped.map(({ path, reason }) => `${path} ${reason}`).sort()).toEqual(["large key", "small key"]);
});

test("where names were damaged all others are exported, and the damage is told", async () => {
  const ground = await storeGround();
  for (const name of ["a", "b", "c"]) await ground.vault.store.write(name, name);
  await ground.vault.close();
  await damageFirstEntry(ground.directory);
  await ground.reopen();
  const skipped: unknown[] = [];
  const out = join(ground.folder, "out");
  const result = await ground.vault.store.exportTo("", out, { onSkip: (one) => skipped.push(one) });
  expect(result).toMatchObject({ files: 2, skipped: 1, damaged: 1 });
  expect(skipped).toEqual([{ path: "", reason: "damaged" }]);
  expect(await readdir(out)).toHaveLength(2);
});

test.runIf(process.platform === "linux")(
  "what the drive cannot read is told, and all else goes on",
  async () => {
    const { vault, folder, directory } = await storeGround();
    const skipped: unknown[] = [];
    const onSkip = (one: { readonly reason: string }): void => void skipped.push(one.reason);
    // A file that answers every read with EIO.
    await vault.store.importFrom(`/proc/${process.pid}/mem`, "", { onSkip });
    expect(skipped.splice(0)).toEqual(["unreadable"]);
    await vault.store.write("large", bytesOf(9000));
    await vault.store.write("small", "x");
    const [object] = (await readdir(join(directory, "objects"), { recursive: true })).filter((name) =>
      name.endsWith(".cof"),
    );
    const path = join(directory, "objects", object as string);
    await rm(path);
    await mkdir(path);
    expect(await vault.store.exportTo("", join(folder, "out"), { onSkip })).toMatchObject({ files: 1 });
    expect(skipped).toEqual(["unreadable"]);
  },
);

test("names are written as Windows takes them where it is asked for", async () => {
  const { vault, folder } = await storeGround();
  for (const name of ["CON/a:b", "x.", "ok"]) await vault.store.write(name, name);
  const out = join(folder, "out");
  const { renamed } = await vault.store.exportTo("", out, { portableNames: true });
  expect(renamed).toEqual([
    { path: "CON", name: "%43ON" },
    { path: "CON/a:b", name: "a%3Ab" },
    { path: "x.", name: "x%2E" },
  ]);
  expect(Object.keys(await treeAt(out))).toEqual(["%43ON", "%43ON/a%3Ab", "ok", "x%2E"]);
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
      fc.property(part.filter(isStorePart), part.filter(isStorePart), (a, b) => {
        const [x, y] = [exportName(a, "win32") as string, exportName(b, "win32") as string];
        expect(x === y).toBe(a === b);
        // oxlint-disable-next-line no-control-regex -- they are what is refused
        expect(x).toMatch(/^[^\u0000-\u001f"*/:<>?\\|]*[^\u0000-\u001f"*/:<>?\\|. ]$/u);
        expect(x).not.toMatch(/^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/iu);
      }),
    );
  });

  test.each(["", ".", "..", "a/b", "/", "a\0"])(
    "%j leads out of the folder and is no name anywhere",
    (name) => {
      expect(exportName(name, "win32")).toBeUndefined();
      expect(exportName(name, "linux")).toBeUndefined();
    },
  );
});
