/**
 * From a directory to an unlocked vault: lock, header, root key, database, in the order in which each is believed.
 * @module
 */
import { VaultInUseError } from "./errors.ts";
import type { ParsedHeader } from "./formats/header.ts";
import type { OpenEngine } from "./keystore/new-vault.ts";
import { UnlockedVault } from "./keystore/unlocked-vault.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { readHeaderCopies } from "./storage/header-copies.ts";
import { ReopenableStore } from "./storage/reopenable-store.ts";
import { databaseDirectory, sweepVaultDirectory } from "./storage/vault-directory.ts";
import { acquireVaultLock, type VaultLock } from "./storage/vault-lock.ts";
import type { VaultNotice } from "./vault-events.ts";

/** What a vault stands on; other values than the defaults are for tests. */
export interface VaultEnvironment {
  readonly fs: FileSystem;
  readonly openEngine: OpenEngine;
}

/** Returns the root key, for {@link UnlockedVault} to take over. */
export type RootOf = (header: ParsedHeader) => Promise<Uint8Array>;

/** What stays while a vault is open, locked or not. */
export class VaultOpening {
  readonly fs: FileSystem;
  readonly lock: VaultLock;
  readonly clock: () => number;
  /** Where notices go: to `onWarning` while the vault opens, to its listeners afterwards. */
  report: (notice: VaultNotice) => void;
  readonly #openEngine: OpenEngine;
  #engine: ReopenableStore | undefined;

  private constructor(
    environment: VaultEnvironment,
    lock: VaultLock,
    clock: () => number,
    report: (notice: VaultNotice) => void,
  ) {
    this.fs = environment.fs;
    this.#openEngine = environment.openEngine;
    this.lock = lock;
    this.clock = clock;
    this.report = report;
  }

  /** Takes the directory's lock. @throws VaultNotFoundError, DamagedError before anything is written. */
  static async begin(
    environment: VaultEnvironment,
    directory: string,
    clock: () => number,
    report: (notice: VaultNotice) => void,
  ): Promise<VaultOpening> {
    await readHeaderCopies(environment.fs, directory);
    const lock = await acquireVaultLock(environment.fs, directory, { clock });
    return new VaultOpening(environment, lock, clock, report);
  }

  /** Reads the header anew, gets the root key, and proves everything with it. What a crash left is swept then. */
  async unlock(rootOf: RootOf): Promise<UnlockedVault> {
    const { fs, clock } = this;
    const { directory } = this.lock;
    const copies = await readHeaderCopies(fs, directory);
    const root = await rootOf(copies.header);
    this.#engine ??= this.#engineOf(copies.header);
    const unlocked = await UnlockedVault.begin(root, {
      fs,
      directory,
      engine: this.#engine,
      copies,
      clock,
      report: (notice) => this.report(notice),
      assertHeld: () => this.#assertHeld(),
    });
    await sweepVaultDirectory(fs, directory, copies.header).catch(() => {
      const message =
        "leftovers of an interrupted change could not be removed; it is tried again at the next open";
      this.report({ type: "warning", message });
    });
    return unlocked;
  }

  /** Closes the database and releases the directory. */
  async end(): Promise<void> {
    try {
      await this.#engine?.close();
    } finally {
      await this.lock.release();
    }
  }

  #engineOf({ database }: ParsedHeader): ReopenableStore {
    const path = databaseDirectory(this.lock.directory, database);
    return new ReopenableStore(() => this.#openEngine(path, { create: false }));
  }

  async #assertHeld(): Promise<void> {
    if (await this.lock.isHeld()) return;
    throw new VaultInUseError(
      "the vault's lock file was removed or replaced while it was open; close the vault, make sure that nobody else uses it, and open it again",
    );
  }
}
