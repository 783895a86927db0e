/**
 * The repairs of a diagnosis: through an ordinary open, under the vault's lock, and one ordinary change. It writes
 * nothing that the vault's own sums and keys do not prove.
 * @module
 */
import { join } from "node:path";
import type { ContentsDiagnosis } from "./diagnose-contents.ts";
import type { FilesDiagnosis } from "./diagnose-files.ts";
import { copy } from "./bytes.ts";
import type { VaultPart } from "./diagnosis.ts";
import { CofferError, LockedError } from "./errors.ts";
import { recordKey } from "./formats/records/record-key.ts";
import { TABLES } from "./formats/records/tables.ts";
import type { Keystore } from "./keystore/keystore.ts";
import type { AccessFinding } from "./storage/access.ts";
import { removeDeadSiblings } from "./storage/directory-inspection.ts";
import { DIRECTORY_MODE, FILE_MODE, type FileSystem } from "./storage/file-system.ts";
import type { Transaction } from "./storage/transaction.ts";
import { type VaultEnvironment, VaultOpening } from "./vault-opening.ts";

/** So many mirrors are written with one change. */
const MIRRORS_A_CHANGE = 100;

/** What to say of a repair. */
export interface RepairNote {
  readonly part: VaultPart;
  readonly message: string;
}

const TABLE_PREFIXES: readonly Uint8Array[] = Object.values(TABLES).map((table) => Uint8Array.of(table));

/** Closes our own directory and files to others; what belongs to others stays as it is. Failures show in the next look. */
export async function repairModes(
  fs: FileSystem,
  directory: string,
  access: readonly AccessFinding[],
): Promise<void> {
  const foreign = new Set(
    access.filter(({ problem }) => problem === "foreign-owner").map(({ name }) => name),
  );
  for (const { name, problem } of access) {
    if (problem !== "open-to-others" || foreign.has(name)) continue;
    const path = join(directory, name);
    try {
      const { kind } = await fs.lstat(path);
      if (kind === "directory" || kind === "file") {
        await fs.chmod(path, kind === "directory" ? DIRECTORY_MODE : FILE_MODE);
      }
    } catch {
      // The next look finds it again.
    }
  }
}

/** What a repair stands on, as the diagnosis found it. */
export interface RepairOptions {
  readonly environment: VaultEnvironment;
  readonly directory: string;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Lent. */
  readonly root: Uint8Array;
  readonly files: FilesDiagnosis;
  readonly contents: ContentsDiagnosis;
}

/**
 * Opens the vault, which sweeps leftovers and takes over a stale lock, and makes changes where header copies, records
 * or mirrors are to be written anew. A vault that does not open stays as it is, every byte.
 * @returns why it did not come about; undefined when it did, or when there was nothing to do.
 */
export async function repairVault(options: RepairOptions): Promise<RepairNote | undefined> {
  const { environment, directory, files, contents } = options;
  const { temporary, kept, otherDatabases, deadSiblings } = files.contents;
  const needsChange =
    !files.areCopiesEqual || contents.hasMendableTables || contents.mirrorRepairs.length > 0;
  const hasLeftovers = temporary.length + kept.length + otherDatabases.length > 0;
  try {
    if (needsChange || hasLeftovers || contents.rottenBlocks > 0 || files.lock.state !== "free")
      await openAndChange(options, needsChange);
    if (deadSiblings.length > 0) await removeDeadSiblings(environment.fs, directory);
    return undefined;
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    return { part: "database", message: `The repair did not come about: ${error.message}` };
  }
}

async function openAndChange(
  { environment, directory, clock, root, contents }: RepairOptions,
  needsChange: boolean,
): Promise<void> {
  const opening = await VaultOpening.begin(environment, directory, { clock, report: () => undefined });
  try {
    const unlocked = await opening.unlock(async () => copy(root));
    try {
      if (needsChange) await writeAnew(unlocked.keystore, contents.mirrorRepairs);
      // Compaction rewrites what is alive in every table; rot that no record needs goes with the rest.
      if (contents.rottenBlocks > 0)
        await unlocked.database.removeTraces({ prefixes: TABLE_PREFIXES, patterns: [] });
    } finally {
      await unlocked.end(new LockedError("The repair is over."));
    }
  } finally {
    await opening.end();
  }
}

/** The first commit of a session makes both header copies equal and writes records back that only mirrors hold. */
async function writeAnew(keystore: Keystore, mirrors: readonly Uint8Array[]): Promise<void> {
  const setting = recordKey.setting(keystore.keys.name, "vault");
  await keystore.change((transaction) => {
    const record = transaction.get(TABLES.settings, setting);
    if (record !== undefined) transaction.put(TABLES.settings, setting, record);
  });
  for (let at = 0; at < mirrors.length; at += MIRRORS_A_CHANGE) {
    const keys = mirrors.slice(at, at + MIRRORS_A_CHANGE);
    await keystore.change((transaction) => {
      for (const key of keys) putAgain(transaction, key);
    });
  }
}

/** A record and its mirror are written together, and removed together. */
function putAgain(transaction: Transaction, key: Uint8Array): void {
  if (key[0] === TABLES.keys) {
    const record = transaction.get(TABLES.keys, key);
    if (record === undefined) transaction.delete(key);
    else transaction.put(TABLES.keys, key, record);
  } else if (key[0] === TABLES.versions) {
    const record = transaction.get(TABLES.versions, key);
    if (record === undefined) transaction.delete(key);
    else transaction.put(TABLES.versions, key, record);
  }
}
