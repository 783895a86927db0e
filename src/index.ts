/**
 * Coffer: a whole key management service in your own process, offline. This is the public API, re-exports only.
 * @module
 */
export {
  COFFER_ERROR_CODES,
  CofferError,
  type CofferErrorCode,
  type ErrorDetails,
  isCofferError,
} from "./errors.ts";
export { diagnoseVault, type DiagnoseVaultOptions } from "./diagnose-vault.ts";
export type {
  DiagnosisProgress,
  FindingSeverity,
  VaultCounts,
  VaultDiagnosis,
  VaultFinding,
  VaultPart,
} from "./diagnosis.ts";
export type { EncryptionContext } from "./formats/context.ts";
export { normalizePassphrase } from "./formats/passphrase-text.ts";
export { combined } from "./keystore/slots/combined.ts";
export { type Keychain, keychain } from "./keystore/slots/keychain.ts";
export { passphrase } from "./keystore/slots/passphrase.ts";
export { recovery } from "./keystore/slots/recovery.ts";
export type { RotatedRootKey, RotateRootKeyOptions } from "./rotate-root-key.ts";
export type { AutoLockOptions } from "./auto-lock.ts";
export type { Unlocker } from "./keystore/slots/way-in.ts";
export type { LockHolder, SlotDescription, VaultDescription } from "./describe-vault.ts";
export type { LockReason, VaultEventName, VaultEvents, VaultListener, VaultNotice } from "./vault-events.ts";
export type { CreateVaultOptions, OpenVaultOptions, UnlockVaultOptions } from "./vault-options.ts";
export {
  type CreatedVault,
  type CreatedVaultWithoutRecovery,
  createVault,
  describeVault,
  openVault,
  Vault,
} from "./vault.ts";
export type { VaultState } from "./vault-locking.ts";
export type { AddedRecovery, VaultSlots } from "./vault-slots.ts";
