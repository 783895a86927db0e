import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import {
  createFileSystem,
  type FileStats,
  type FileSystem,
  nodeCalls,
  nodeFileSystem as fs,
} from "../../src/storage/file-system.ts";
import { inspectAccess } from "../../src/storage/access.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

async function newVault(): Promise<string> {
  const directory = join(await scratch(), "vault");
  await mkdir(directory, { mode: 0o700 });
  await writeFile(join(directory, "header.0"), "", { mode: 0o600 });
  await mkdir(join(directory, "db-1"), { mode: 0o700 });
  return directory;
}

/** The file system with other owners, which only root could set. */
function owned(owner: (path: string) => number): FileSystem {
  const change = async (path: string, stats: Promise<FileStats>): Promise<FileStats> => ({
    ...(await stats),
    owner: owner(path),
  });
  return createFileSystem({
    ...nodeCalls,
    lstat: (path) => change(path, nodeCalls.lstat(path)),
    stat: (path) => change(path, nodeCalls.stat(path)),
  });
}

test("a vault that only its owner can reach has no findings", async () => {
  expect(await inspectAccess(fs, await newVault())).toEqual([]);
});

test.each([0o701, 0o710, 0o755, 0o777])("a vault with mode %o is open to others", async (mode) => {
  const directory = await newVault();
  await fs.chmod(directory, mode);
  expect(await inspectAccess(fs, directory)).toEqual([{ name: ".", problem: "open-to-others" }]);
});

test("files and folders in it that others can read are named", async () => {
  const directory = await newVault();
  await fs.chmod(join(directory, "header.0"), 0o640);
  await fs.chmod(join(directory, "db-1"), 0o755);
  expect(await inspectAccess(fs, directory)).toEqual([
    { name: "db-1", problem: "open-to-others" },
    { name: "header.0", problem: "open-to-others" },
  ]);
});

test("what is neither file nor folder is named", async () => {
  const directory = await newVault();
  await symlink("header.0", join(directory, "header.1"));
  await promisify(execFile)("mkfifo", [join(directory, "vault.lock")]);
  expect(await inspectAccess(fs, directory)).toEqual([
    { name: "header.1", problem: "not-regular" },
    { name: "vault.lock", problem: "not-regular" },
  ]);
});

test("a folder around it that others can write to makes it exchangeable, unless only owners rename there", async () => {
  const directory = await newVault();
  const parent = join(directory, "..");
  for (const mode of [0o720, 0o702, 0o777]) {
    await fs.chmod(parent, mode);
    expect(await inspectAccess(fs, directory)).toEqual([{ name: "..", problem: "exchangeable" }]);
  }
  await fs.chmod(parent, 0o1777);
  expect(await inspectAccess(fs, directory)).toEqual([]);
});

test("other owners are named; root may own the folder around it", async () => {
  const directory = await newVault();
  const mine = (path: string): boolean => path.startsWith(directory);
  expect(
    await inspectAccess(
      owned((path) => (mine(path) ? 1000 : 0)),
      directory,
      1000,
    ),
  ).toEqual([]);
  expect(
    await inspectAccess(
      owned((path) => (mine(path) ? 1000 : 1001)),
      directory,
      1000,
    ),
  ).toEqual([{ name: "..", problem: "foreign-owner" }]);
  const header = join(directory, "header.0");
  expect(
    await inspectAccess(
      owned((path) => (path === header ? 0 : 1000)),
      directory,
      1000,
    ),
  ).toEqual([{ name: "header.0", problem: "foreign-owner" }]);
  expect(
    (
      await inspectAccess(
        owned(() => 1001),
        directory,
        1000,
      )
    ).map(({ name }) => name),
  ).toEqual(["..", ".", "db-1", "header.0"]);
});

test("win32 has no modes to look at, and a vault that is not there is an error", async () => {
  const directory = await newVault();
  await fs.chmod(directory, 0o777);
  expect(await inspectAccess(createFileSystem(nodeCalls, { platform: "win32" }), directory)).toEqual([]);
  await expect(inspectAccess(fs, join(directory, "absent"))).rejects.toMatchObject({
    details: { errno: "ENOENT" },
  });
});
