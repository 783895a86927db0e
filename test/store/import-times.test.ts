import { mkdir, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import {
  createFileSystem,
  type FileHandleCalls,
  type FileStats,
  type FileSystemCalls,
  nodeCalls,
} from "../../src/storage/file-system.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { createVaultIn } from "../../src/vault.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { all, bytesOf } from "./store-ground.ts";

const scratch = scratchDirectories();

const LAST_MS = 8.64e15;
/** By the names of the files that claim them: what is recorded. */
const TIMES: readonly (readonly [name: string, claimed: number, recorded: number])[] = [
  ["before-1970", -5_000_000.5, 0],
  ["endless", Number.POSITIVE_INFINITY, LAST_MS],
  ["farther-than-a-date", LAST_MS + 2, LAST_MS],
  ["farther-than-a-number", 1e19, LAST_MS],
  ["fraction", 1_500_000_000_000.75, 1_500_000_000_000],
  ["last", LAST_MS, LAST_MS],
  ["minus-endless", Number.NEGATIVE_INFINITY, 0],
  ["no-number", Number.NaN, 0],
];

/** The file system of this computer, on which files have the times that they claim. */
function claiming(): FileSystemCalls {
  const claimed = new Map(TIMES.map(([name, ms]) => [name, ms]));
  const told = async (path: string, stats: Promise<FileStats>): Promise<FileStats> => {
    const found = await stats;
    return { ...found, modifiedAtMs: claimed.get(basename(path)) ?? found.modifiedAtMs };
  };
  return {
    ...nodeCalls,
    async open(path, flags, mode): Promise<FileHandleCalls> {
      const handle = await nodeCalls.open(path, flags, mode);
      return { ...handle, stat: () => told(path, handle.stat()) };
    },
    stat: (path) => told(path, nodeCalls.stat(path)),
    lstat: (path) => told(path, nodeCalls.lstat(path)),
  };
}

test.each([100, 9000])(
  "a file of %i bytes is imported whatever time it claims, and its time is one that a Date holds",
  async (bytes) => {
    const folder = await scratch();
    const source = join(folder, "source");
    await mkdir(source);
    for (const [name] of TIMES) await writeFile(join(source, name), bytesOf(bytes));
    const environment = { fs: createFileSystem(claiming()), openEngine: openLevelStore };
    const { vault } = await createVaultIn(environment, join(folder, "vault"), {
      unlock: cheapPassphrase("a passphrase"),
    });
    const files = TIMES.length;
    expect(await vault.store.importFrom(source, "in")).toMatchObject({ files, skipped: 0 });
    expect(await vault.store.importFrom(source, "in", { resume: true })).toMatchObject({
      files: 0,
      unchanged: files,
    });
    for (const [name] of TIMES) await vault.store.write(name, { path: join(source, name) });
    for (const directory of ["in", ""]) {
      const found = (await all(vault.store.list(directory))).filter(({ kind }) => kind === "file");
      expect(found.map(({ name, modifiedAt }) => [name, modifiedAt.getTime()])).toEqual(
        TIMES.map(([name, , recorded]) => [name, recorded]),
      );
    }
    const exported = await vault.store.exportTo("in", join(folder, "out"));
    expect(exported).toMatchObject({ files, skipped: 0 });
    expect((await stat(join(folder, "out", "last"))).size).toBe(bytes);
    await vault.close();
  },
);
