import { mkdir, readdir, readFile, rename, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type FileSystem, nodeFileSystem } from "../../src/storage/file-system.ts";
import { KeptDatabase } from "../../src/storage/kept-database.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

test("after a failed flush the kept files are renamed anew, as the next flush would not flush the first rename", async () => {
  const directory = await scratch();
  const database = join(directory, "db-1");
  await mkdir(database);
  await writeFile(join(database, "CURRENT"), "x");
  let failures = 0;
  const steps: string[] = [];
  const fs: FileSystem = {
    ...nodeFileSystem,
    rename: async (from, to) => {
      await nodeFileSystem.rename(from, to);
      steps.push(`${from.slice(database.length)} ${to.slice(database.length)}`);
    },
    syncDirectory: async (path) => {
      if (failures-- > 0) throw Object.assign(new Error("EIO"), { code: "EIO" });
      await nodeFileSystem.syncDirectory(path);
      steps.push("sync");
    },
  };
  const kept = new KeptDatabase(fs, directory, database, new Uint8Array(8));
  await kept.prepare();
  steps.length = 0;
  failures = 1;
  await expect(kept.beforeCommit()).rejects.toMatchObject({ code: "COFFER_IO" });
  steps.length = 0;
  await kept.beforeCommit();
  expect(steps).toEqual([".keep .keep-old", "sync"]);
  expect((await nodeFileSystem.readDirectory(directory)).map(({ name }) => name)).toEqual(["db-1"]);
});

const tree = async (directory: string): Promise<Record<string, string>> => {
  const found: Record<string, string> = {};
  for (const name of await readdir(directory, { recursive: true })) {
    if ((await stat(join(directory, name))).isFile())
      found[name] = await readFile(join(directory, name), "utf8");
  }
  return found;
};

test("files that were kept under another header are not put back, and an open that fails leaves them", async () => {
  const directory = await scratch();
  const database = join(directory, "db-1");
  await mkdir(database);
  await writeFile(join(database, "CURRENT"), "older");
  const of = (byte: number): KeptDatabase =>
    new KeptDatabase(nodeFileSystem, directory, database, new Uint8Array(8).fill(byte));
  await of(1).prepare();
  // A copy of the folder from this moment comes back after a commit, which has renewed the header.
  await writeFile(join(database, "CURRENT.new"), "newer");
  await rename(join(database, "CURRENT.new"), join(database, "CURRENT"));
  const before = await tree(directory);
  const failed = of(2);
  expect(await failed.prepare()).toBe(database);
  expect(await readFile(join(database, "CURRENT"), "utf8")).toBe("newer");
  await failed.abandon();
  expect(await tree(directory)).toEqual(before);
  // Also where it fails before anything is kept: a folder in the database is refused.
  await mkdir(join(database, "planted"));
  const refused = of(2);
  await refused.prepare();
  await refused.abandon();
  expect(await tree(directory)).toEqual(before);
  await rmdir(join(database, "planted"));
  const opened = of(2);
  await opened.prepare();
  await opened.beforeCommit();
  expect(await tree(directory)).toEqual({ "db-1/CURRENT": "newer" });
});

test("files that were kept under this header are put back after a kill, and their mark is not in the database", async () => {
  const directory = await scratch();
  const database = join(directory, "db-1");
  await mkdir(database);
  await writeFile(join(database, "CURRENT"), "kept");
  const of = (): KeptDatabase => new KeptDatabase(nodeFileSystem, directory, database, new Uint8Array(8));
  await of().prepare();
  await writeFile(join(database, "CURRENT.new"), "rewritten by an open");
  await rename(join(database, "CURRENT.new"), join(database, "CURRENT"));
  const next = of();
  await next.prepare();
  expect(await readFile(join(database, "CURRENT"), "utf8")).toBe("kept");
  await next.beforeCommit();
  expect(await tree(directory)).toEqual({ "db-1/CURRENT": "kept" });
});
