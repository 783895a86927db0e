/**
 * A vault: made, opened, locked, unlocked and closed. It wires the layers together and owns the lock.
 * @module
 */
import type { AutoLockOptions } from "./auto-lock.ts";
import { backupVault, type VaultBackup } from "./backup-vault.ts";
import { copy, hex } from "./bytes.ts";
import { selfTest } from "./crypto/self-test.ts";
import { describeVaultIn, type VaultDescription } from "./describe-vault.ts";
import { VaultFiles } from "./envelope/vault-files.ts";
import { parseAnchor } from "./formats/anchor.ts";
import { makeVault } from "./keystore/new-vault.ts";
import { type Unlocker, wayInOf } from "./keystore/slots/way-in.ts";
import type { UnlockedVault } from "./keystore/unlocked-vault.ts";
import { Kms } from "./kms/kms.ts";
import { type RestoredVault, restoreVaultIn } from "./restore-vault.ts";
import { rotateRootKey, type RotatedRootKey, type RotateRootKeyOptions } from "./rotate-root-key.ts";
import { redact, wipe } from "./secret.ts";
import { FileStore, fileStoreLife } from "./store/file-store.ts";
import { nodeFileSystem } from "./storage/file-system.ts";
import { openLevelStore } from "./storage/level-store.ts";
import { withdrawVaultDirectory } from "./storage/vault-directory.ts";
import { VaultEmitter, type VaultEventName, type VaultListener, type VaultNotice } from "./vault-events.ts";
import { rootFrom, VaultLocking, type VaultState } from "./vault-locking.ts";
import { type OpeningOptions, type RootOf, type VaultEnvironment, VaultOpening } from "./vault-opening.ts";
import {
  assertCreateOptions,
  assertDirectory,
  assertOpenOptions,
  assertUnlockOptions,
  type BackupOptions,
  type CreateVaultOptions,
  type OpenVaultOptions,
  type RestoreVaultOptions,
  type UnlockVaultOptions,
} from "./vault-options.ts";
import { VaultSlots } from "./vault-slots.ts";

const NODE_ENVIRONMENT: VaultEnvironment = {
  fs: nodeFileSystem,
  openEngine: openLevelStore,
};

/**
 * An open vault. One process has it open at a time. Always `close` it: until then its directory is locked.
 * Shows nothing of what it holds to `inspect`, `JSON.stringify`, a spread or a structured clone.
 */
export class Vault extends VaultFiles {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Canonical path of the directory. */
  readonly directory: string;
  /** The key management service of this vault. */
  readonly kms: Kms;
  /** The encrypted file store of this vault. */
  readonly store: FileStore;
  /** The ways into this vault. */
  readonly slots: VaultSlots;
  readonly #opening: VaultOpening;
  readonly #emitter = new VaultEmitter();
  readonly #locking: VaultLocking;

