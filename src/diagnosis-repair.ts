/**
 * The repairs of a diagnosis: through an ordinary open, under the vault's lock, and one ordinary change. It writes
 * nothing that the vault's own sums and keys do not prove.
 * @module
 */
import { join } from "node:path";
import type { ContentsDiagnosis } from "./diagnose-contents.ts";
import type { FilesDiagnosis } from "./diagnose-files.ts";
import { copy } from "./bytes.ts";
import { counted, type VaultPart } from "./diagnosis.ts";
import { CofferError, LockedError } from "./errors.ts";
import { recordKey } from "./formats/records/record-key.ts";
import type { UnlockedVault } from "./keystore/unlocked-vault.ts";
import { Kms } from "./kms/kms.ts";
import { findDoubleNames } from "./store/double-names.ts";
import { FileStore, fileStoreLife } from "./store/file-store.ts";
import type { RecoveredStore } from "./store/lost-and-found.ts";
import { TABLES } from "./formats/records/tables.ts";
import type { Keystore } from "./keystore/keystore.ts";
import type { AccessFinding } from "./storage/access.ts";
import { removeDeadSiblings } from "./storage/directory-inspection.ts";
import { DIRECTORY_MODE, FILE_MODE, type FileSystem } from "./storage/file-system.ts";
import type { AcceptedFileTables } from "./storage/accept-tables.ts";
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
  /** True when there are objects that no record names. */
  readonly hasOrphans: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * Opens the vault, which sweeps leftovers and takes over a stale lock, and makes changes where header copies, records
 * or mirrors are to be written anew. A vault that does not open stays as it is, every byte.
 * @returns what to say of it: why it did not come about, or what became of lost files.
 */
export async function repairVault(options: RepairOptions): Promise<readonly RepairNote[]> {
  const { environment, directory, files, contents } = options;
  const { temporary, kept, otherDatabases, incoming, deadSiblings } = files.contents;
  const needsChange =
    !files.areCopiesEqual || contents.hasMendableTables || contents.mirrorRepairs.length > 0;
  const hasLeftovers = temporary.length + kept.length + otherDatabases.length + incoming.length > 0;
  const hasLostFiles =
    contents.hasUnsoundIndex || contents.hasContradictions || contents.hasLostFiles || options.hasOrphans;
  const isNeeded = needsChange || hasLeftovers || hasLostFiles || contents.rottenBlocks > 0;
  const notes: RepairNote[] = [];
  try {
    if (isNeeded || files.lock.state !== "free") {
      notes.push(...(await openAndChange(options, { needsChange, hasLostFiles })));
    }
    if (deadSiblings.length > 0) await removeDeadSiblings(environment.fs, directory);
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    notes.push({ part: "database", message: `The repair did not come about: ${error.message}` });
  }
  return notes;
}

interface Needed {
  readonly needsChange: boolean;
  readonly hasLostFiles: boolean;
}

async function openAndChange(
  { environment, directory, clock, root, contents, signal }: RepairOptions,
  { needsChange, hasLostFiles }: Needed,
): Promise<readonly RepairNote[]> {
  const opening = await VaultOpening.begin(environment, directory, { clock, report: () => undefined });
  try {
    const unlocked = await opening.unlock(async () => copy(root));
    try {
      if (needsChange) await writeAnew(unlocked.keystore, contents.mirrorRepairs);
      const notes = await repairStore(opening, unlocked, { contents, hasLostFiles, signal });
      // Compaction rewrites what is alive in every table; rot that no record needs goes with the rest.
      if (contents.rottenBlocks > 0)
        await unlocked.database.removeTraces({ prefixes: TABLE_PREFIXES, patterns: [] });
      return notes;
    } finally {
      await unlocked.end(new LockedError("The repair is over."));
    }
  } finally {
    await opening.end();
  }
}

/** Sorts out what was on its way, gives up records that do not open, and names what has lost its name. */
async function repairStore(
  opening: VaultOpening,
  unlocked: UnlockedVault,
  {
    contents,
    hasLostFiles,
    signal,
  }: Pick<RepairOptions, "contents" | "signal"> & Pick<Needed, "hasLostFiles">,
): Promise<readonly RepairNote[]> {
  const notes: RepairNote[] = [];
  if (contents.hasUnsoundIndex || contents.hasContradictions) {
    const doubles = await findDoubleNames(unlocked.database, signal);
    const isListWrong = contents.hasContradictions;
    const accepted = await unlocked.database.acceptFileTables({ isListWrong, doubles });
    notes.push(...notesOfIndex(contents, accepted));
  }
  const kms = new Kms({
    keystore: () => unlocked.keystore,
    ready: () => unlocked.database.ready(),
    mayWrite: !opening.isReadOnly,
    clock: opening.clock,
  });
  const store = new FileStore({
    fs: opening.fs,
    clock: opening.clock,
    report: () => undefined,
    mayUseWorkers: false,
    directory: opening.directory,
    mayWrite: !opening.isReadOnly,
    kms: () => kms,
    run: (work) => work(unlocked),
    unlocked: () => unlocked,
  });
  const life = fileStoreLife(store);
  // Where records were lost, what is on its way gets its name back before anything is swept [F-247].
  const wasUnsure = contents.hasUnsoundIndex || contents.hasContradictions;
  if (wasUnsure) notes.push(noteOf(await store.recover({ signal })));
  life.begin(unlocked, false);
  if (hasLostFiles && !wasUnsure) notes.push(noteOf(await store.recover({ signal })));
  await life.end();
  return notes;
}

function notesOfIndex(
  { hasUnsoundIndex }: ContentsDiagnosis,
  { lost, unlisted, doubled, areStayingProven }: AcceptedFileTables,
): RepairNote[] {
  const messages: string[] = [];
  if (hasUnsoundIndex) {
    messages.push(
      `The index of the file store is what was left of it: ${counted(lost, "record that does not open was", "records that do not open were")} given up.`,
    );
  }
  if (doubled > 0) {
    const which = areStayingProven
      ? "The sums have told which are the older ones"
      : "Which are the older ones is not known, so those in the deeper directories are taken for them";
    messages.push(
      `${counted(doubled, "name of the file store led", "names of the file store led")} to what another name leads to, and was removed; what it led to keeps the other name. ${which}.`,
    );
  }
  if (unlisted > 0) {
    messages.push(
      `What was to be removed is not known for sure, so nothing of it was removed: ${counted(unlisted, "record was", "records were")} taken off the list, and what has no name is in lost+found.`,
    );
  }
  return messages.map((message) => ({ part: "store", message }));
}

function noteOf({ rejoined, attached, unopened }: RecoveredStore): RepairNote {
  const message = `Of what had lost its name or its record in the file store, ${rejoined} contents are under their names again, ${attached.length} contents and directories are in lost+found, and ${unopened.length} do not open or are missing, and stay as they are.`;
  return { part: "store", message };
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
