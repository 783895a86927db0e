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
export type { ByteStreamPair } from "./envelope/byte-stream.ts";
export type { DecryptedFile } from "./envelope/decrypt-file.ts";
export type { EncryptedFile } from "./envelope/encrypt-file.ts";
export type { FileInfo, FileKeyInfo } from "./envelope/file-info.ts";
export type { ByteRange, FileReader } from "./envelope/file-reader.ts";
export type { FileProgress, ProgressListener } from "./envelope/progress.ts";
export {
  decryptFile,
  type DecryptFileWithoutVaultOptions,
  encryptFile,
  type EncryptFileWithoutVaultOptions,
  fileInfo,
} from "./envelope/passphrase-files.ts";
export type {
  DecryptFileOptions,
  EncryptFileOptions,
  EncryptStreamOptions,
  ReadFileOptions,
  RewrapFileOptions,
  ShareFileOptions,
} from "./envelope/vault-files.ts";
export { useFileWorker } from "./envelope/worker-pool.ts";
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
