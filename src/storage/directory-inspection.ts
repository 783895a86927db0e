/**
 * What lies in a vault's directory and beside it, by its name: ours, left by a crash, or foreign. Reads only.
 * @module
 */
import { basename, dirname, join } from "node:path";
import { type FileSystem, hasErrno } from "./file-system.ts";
import { HEADER_COPY_NAMES } from "./header-copies.ts";
import { ioError } from "./io-error.ts";
import { isKeptName } from "./kept-database.ts";
import { inspectVaultLock, VAULT_LOCK_NAME, type VaultLockOptions } from "./vault-lock.ts";

/** Names by what they are, each list sorted. */
export interface DirectoryContents {
  /** Prepared headers and takers' lock files. The next open removes them. */
  readonly temporary: readonly string[];
  /** Folders that an open made of the present database and did not remove. The next open sorts them out. */
  readonly kept: readonly string[];
  /** Databases of other numbers. The next open removes them. */
  readonly otherDatabases: readonly string[];
  /** Files that were on their way into the file store. */
  readonly incoming: readonly string[];
  /** Unfinished vaults beside this one, whose maker has died. */
  readonly deadSiblings: readonly string[];
  /** What no version of Coffer puts here. */
  readonly foreign: readonly string[];
  /** In the database's folder: what is no regular file. LevelDB would follow links. */
  readonly irregularInDatabase: readonly string[];
}

const FOLDERS = ["objects", "incoming"];
const LOCK_LEFTOVER = /^vault\.lock\.(?:next-)?[0-9a-f]{32}$/u;
const INCOMING = /^[0-9a-f]{32}\.cof$/u;

/**
 * @param directory canonical. @param database the N of `db-N`; undefined where no header says it.
 * @throws CofferError `COFFER_IO`.
 */
export async function inspectDirectory(
  fs: FileSystem,
  directory: string,
  database: number | undefined,
  lockOptions: Pick<VaultLockOptions, "probe"> = {},
): Promise<DirectoryContents> {
  try {
    const names = await namesIn(fs, directory);
    const present = database === undefined ? undefined : `db-${database}`;
    const folders = names.filter((name) => /^db-\d+$/u.test(name));
    const kept = names.filter((name) => isKeptName(name));
    const isPresent = (name: string): boolean =>
      present === undefined || name === present || name.startsWith(`${present}.`);
    const isTemporary = (name: string): boolean =>
      LOCK_LEFTOVER.test(name) || HEADER_COPY_NAMES.some((copy) => name === `${copy}.tmp`);
    const known = new Set<string>([...HEADER_COPY_NAMES, VAULT_LOCK_NAME, ...FOLDERS, ...folders, ...kept]);
    return {
      temporary: names.filter(isTemporary),
      kept: kept.filter(isPresent),
      otherDatabases: [...folders, ...kept].filter((name) => !isPresent(name)).toSorted(),
      incoming: (await namesIn(fs, join(directory, "incoming"))).filter((name) => INCOMING.test(name)),
      deadSiblings: await deadSiblings(fs, directory, lockOptions),
      foreign: names.filter((name) => !known.has(name) && !isTemporary(name)),
      irregularInDatabase: present === undefined ? [] : await irregularIn(fs, join(directory, present)),
    };
  } catch (error) {
    throw ioError(error, "look at the vault's directory", directory);
  }
}

/** Removes dead siblings. Failures are passed over: they are found again. */
export async function removeDeadSiblings(
  fs: FileSystem,
  directory: string,
  lockOptions: Pick<VaultLockOptions, "probe"> = {},
): Promise<void> {
  for (const name of await deadSiblings(fs, directory, lockOptions)) {
    await fs.removeTree(join(dirname(directory), name)).catch(() => undefined);
  }
}

async function namesIn(fs: FileSystem, path: string): Promise<string[]> {
  try {
    // What a link leads to is not the vault's.
    if ((await fs.lstat(path)).kind !== "directory") return [];
    return (await fs.readDirectory(path)).map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/** A living maker keeps its lock; one without a lock is between its last two steps, or a stranger's. */
async function deadSiblings(
  fs: FileSystem,
  directory: string,
  lockOptions: Pick<VaultLockOptions, "probe">,
): Promise<string[]> {
  const prefix = `${basename(directory)}.new-`;
  const dead: string[] = [];
  // The directory around a vault may be closed to us.
  for (const { name, kind } of await fs.readDirectory(dirname(directory)).catch(() => [])) {
    if (kind !== "directory" || !name.startsWith(prefix)) continue;
    if (!/^[0-9a-f]{32}$/u.test(name.slice(prefix.length))) continue;
    const lock = await inspectVaultLock(fs, join(dirname(directory), name), lockOptions).catch(
      () => undefined,
    );
    if (lock?.state === "stale") dead.push(name);
  }
  return dead;
}

async function irregularIn(fs: FileSystem, database: string): Promise<string[]> {
  try {
    const entries = await fs.readDirectory(database);
    return entries
      .filter(({ name, kind }) => kind !== "file" && !(kind === "directory" && name === "lost"))
      .map(({ name }) => name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
