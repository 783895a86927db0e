/**
 * From a directory to an unlocked vault: lock, header, root key, database, in the order in which each is believed.
 * Source: docs/format.md#open [F-106], [F-123].
 * @module
 */
import { SYSTEM_TIME, type TimeSource } from "./auto-lock.ts";
import { isDebuggerPortOpen } from "./debugger-port.ts";
import { AccessDeniedError, isCofferError, VaultInUseError } from "./errors.ts";
import type { ParsedAnchor } from "./formats/anchor.ts";
import type { ParsedHeader } from "./formats/header.ts";
import { databaseKey } from "./formats/key-schedule.ts";
import type { OpenEngine } from "./keystore/new-vault.ts";
import { assertAuthentic, UnlockedVault } from "./keystore/unlocked-vault.ts";
import { wipe } from "./secret.ts";
import { type AccessFinding, inspectAccess } from "./storage/access.ts";
import { CopiedDatabase, type DatabaseGround } from "./storage/database-ground.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { type HeaderCopies, readHeaderCopies } from "./storage/header-copies.ts";
import { ioError } from "./storage/io-error.ts";
import { KeptDatabase } from "./storage/kept-database.ts";
import { ReopenableStore } from "./storage/reopenable-store.ts";
import { openSalvagedStore, SalvagedDatabase } from "./storage/salvaged-store.ts";
import { findSyncing, type SyncFinding } from "./storage/sync-folder.ts";
import { databaseDirectory, sweepVaultDirectory } from "./storage/vault-directory.ts";
import { acquireVaultLock, inspectVaultLock, type VaultLock } from "./storage/vault-lock.ts";
import type { VaultNotice } from "./vault-events.ts";

/** How long after a refused lock it is tried once more, before the vault is opened for reading only. */
const SECOND_TRY_MS = 100;

/** What a vault stands on; other values than the defaults are for tests. */
export interface VaultEnvironment {
  readonly fs: FileSystem;
  readonly openEngine: OpenEngine;
  /** For locking by time and for the wait after wrong secrets. */
  readonly time?: TimeSource;
}

/** Returns the root key, for {@link UnlockedVault} to take over. */
export type RootOf = (header: ParsedHeader) => Promise<Uint8Array>;

export interface OpeningOptions {
  readonly clock: () => number;
  readonly report: (notice: VaultNotice) => void;
  /** Refuses a directory that others can reach, instead of warning. */
  readonly isStrict?: boolean | undefined;
  /** Reads what authenticates, and passes over the rest. Writes nothing. */
  readonly isSalvage?: boolean | undefined;
  /** Judged when the vault is first unlocked: from then on nobody else can put an older state into its place. */
  readonly anchor?: ParsedAnchor | undefined;
  readonly acceptsRollback?: boolean | undefined;
}

/** What stays while a vault is open, locked or not. */
export class VaultOpening {
  readonly fs: FileSystem;
  /** Canonical path of the vault. */
  readonly directory: string;
  readonly clock: () => number;
  /** Where notices go: to `onWarning` while the vault opens, to its listeners afterwards. */
  report: (notice: VaultNotice) => void;
  /** True when the vault was proved to be the one that an anchor names. */
  readonly hasAnchor: boolean;
  readonly #environment: VaultEnvironment;
  readonly #isSalvage: boolean;
  #age: Pick<OpeningOptions, "anchor" | "acceptsRollback">;
  /** Undefined where nothing is written. */
  readonly #lock: VaultLock | undefined;
  #engine: ReopenableStore | undefined;
  #ground: DatabaseGround | undefined;

  private constructor(
    environment: VaultEnvironment,
    directory: string,
    lock: VaultLock | undefined,
    options: OpeningOptions,
  ) {
    this.fs = environment.fs;
    this.#environment = environment;
    this.directory = directory;
    this.#lock = lock;
    this.clock = options.clock;
    this.report = options.report;
    this.#isSalvage = options.isSalvage ?? false;
    this.hasAnchor = options.anchor !== undefined;
    this.#age = { anchor: options.anchor, acceptsRollback: options.acceptsRollback };
  }

