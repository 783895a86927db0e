/**
 * A vault: made, opened, locked, unlocked and closed. It wires the layers together and owns the lock.
 * @module
 */
import { copy, hex } from "./bytes.ts";
import { selfTest } from "./crypto/self-test.ts";
import { describeVaultIn, type VaultDescription } from "./describe-vault.ts";
import { LockedError } from "./errors.ts";
import type { Keystore } from "./keystore/keystore.ts";
import { makeVault } from "./keystore/new-vault.ts";
import { openRoot, type Unlocker, type WayIn, wayInOf } from "./keystore/slots/way-in.ts";
import type { UnlockedVault } from "./keystore/unlocked-vault.ts";
import { Kms } from "./kms/kms.ts";
import { redact, wipe } from "./secret.ts";
import { nodeFileSystem } from "./storage/file-system.ts";
import { openLevelStore } from "./storage/level-store.ts";
import { VaultEmitter, type VaultEventName, type VaultListener, type VaultNotice } from "./vault-events.ts";
import { type RootOf, type VaultEnvironment, VaultOpening } from "./vault-opening.ts";
import {
  assertCreateOptions,
  assertDirectory,
  assertOpenOptions,
  assertUnlockOptions,
  type CreateVaultOptions,
  type OpenVaultOptions,
  type UnlockVaultOptions,
} from "./vault-options.ts";

const NODE_ENVIRONMENT: VaultEnvironment = {
  fs: nodeFileSystem,
  openEngine: openLevelStore,
};

export type VaultState = "unlocked" | "locked" | "closed";

/**
 * An open vault. One process has it open at a time. Always `close` it: until then its directory is locked.
 * Shows nothing of what it holds to `inspect`, `JSON.stringify`, a spread or a structured clone.
 */
export class Vault {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Canonical path of the directory. */
  readonly directory: string;
  /** The key management service of this vault. */
  readonly kms: Kms;
  readonly #opening: VaultOpening;
  readonly #emitter = new VaultEmitter();
  #unlocked: UnlockedVault | undefined;
  #isClosed = false;
  /** Lock, unlock and close run one after another. */
  #transition: Promise<void> = Promise.resolve();

  /** Not for applications: `createVault` and `openVault` make vaults. */
  constructor(opening: VaultOpening, unlocked: UnlockedVault) {
    this.id = hex(unlocked.database.header.vaultId);
    this.directory = opening.directory;
    this.#opening = opening;
    this.#unlocked = unlocked;
    opening.report = (notice) => this.#emitter.emit(notice.type, notice);
    this.kms = new Kms({
      keystore: () => this.#keystore(),
      ready: async () => {
        if (this.#unlocked?.database.isReady === false) await this.#unlocked.database.ready();
      },
      clock: opening.clock,
    });
  }

  /** True on a medium that cannot be written, and for salvage: reads work, changes are refused. */
  get isReadOnly(): boolean {
    return this.#opening.isReadOnly;
  }

  get state(): VaultState {
    if (this.#isClosed) return "closed";
    return this.#unlocked === undefined ? "locked" : "unlocked";
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
   * Wipes the keys at once. Running calls end with `COFFER_LOCKED`, except a change that is already being written.
   * The handle and the directory's lock stay. Does nothing when locked or closed.
   */
  async lock(): Promise<void> {
    const unlocked = this.#unlocked;
    this.#unlocked = undefined;
    if (unlocked === undefined) return this.#transition;
    const ending = unlocked.end(lockedError());
    await this.#enqueue(() => ending);
    this.#emitter.emit("lock", undefined);
  }

  /**
   * Unlocks the same handle again. Does nothing, beside wiping the unlocker, when it is unlocked.
   * @throws WrongSecretError; the vault then stays locked. @throws LockedError once it is closed.
   * @throws DamagedError, RolledBackError when the files have changed meanwhile.
   */
  async unlock(unlocker: Unlocker, options: UnlockVaultOptions = {}): Promise<void> {
    assertUnlockOptions(options);
    const wayIn = wayInOf(unlocker, "unlocker");
    await this.#enqueue(async () => {
      try {
        if (this.#isClosed) throw closedError();
        if (this.#unlocked !== undefined) return;
        this.#unlocked = await this.#opening.unlock(rootFrom(wayIn, this.#opening, options.signal));
      } finally {
        wayIn.wipe();
      }
      this.#emitter.emit("unlock", undefined);
    });
  }

  /** Locks, closes the database and releases the directory. Idempotent. */
  async close(): Promise<void> {
    await this.#unlocked?.keystore.usage.flush();
    await this.lock();
    await this.#enqueue(async () => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      await this.#unlocked?.end(lockedError());
      this.#unlocked = undefined;
      await this.#opening.end();
      this.#emitter.clear();
    });
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  static {
    redact(this, "[Vault]");
  }

  #keystore(): Keystore {
    if (this.#isClosed) throw closedError();
    if (this.#unlocked === undefined) throw lockedError();
    return this.#unlocked.keystore;
  }

  #enqueue(step: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(step);
    this.#transition = done.catch(() => undefined);
    return done;
  }
}

function lockedError(): LockedError {
  return new LockedError("The vault is locked. Unlock it and try again.");
}

function closedError(): LockedError {
  return new LockedError("The vault is closed. Open it again with openVault.");
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
    label: options.label ?? "passphrase",
    withRecovery: options.recoveryCode ?? true,
    nowMs: clock(),
    warn: (message) => notify({ type: "warning", message }),
    signal: options.signal,
  });
  if (recoveryCode === undefined) {
    notify({
      type: "warning",
      message:
        "This vault has one way in and no recovery code: who forgets the passphrase loses everything in it.",
    });
  }
  try {
    const vault = await openDirectory(environment, directory, options, () => async () => copy(root));
    return recoveryCode === undefined ? { vault } : { vault, recoveryCode };
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

async function openDirectory(
  environment: VaultEnvironment,
  directory: string,
  options: OpenVaultOptions,
  rootOf: (opening: VaultOpening) => RootOf,
): Promise<Vault> {
  const opening = await VaultOpening.begin(environment, directory, {
    clock: options.clock ?? Date.now,
    report: notifier(options),
    isStrict: options.strict,
    isSalvage: options.salvage,
  });
  try {
    return new Vault(opening, await opening.unlock(rootOf(opening)));
  } catch (error) {
    // The first error is what counts.
    await opening.end().catch(() => undefined);
    throw error;
  }
}

function rootFrom(wayIn: WayIn, opening: VaultOpening, signal: AbortSignal | undefined): RootOf {
  const warn = (message: string): void => opening.report({ type: "warning", message });
  return async (header) => (await openRoot(header, wayIn, { vaultId: header.vaultId, warn, signal })).root;
}

/** What an application does with a notice must not fail the opening. */
function notifier({ onWarning }: OpenVaultOptions): (notice: VaultNotice) => void {
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
