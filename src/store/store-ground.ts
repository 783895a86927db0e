/**
 * What the file store stands on.
 * @module
 */
import type { EnvelopeGround } from "../envelope/envelope-ground.ts";
import type { DataKeys } from "../envelope/key-access.ts";
import type { UnlockedVault } from "../keystore/unlocked-vault.ts";

export interface FileStoreHost extends EnvelopeGround {
  /** Of the vault, canonical. */
  readonly directory: string;
  /** False where nothing may be written. */
  readonly mayWrite: boolean;
  kms(): DataKeys;
  /**
   * Performs work that counts as use of the vault until it ends. It ends itself when `ended` of the vault aborts.
   * @throws LockedError while the vault is locked or closed.
   */
  run<T>(work: (unlocked: UnlockedVault) => Promise<T>): Promise<T>;
  /** The unlocked vault, usable until the next `await`. Counts as use. @throws LockedError. */
  unlocked(): UnlockedVault;
}