  /**
   * Takes the directory's lock; on a medium that cannot be written, goes on without, for reading only.
   * @throws VaultNotFoundError, DamagedError, AccessDeniedError before anything is written. @throws VaultInUseError.
   */
  static async begin(
    environment: VaultEnvironment,
    directory: string,
    options: OpeningOptions,
  ): Promise<VaultOpening> {
    const { fs } = environment;
    const { isSalvage = false } = options;
    await readHeaderCopies(fs, directory, { isSalvage });
    const canonical = await canonicalPath(fs, directory);
    judgeAccess(await inspectAccess(fs, canonical), options);
    for (const finding of await findSyncing(fs, canonical)) {
      options.report({ type: "warning", message: syncWarning(finding) });
    }
    if (await isDebuggerPortOpen()) options.report({ type: "warning", message: DEBUGGER_WARNING });
    if (isSalvage) {
      await assertNotInUse(fs, canonical);
      return new VaultOpening(environment, canonical, undefined, options);
    }
    const lock = await lockOrReadOnly(environment, canonical, options);
    return new VaultOpening(environment, lock?.directory ?? canonical, lock, options);
  }

  get time(): TimeSource {
    return this.#environment.time ?? SYSTEM_TIME;
  }

  /** True when whoever had the vault open before did not close it. */
  get isAfterCrash(): boolean {
    return this.#lock?.wasUnclean === true;
  }

  get isReadOnly(): boolean {
    return this.#lock === undefined;
  }

  /**
   * Reads the header anew, gets the root key, and proves everything with it. What a crash left is swept then.
   * When it fails, every byte of the vault is as it was.
   */
  async unlock(rootOf: RootOf): Promise<UnlockedVault> {
    const { fs, directory } = this;
    const copies = await readHeaderCopies(fs, directory, { isSalvage: this.#isSalvage });
    const root = await rootOf(copies.header);
    const unlocked = await this.#openDatabase(root, copies);
    this.#age = {};
    if (this.isReadOnly) return unlocked;
    await sweepVaultDirectory(fs, directory, copies.header).catch(() => {
      const message =
        "Leftovers of an interrupted change could not be removed. It is tried again at the next open.";
      this.report({ type: "warning", message });
    });
    // A full disk must not keep anybody from reading: what is due is tried again before each use of a key.
    await unlocked.keystore.settleDue().catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      const message = `What is due in the vault (deletions, rotations) could not be done (${why}). It is tried again.`;
      this.report({ type: "warning", message });
    });
    return unlocked;
  }

  /** Closes the database and releases the directory. */
  async end(): Promise<void> {
    try {
      await this.#engine?.close();
      await this.#ground?.end();
    } finally {
      await this.#lock?.release();
    }
  }

  async #openDatabase(root: Uint8Array, copies: HeaderCopies): Promise<UnlockedVault> {
    const { fs, directory, clock } = this;
    const isOpen = this.#engine !== undefined;
    try {
      if (!this.#isSalvage) assertAuthentic(copies.header, root);
      const ground = (this.#ground ??= this.#groundOf(copies.header));
      const engine = (this.#engine ??= await this.#openEngine(ground, root, copies.header));
      return await UnlockedVault.begin(root, {
        fs,
        directory,
        engine,
        openDatabase: (database, options) =>
          this.#environment.openEngine(databaseDirectory(directory, database), options),
        copies,
        clock,
        report: (notice) => this.report(notice),
        isSalvage: this.#isSalvage,
        ...this.#age,
        beforeCommit: async () => {
          await this.#assertHeld();
          await ground.beforeCommit();
        },
      });
    } catch (error) {
      wipe(root);
      if (!isOpen) await this.#abandon();
      throw error;
    }
  }

  #groundOf({ database, bytes }: ParsedHeader): DatabaseGround {
    const path = databaseDirectory(this.directory, database);
    if (this.#isSalvage) return new SalvagedDatabase(path);
    return this.isReadOnly
      ? new CopiedDatabase(this.fs, path)
      : new KeptDatabase(this.fs, this.directory, path, bytes);
  }

  async #openEngine(
    ground: DatabaseGround,
    root: Uint8Array,
    { vaultId }: ParsedHeader,
  ): Promise<ReopenableStore> {
    const { fs, openEngine } = this.#environment;
    const path = await ground.prepare();
    const database = databaseKey(root, vaultId);
    const engine = new ReopenableStore(() =>
      this.#isSalvage
        ? openSalvagedStore(fs, path, { database, vaultId })
        : openEngine(path, { create: false }),
    );
    try {
      await engine.reopen();
      return engine;
    } finally {
      // A salvaged store is never opened anew: nothing is written to it.
      wipe(database);
    }
  }

  async #abandon(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    // The first error is what counts.
    await engine?.close().catch(() => undefined);
    await this.#ground?.abandon().catch(() => undefined);
    this.#ground = undefined;
  }

