import { mkdir, writeFile } from "node:fs/promises";
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
  const kept = new KeptDatabase(fs, directory, database);
  await kept.prepare();
  steps.length = 0;
  failures = 1;
  await expect(kept.beforeCommit()).rejects.toMatchObject({ code: "COFFER_IO" });
  steps.length = 0;
  await kept.beforeCommit();
  expect(steps).toEqual([".keep .keep-old", "sync"]);
  expect((await nodeFileSystem.readDirectory(directory)).map(({ name }) => name)).toEqual(["db-1"]);
});
