/**
 * What the KMS needs from the vault that it belongs to.
 * @module
 */
import type { Keystore } from "../keystore/keystore.ts";

export interface KmsHost {
  /**
   * Returns the keystore of the unlocked vault, usable until the next `await`.
   * @throws LockedError while the vault is locked or closed.
   */
  keystore(): Keystore;
  /** Resolves when the database can be read, opening it anew after a failure. Cheap when nothing is wrong. */
  ready(): Promise<void>;
  /** False where every change is refused, so that a dry run is refused as well. */
  readonly mayWrite: boolean;
  /** Milliseconds since 1970, by the vault's clock. */
  clock(): number;
}