  async #assertHeld(): Promise<void> {
    if (this.#lock === undefined || (await this.#lock.isHeld())) return;
    throw new VaultInUseError(
      "The vault's lock file was removed or replaced while the vault was open. Close it, make sure that nobody else uses it, and open it again.",
    );
  }
}

async function canonicalPath(fs: FileSystem, directory: string): Promise<string> {
  try {
    return await fs.realpath(directory);
  } catch (error) {
    throw ioError(error, "look at the vault directory", directory);
  }
}

async function lockOrReadOnly(
  { fs, time = SYSTEM_TIME }: VaultEnvironment,
  directory: string,
  { clock, report }: OpeningOptions,
): Promise<VaultLock | undefined> {
  const acquire = (): Promise<VaultLock> => acquireVaultLock(fs, directory, { clock });
  try {
    return await acquire().catch(async (error: unknown) => {
      // A scanner that looks at a new file for a moment: a directory that cannot be written refuses once more.
      if (!hasRefused(error, "EACCES", "EPERM")) throw error;
      await new Promise<void>((resolve) => time.timer(resolve, SECOND_TRY_MS, false));
      return acquire();
    });
  } catch (error) {
    if (!hasRefused(error, "EROFS", "EACCES", "EPERM")) throw error;
    await assertNotInUse(fs, directory);
    report({
      type: "warning",
      message: "The vault's directory cannot be written: the vault is open for reading only.",
    });
    return undefined;
  }
}

function hasRefused(error: unknown, ...codes: readonly string[]): boolean {
  return isCofferError(error, "COFFER_IO") && codes.some((code) => error.details["errno"] === code);
}

async function assertNotInUse(fs: FileSystem, directory: string): Promise<void> {
  const lock = await inspectVaultLock(fs, directory);
  if (lock.state !== "held") return;
  const since = new Date(lock.since).toISOString();
  throw new VaultInUseError(
    `Process ${lock.pid} on ${lock.host} has the vault open since ${since}. Close it there.`,
    {
      details: { pid: lock.pid, host: lock.host, since: lock.since },
    },
  );
}

function syncWarning(finding: SyncFinding): string {
  return finding.sign === "folder"
    ? `The vault lies in a folder that ${finding.program} seems to keep in step with other places. That mixes older files with newer ones: move the vault, closed, to another place, and keep backups there instead.`
    : "A sync program has left a conflicted copy in the vault's directory. Two programs or machines have written to this vault: find out which is the newer one, and keep it out of sync folders.";
}

const DEBUGGER_WARNING =
  "A debugger can attach to this process, and then reads the vault's keys. Start it without --inspect where the vault holds real secrets.";

const ACCESS_PROBLEMS: Readonly<Record<AccessFinding["problem"], string>> = {
  "open-to-others": "lets other users in; set its mode to 0700 for directories, 0600 for files",
  "foreign-owner": "belongs to another user, who can change it at any time",
  exchangeable: "can be exchanged by other users; put the vault into a directory that only you can write",
  "not-regular": "is neither a file nor a directory; find out who put it there, and remove it",
};

function judgeAccess(findings: readonly AccessFinding[], { isStrict = false, report }: OpeningOptions): void {
  for (const { name, problem } of findings) {
    const place =
      name === "."
        ? "The vault's directory"
        : name === ".."
          ? "The directory around the vault"
          : "A file of the vault";
    const message = `${place} ${ACCESS_PROBLEMS[problem]}.`;
    if (isStrict) throw new AccessDeniedError(message, { details: { problem } });
    report({ type: "warning", message });
  }
}
