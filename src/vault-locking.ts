/**
 * Whether a vault is unlocked, and the way from one to the other: by its user, by time, at the end.
 * @module
 */
import { AutoLock, type AutoLockOptions } from "./auto-lock.ts";
import { isCofferError, LockedError } from "./errors.ts";
import { openRoot, type WayIn } from "./keystore/slots/way-in.ts";
import type { UnlockedVault } from "./keystore/unlocked-vault.ts";
import { UnlockDelay } from "./unlock-delay.ts";
import type { LockReason, VaultEmitter } from "./vault-events.ts";
import type { RootOf, VaultOpening } from "./vault-opening.ts";

export type VaultState = "unlocked" | "locked" | "closed";

/** What the vault has done at the two ends of a session. */
export interface LockingHooks {
  /** Does not throw. */
  readonly onUnlock?: (unlocked: UnlockedVault) => void;
  /** Does not reject. */
  readonly beforeClose?: () => Promise<void>;
}

export class VaultLocking {
  readonly #opening: VaultOpening;
  readonly #hooks: LockingHooks;
  readonly #emitter: VaultEmitter;
  readonly #autoLock: AutoLock;
  readonly #delay: UnlockDelay;
  /** Calls of unlock that are under way. */
  readonly #attempts = new Set<AbortController>();
  #unlocked: UnlockedVault | undefined;
  #running = 0;
  #lockedBy: LockReason = "requested";
  #isClosed = false;
  #isReleased = false;
  /** Lock, unlock and close run one after another. */
  #transition: Promise<void> = Promise.resolve();

  /** Takes opening and unlocked over. */
  constructor(
    opening: VaultOpening,
    unlocked: UnlockedVault,
    emitter: VaultEmitter,
    autoLock: AutoLockOptions = {},
    hooks: LockingHooks = {},
  ) {
    this.#hooks = hooks;
    this.#opening = opening;
    this.#unlocked = unlocked;
    this.#emitter = emitter;
    this.#delay = new UnlockDelay(opening.time);
    this.#autoLock = new AutoLock(autoLock, {
      time: opening.time,
      wallMs: opening.clock,
      isBusy: () => this.#running > 0 || this.#unlocked?.database.isBusy === true,
      // What fails at the end of a session is a warning event already.
      lock: (reason) => void this.lock(reason).catch(() => undefined),
    });
    this.#autoLock.start();
  }

  get state(): VaultState {
    if (this.#isClosed) return "closed";
    return this.#unlocked === undefined ? "locked" : "unlocked";
  }

  /**
   * Returns the unlocked vault, usable until the next `await`, and counts as use.
   * @throws LockedError while the vault is locked or closed, or just now by time.
   */
  unlocked(): UnlockedVault {
    this.#autoLock.use();
    if (this.#isClosed) throw closedError();
    if (this.#unlocked === undefined) throw lockedError(this.#lockedBy);
    return this.#unlocked;
  }

  /** Resolves when the database can be read. */
  async ready(): Promise<void> {
    if (this.#unlocked?.database.isReady === false) await this.#unlocked.database.ready();
  }

  /**
   * Performs an operation that counts as use until it ends. It ends itself when `unlocked.ended` aborts.
   * @throws LockedError
   */
  async run<T>(operation: (unlocked: UnlockedVault) => Promise<T>): Promise<T> {
    this.unlocked();
    await this.ready();
    const unlocked = this.unlocked();
    this.#running += 1;
    try {
      return await operation(unlocked);
    } finally {
      this.#running -= 1;
      if (this.#unlocked !== undefined) this.#autoLock.use();
    }
  }

  /** Wipes the keys at once, and resolves when what was being written is written. */
  async lock(reason: LockReason): Promise<void> {
    for (const attempt of this.#attempts) attempt.abort(lockedError(reason));
    const unlocked = this.#unlocked;
    this.#unlocked = undefined;
    this.#autoLock.stop();
    if (unlocked === undefined) return this.#transition;
    this.#lockedBy = reason;
    const ending = unlocked.end(lockedError(reason));
    await this.#enqueue(() => ending);
    this.#emitter.emit("lock", { reason });
  }

  /** Unlocks again; see `Vault.unlock`. Wipes the way in. */
  async unlock(wayIn: WayIn, userSignal: AbortSignal | undefined): Promise<void> {
    const attempt = new AbortController();
    this.#attempts.add(attempt);
    const signal = userSignal === undefined ? attempt.signal : AbortSignal.any([userSignal, attempt.signal]);
    await this.#enqueue(async () => {
      try {
        if (this.#isClosed) throw closedError();
        signal.throwIfAborted();
        if (this.#unlocked !== undefined) return;
        await this.#delay.wait(signal);
        const unlocked = await this.#opening.unlock(rootFrom(wayIn, this.#opening, signal));
        if (signal.aborted) {
          await unlocked.end(lockedError("requested"));
          signal.throwIfAborted();
        }
        this.#unlocked = unlocked;
        this.#delay.passed();
        this.#autoLock.start();
        this.#hooks.onUnlock?.(unlocked);
      } catch (error) {
        const isWrong =
          isCofferError(error, "COFFER_WRONG_SECRET") || isCofferError(error, "COFFER_PIN_INCORRECT");
        if (isWrong) this.#delay.failed();
        throw error;
      } finally {
        this.#attempts.delete(attempt);
        wayIn.wipe();
      }
      this.#emitter.emit("unlock", undefined);
    });
  }

  /** Locks, closes the database, releases the directory. Idempotent; when it rejects, another call does the rest. */
  async close(): Promise<void> {
    if (this.#unlocked !== undefined) {
      await this.#unlocked.keystore.usage.flush();
    }
    if (!this.#isReleased) await this.#hooks.beforeClose?.();
    await this.lock("closed");
    await this.#enqueue(async () => {
      if (this.#isReleased) return;
      this.#isClosed = true;
      await this.#unlocked?.end(lockedError("closed"));
      this.#unlocked = undefined;
      this.#autoLock.stop();
      await this.#opening.end();
      this.#isReleased = true;
      this.#emitter.clear();
    });
  }

  #enqueue(step: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(step);
    this.#transition = done.catch(() => undefined);
    return done;
  }
}

/** Returns what gets the root key out of a header's slots. */
export function rootFrom(wayIn: WayIn, opening: VaultOpening, signal: AbortSignal | undefined): RootOf {
  const warn = (message: string): void => opening.report({ type: "warning", message });
  return async (header) => (await openRoot(header, wayIn, { vaultId: header.vaultId, warn, signal })).root;
}

const WHY: Readonly<Record<LockReason, string>> = {
  requested: "The vault is locked.",
  closed: "The vault is locked.",
  idle: "The vault has locked itself, as it was not used.",
  absolute: "The vault has locked itself, as it was unlocked for long enough.",
};

function lockedError(reason: LockReason): LockedError {
  return new LockedError(`${WHY[reason]} Unlock it and try again.`, { details: { reason } });
}

function closedError(): LockedError {
  return new LockedError("The vault is closed. Open it again with openVault.");
}