  /** Not for applications: `createVault` and `openVault` make vaults. */
  constructor(opening: VaultOpening, unlocked: UnlockedVault, autoLock?: AutoLockOptions) {
    super({
      fs: opening.fs,
      clock: opening.clock,
      report: (notice) => opening.report(notice),
      mayUseWorkers: opening.fs === nodeFileSystem,
      kms: () => this.kms,
      run: (work) => this.#locking.run((open) => work(open.ended)),
      ended: () => this.#locking.unlocked().ended,
    });
    this.id = hex(unlocked.database.header.vaultId);
    this.directory = opening.directory;
    this.#opening = opening;
    opening.report = (notice) => this.#emitter.emit(notice.type, notice);
    this.#locking = new VaultLocking(opening, unlocked, this.#emitter, autoLock, {
      onUnlock: (again) => fileStoreLife(this.store).begin(again, false),
      beforeClose: () => fileStoreLife(this.store).end(),
    });
    this.store = new FileStore({
      fs: opening.fs,
      clock: opening.clock,
      report: (notice) => opening.report(notice),
      mayUseWorkers: opening.fs === nodeFileSystem,
      directory: opening.directory,
      mayWrite: !opening.isReadOnly,
      kms: () => this.kms,
      run: (work) => this.#locking.run(work),
      unlocked: () => this.#locking.unlocked(),
    });
    fileStoreLife(this.store).begin(unlocked, opening.isAfterCrash);
    this.slots = new VaultSlots(this.#locking, opening);
    this.kms = new Kms({
      keystore: () => this.#locking.unlocked().keystore,
      ready: () => this.#locking.ready(),
      mayWrite: !opening.isReadOnly,
      clock: opening.clock,
    });
  }

  /** True on a medium that cannot be written, and for salvage: reads work, changes are refused. */
  get isReadOnly(): boolean {
    return this.#opening.isReadOnly;
  }

  get state(): VaultState {
    return this.#locking.state;
  }

  /**
   * Adds a listener. Events that belong to opening go to `onWarning` of `openVault` instead.
   * A listener that throws fails alone, as an uncaught exception.
   */
  on<Name extends VaultEventName>(name: Name, listener: VaultListener<Name>): this {
    this.#emitter.on(name, listener);
    return this;
  }

  off<Name extends VaultEventName>(name: Name, listener: VaultListener<Name>): this {
    this.#emitter.off(name, listener);
    return this;
  }

  /**
   * Wipes the keys at once. Running calls end with `COFFER_LOCKED`, `unlock` too, except a change that is already
   * being written. The handle and the directory's lock stay. Does nothing when locked or closed.
   */
  lock(): Promise<void> {
    return this.#locking.lock("requested");
  }

  /**
   * Unlocks the same handle again. Does nothing, beside wiping the unlocker, when it is unlocked. After a wrong
   * secret the next one is tried 250 ms later, twice that after each more, up to 30 s. That slows down who tries
   * secrets through this program; it is no defence against a copied vault.
   * @throws WrongSecretError; the vault then stays locked. @throws LockedError once it is closed.
   * @throws DamagedError, RolledBackError when the files have changed meanwhile.
   */
  async unlock(unlocker: Unlocker, options: UnlockVaultOptions = {}): Promise<void> {
    assertUnlockOptions(options);
    await this.#locking.unlock(wayInOf(unlocker, "unlocker"), options.signal);
  }

  /**
   * Gives the vault a new root key, for the case that somebody may know the old one: who kept an old copy of the
   * header and one of its secrets, or whose way in was removed. All records are sealed anew, all ways in are given
   * again and get a new recovery code; keys, blobs and files stay as they are. Changes wait meanwhile.
   * Killed at any moment it leaves the vault with the old ways in, or with the new ones; then call it again.
   * @throws LockedError, IoError, DamagedError; then the old root key and its ways in stay.
   */
  rotateRootKey(options: RotateRootKeyOptions): Promise<RotatedRootKey> {
    return rotateRootKey(this.#locking, this.#opening, options);
  }

  /**
   * Writes all keys, aliases, ways in and stored files, as they are at this moment, into one file, while the vault is
   * in use. Every record is checked first, and every object while it is copied: it is the one that is meant, and its
   * key is in the backup. `store.rewrapAll` waits for it, and it for that. The file opens with the ways in of this
   * moment, for ever; nothing in it is in clear. It appears under its name whole, or not at all.
   * {@link restoreVault} reads it.
   * @param destination path of the file, outside the vault.
   * @throws AlreadyExistsError without `overwrite`. @throws InvalidArgumentError reason `inside-vault`.
   * @throws DamagedError for a vault that is not sound; then no file is made. @throws LockedError, IoError.
   */
  backup(destination: string, options: BackupOptions = {}): Promise<VaultBackup> {
    return backupVault(this.#locking, this.#opening, destination, options, (work, signal) =>
      fileStoreLife(this.store).keepObjects(work, signal),
    );
  }

  /**
   * Returns a short text that names the vault's present state. Keep it where who can write the vault's directory
   * cannot write: `openVault` with it refuses a vault that is older. Not a secret; it opens nothing. Take a new one
   * after changes that must not be undone, and after `rotateRootKey`.
   * @throws LockedError, IoError.
   */
  anchor(): Promise<string> {
    return this.#locking.run((unlocked) => unlocked.anchor());
  }

  /**
   * Locks, closes the database and releases the directory. Idempotent.
   * @throws IoError when that could not be done in full; another call does the rest.
   */
  close(): Promise<void> {
    return this.#locking.close();
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  static {
    redact(this, "[Vault]");
  }
}

/** A new vault and, unless it was opted out of, the code to show its user once. */
export interface CreatedVault {
  readonly vault: Vault;
  /** A secret: it opens the vault without the passphrase. Kept nowhere. */
  readonly recoveryCode: string;
}

/** A new vault without a recovery code. */
export interface CreatedVaultWithoutRecovery {
  readonly vault: Vault;
  readonly recoveryCode?: undefined;
}

/**
 * Makes a vault in an absent or empty directory, and opens it. It is durable when the promise resolves; after a
 * failure or a crash there is none. Takes about a second: the passphrase's cost is measured on this machine.
 * Makes a first key with the alias `alias/default`, used wherever no `keyId` is given.
 * @throws VaultExistsError when there is a vault. @throws InvalidArgumentError reason `not-empty` for other contents.
 * @throws DamagedError for the remains of a vault. @throws IoError, OutOfMemoryError.
 */
export async function createVault(
  directory: string,
  options: CreateVaultOptions & { readonly recoveryCode: false },
): Promise<CreatedVaultWithoutRecovery>;
export async function createVault(
  directory: string,
  options: CreateVaultOptions & { readonly recoveryCode?: true },
): Promise<CreatedVault>;
export async function createVault(
  directory: string,
  options: CreateVaultOptions,
): Promise<CreatedVault | CreatedVaultWithoutRecovery>;
export async function createVault(
  directory: string,
  options: CreateVaultOptions,
): Promise<CreatedVault | CreatedVaultWithoutRecovery> {
  return createVaultIn(NODE_ENVIRONMENT, directory, options);
}

/** {@link createVault} on other ground. Not exported by the package. */
export async function createVaultIn(
  environment: VaultEnvironment,
  directory: string,
  options: CreateVaultOptions,
): Promise<CreatedVault | CreatedVaultWithoutRecovery> {
  assertDirectory(directory);
  assertCreateOptions(options);
  selfTest();
  const notify = notifier(options);
  const clock = options.clock ?? Date.now;
  const { root, recoveryCode } = await makeVault({
    ...environment,
    directory,
    wayIn: wayInOf(options.unlock, "options.unlock"),
    label: options.label ?? options.unlock.kind,
    withRecovery: options.recoveryCode ?? true,
    nowMs: clock(),
    warn: (message) => notify({ type: "warning", message }),
    signal: options.signal,
  });
  if (options.unlock.kind === "pkcs11") {
    const message =
      "This vault opens with a token alone, which does not vouch for it: take its anchor and open with that, or combine the token with a passphrase.";
    notify({ type: "warning", message });
  }
  if (recoveryCode === undefined) {
    notify({
      type: "warning",
      message:
        "This vault has one way in and no recovery code. Lose it, and everything in the vault is lost.",
    });
  }
  try {
    const vault = await openDirectory(environment, directory, options, () => async () => copy(root));
    return recoveryCode === undefined ? { vault } : { vault, recoveryCode };
  } catch (error) {
    // Its recovery code would never be shown.
    await withdrawVaultDirectory(environment.fs, directory, { clock });
    throw error;
  } finally {
    wipe(root);
  }
}

/**
 * Opens a vault. Nothing is changed by a wrong secret, an unsupported header or a vault that is in use.
 * @throws VaultNotFoundError, VaultInUseError (at once, with who holds it), WrongSecretError, DamagedError,
 *   RolledBackError, UnsupportedFormatError, KdfLimitError, OutOfMemoryError, IoError.
 * @example
 * const vault = await openVault("./my.vault", { unlock: passphrase(typed) });
 */
export async function openVault(directory: string, options: OpenVaultOptions): Promise<Vault> {
  return openVaultIn(NODE_ENVIRONMENT, directory, options);
}

/** {@link openVault} on other ground. Not exported by the package. */
export async function openVaultIn(
  environment: VaultEnvironment,
  directory: string,
  options: OpenVaultOptions,
): Promise<Vault> {
  assertDirectory(directory);
  assertOpenOptions(options);
  selfTest();
  const wayIn = wayInOf(options.unlock, "options.unlock");
  const rootOf = (opening: VaultOpening): RootOf => rootFrom(wayIn, opening, options.signal);
  try {
    return await openDirectory(environment, directory, options, rootOf);
  } finally {
    wayIn.wipe();
  }
}

/**
 * Makes a vault of a backup, in an absent or empty directory. The whole backup is checked before anything is written
 * into the new vault, which is there whole when the promise resolves, or not at all. What came after the backup is
 * not in it: an anchor from later refuses it, until `acceptRollback` of `openVault`.
 * @param file path of the backup.
 * @throws WrongSecretError. @throws DamagedError for a backup that is not as it was made.
 * @throws UnsupportedFormatError for what is no backup. @throws VaultExistsError; InvalidArgumentError reason
 *   `not-empty`. @throws KdfLimitError, OutOfMemoryError, SourceChangedError, IoError.
 * @example
 * await restoreVault("./monday.coa", "./my.vault", { unlock: passphrase(typed) });
 */
export async function restoreVault(
  file: string,
  directory: string,
  options: RestoreVaultOptions,
): Promise<RestoredVault> {
  return restoreVaultIn(NODE_ENVIRONMENT, file, directory, options);
}

async function openDirectory(
  environment: VaultEnvironment,
  directory: string,
  options: OpenVaultOptions | CreateVaultOptions,
  rootOf: (opening: VaultOpening) => RootOf,
): Promise<Vault> {
  const opening = await VaultOpening.begin(environment, directory, {
    clock: options.clock ?? Date.now,
    report: notifier(options),
    isStrict: options.strict,
    ...ageOf(options),
  });
  try {
    return new Vault(opening, await opening.unlock(rootOf(opening)), options.autoLock);
  } catch (error) {
    // The first error is what counts.
    await opening.end().catch(() => undefined);
    throw error;
  }
}

function ageOf(options: OpenVaultOptions | CreateVaultOptions): Partial<OpeningOptions> {
  const { salvage, anchor, acceptRollback }: Partial<OpenVaultOptions> = options;
  return {
    isSalvage: salvage,
    anchor: anchor === undefined ? undefined : parseAnchor(anchor),
    acceptsRollback: acceptRollback,
  };
}

/** What an application does with a notice must not fail the opening. */
function notifier({ onWarning }: Pick<OpenVaultOptions, "onWarning">): (notice: VaultNotice) => void {
  return (notice) => queueMicrotask(() => onWarning?.(notice));
}

/**
 * Says what there is without any secret: whether a vault, its id, the kinds and labels of its slots, who has it
 * open. Unauthenticated. Changes nothing.
 * @throws DamagedError, UnsupportedFormatError, IoError.
 */
export async function describeVault(directory: string): Promise<VaultDescription> {
  assertDirectory(directory);
  return describeVaultIn(nodeFileSystem, directory);
}
