/**
 * The vault's directory: made beside its place and renamed onto it, so that it is a vault from its first moment or
 * not at all; and swept of what a crash has left.
 * Source: docs/format.md#directory [F-100], [F-101], [F-105], [F-128].
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { hex } from "../bytes.ts";
import { randomId } from "../crypto/random.ts";
import { DamagedError, InvalidArgumentError, VaultExistsError } from "../errors.ts";
import type { ParsedHeader } from "../formats/header.ts";
import { syncFolder } from "./atomic-file.ts";
import { DIRECTORY_MODE, type FileSystem, hasErrno } from "./file-system.ts";
import { discardPreparedHeader, HEADER_COPY_NAMES, isVaultContent } from "./header-copies.ts";
import { ioError } from "./io-error.ts";
import { acquireVaultLock, inspectVaultLock, type VaultLockOptions } from "./vault-lock.ts";

/** Folders of the file store, there from the start. */
const FOLDERS = ["objects", "incoming"] as const;

/** How long a new vault may be without its maker's lock, in milliseconds. */
const ABANDONED_MS = 60_000;

/** Name of the database's folder: `db-N`. */
export function databaseDirectory(directory: string, database: number): string {
  return join(directory, `db-${database}`);
}

/**
 * Makes a vault directory: `build` fills a new sibling, which is then renamed onto `directory`, absent or empty.
 * Durable when it resolves; when it rejects, there is no vault, and the sibling is gone, or, after a crash, removed by
 * the next call.
 * @throws VaultExistsError, InvalidArgumentError reason `not-empty`, DamagedError for what is left of a vault, IoError.
 */
export async function createVaultDirectory(
  fs: FileSystem,
  directory: string,
  build: (sibling: string) => Promise<void>,
  lockOptions: VaultLockOptions = {},
): Promise<void> {
  const target = await canonicalTarget(fs, directory);
  await assertVacant(fs, target);
  await sweepSiblings(fs, target, lockOptions);
  const sibling = `${target}.new-${hex(randomId())}`;
  await makeFolder(fs, sibling);
  try {
    const lock = await acquireVaultLock(fs, sibling, lockOptions);
    try {
      for (const name of FOLDERS) await makeFolder(fs, join(sibling, name));
      await build(sibling);
      await syncFolder(fs, sibling);
    } finally {
      await lock.release();
    }
    await renameOnto(fs, sibling, target);
  } catch (error) {
    await fs.removeTree(sibling).catch(() => undefined);
    throw error;
  }
  try {
    await syncFolder(fs, dirname(target));
  } catch (error) {
    await withdrawVaultDirectory(fs, target, lockOptions);
    throw error;
  }
}

/**
 * Takes back a vault that was just made, unless somebody has opened it meanwhile. Never rejects: where it cannot be
 * taken back, it stays, whole.
 */
export async function withdrawVaultDirectory(
  fs: FileSystem,
  directory: string,
  lockOptions: VaultLockOptions = {},
): Promise<void> {
  try {
    const lock = await acquireVaultLock(fs, directory, lockOptions);
    try {
      const sibling = `${lock.directory}.new-${hex(randomId())}`;
      await fs.rename(lock.directory, sibling);
      await fs.removeTree(sibling);
    } finally {
      await lock.release();
    }
  } catch {
    // The error that led here is what counts.
  }
}

async function makeFolder(fs: FileSystem, path: string): Promise<void> {
  try {
    await fs.mkdir(path, DIRECTORY_MODE);
  } catch (error) {
    throw ioError(error, "make the vault directory", path);
  }
}

/** A symbolic link to an empty directory stands for that directory. */
async function canonicalTarget(fs: FileSystem, directory: string): Promise<string> {
  const absolute = resolve(directory);
  try {
    return await fs.realpath(absolute);
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw ioError(error, "look at the vault directory", directory);
  }
  try {
    return join(await fs.realpath(dirname(absolute)), basename(absolute));
  } catch (error) {
    throw ioError(error, "look at the folder that the vault is to be made in", dirname(directory));
  }
}

async function assertVacant(fs: FileSystem, target: string): Promise<void> {
  let names: string[];
  try {
    names = (await fs.readDirectory(target)).map((entry) => entry.name);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return;
    if (hasErrno(error, "ENOTDIR")) throw notVacant();
    throw ioError(error, "look at the vault directory", target);
  }
  if (names.length === 0) return;
  if (HEADER_COPY_NAMES.some((name) => names.includes(name))) {
    throw new VaultExistsError(
      "There is a vault in this directory already. Open it, or choose another directory.",
    );
  }
  if (names.some(isVaultContent)) {
    throw new DamagedError(
      "This directory holds what is left of a vault without its header. Keep it, restore a backup elsewhere, and choose another directory.",
      { details: { part: "header" } },
    );
  }
  throw notVacant();
}

function notVacant(): InvalidArgumentError {
  return new InvalidArgumentError(
    "The directory is not empty. Choose an absent or empty directory for a new vault.",
    {
      details: { reason: "not-empty" },
    },
  );
}

async function renameOnto(fs: FileSystem, sibling: string, target: string): Promise<void> {
  // On win32 a directory is not renamed onto another one, not even an empty one.
  if (fs.platform === "win32") await fs.rmdir(target).catch(() => undefined);
  try {
    await fs.rename(sibling, target);
  } catch (error) {
    if (hasErrno(error, "ENOTEMPTY", "EEXIST")) {
      throw new VaultExistsError(
        "Somebody else made something in this directory meanwhile. Look before you try again.",
        {
          cause: error,
        },
      );
    }
    throw ioError(error, "put the new vault into its place", target);
  }
}

/**
 * Removes siblings whose maker has died. A living one holds its lock but for a moment at the beginning and one at the
 * end: what nobody has locked for so long was left by a maker that died in one of them.
 */
async function sweepSiblings(fs: FileSystem, target: string, lockOptions: VaultLockOptions): Promise<void> {
  const parent = dirname(target);
  const prefix = `${basename(target)}.new-`;
  const entries = await fs.readDirectory(parent).catch(() => []);
  for (const { name, kind } of entries) {
    if (kind !== "directory" || !name.startsWith(prefix)) continue;
    if (!/^[0-9a-f]{32}$/u.test(name.slice(prefix.length))) continue;
    const sibling = join(parent, name);
    // A sweep that fails is tried again next time.
    if (await isAbandoned(fs, sibling, lockOptions)) await fs.removeTree(sibling).catch(() => undefined);
  }
}

async function isAbandoned(fs: FileSystem, sibling: string, lockOptions: VaultLockOptions): Promise<boolean> {
  try {
    const { state } = await inspectVaultLock(fs, sibling, lockOptions);
    if (state !== "free") return state === "stale";
    const now = (lockOptions.clock ?? Date.now)();
    return now - (await fs.lstat(sibling)).modifiedAtMs > ABANDONED_MS;
  } catch {
    return false;
  }
}

/**
 * Removes what no rule of the format needs: prepared headers and databases of other numbers. Only under the lock,
 * after every check of open has passed.
 */
export async function sweepVaultDirectory(
  fs: FileSystem,
  directory: string,
  header: Pick<ParsedHeader, "database">,
): Promise<void> {
  await discardPreparedHeader(fs, directory);
  for (const { name, kind } of await fs.readDirectory(directory)) {
    const number = /^db-(\d+)(?:\.[a-z-]+)?$/u.exec(name)?.[1];
    if (kind === "directory" && number !== undefined && Number(number) !== header.database) {
      await fs.removeTree(join(directory, name));
    }
  }
}
