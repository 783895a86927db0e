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
export type { VaultBackup } from "./backup-vault.ts";
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
export {
  listTokens,
  type TokenDescription,
  type TokenKeyDescription,
} from "./keystore/slots/pkcs11/list-tokens.ts";
export { pkcs11 } from "./keystore/slots/pkcs11/pkcs11.ts";
export type { SpawnedHelper, SpawnHelper } from "./keystore/slots/pkcs11/helper-process.ts";
export type {
  PinCallback,
  PinRequest,
  Pkcs11Options,
  TokenInfo,
  TokenModuleOptions,
} from "./keystore/slots/pkcs11/token-options.ts";
export { recovery } from "./keystore/slots/recovery.ts";
export type { RestoredVault } from "./restore-vault.ts";
export type { RotatedRootKey, RotateRootKeyOptions } from "./rotate-root-key.ts";
export type { AutoLockOptions } from "./auto-lock.ts";
export type { Unlocker } from "./keystore/slots/way-in.ts";
export type { ByteStreamPair } from "./envelope/byte-stream.ts";
export type { DecryptedFile } from "./envelope/decrypt-file.ts";
export type { EncryptedFile } from "./envelope/encrypt-file.ts";
export type { FileInfo, FileKeyInfo } from "./envelope/file-info.ts";
export type { FileReader } from "./envelope/file-reader.ts";
export type { FileProgress, ProgressListener } from "./envelope/progress.ts";
export type { ByteRange } from "./envelope/range-streams.ts";
export {
  decryptFile,
  type DecryptFileWithoutVaultOptions,
  decryptStream,
  type DecryptStreamWithoutVaultOptions,
  encryptFile,
  type EncryptFileWithoutVaultOptions,
  encryptStream,
  type EncryptStreamWithoutVaultOptions,
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
export type { CancelKeyDeletionRequest, CancelKeyDeletionResponse } from "./kms/cancel-key-deletion.ts";
export type { CreateAliasRequest } from "./kms/create-alias.ts";
export type { CreateKeyRequest, CreateKeyResponse } from "./kms/create-key.ts";
export type { DecryptDataKeyRequest, DecryptDataKeyResponse } from "./kms/decrypt-data-key.ts";
export type { DecryptRequest, DecryptResponse } from "./kms/decrypt.ts";
export type { DeleteAliasRequest } from "./kms/delete-alias.ts";
export type { DescribeKeyRequest, DescribeKeyResponse } from "./kms/describe-key.ts";
export type { DisableKeyRotationRequest } from "./kms/disable-key-rotation.ts";
export type { DisableKeyRequest } from "./kms/disable-key.ts";
export type { EnableKeyRotationRequest } from "./kms/enable-key-rotation.ts";
export type { EnableKeyRequest } from "./kms/enable-key.ts";
export type { EncryptDataKeyRequest, EncryptDataKeyResponse } from "./kms/encrypt-data-key.ts";
export type { EncryptRequest, EncryptResponse } from "./kms/encrypt.ts";
export type {
  GenerateDataKeyWithoutPlaintextRequest,
  GenerateDataKeyWithoutPlaintextResponse,
} from "./kms/generate-data-key-without-plaintext.ts";
export type { GenerateDataKeyRequest, GenerateDataKeyResponse } from "./kms/generate-data-key.ts";
export type { GenerateRandomRequest, GenerateRandomResponse } from "./kms/generate-random.ts";
export type {
  GetKeyLastUsageRequest,
  GetKeyLastUsageResponse,
  KeyLastUsage,
} from "./kms/get-key-last-usage.ts";
export type {
  GetKeyRotationStatusRequest,
  GetKeyRotationStatusResponse,
} from "./kms/get-key-rotation-status.ts";
export type { KeyMetadata } from "./kms/key-metadata.ts";
export type { Kms } from "./kms/kms.ts";
export type { AliasListEntry, ListAliasesRequest, ListAliasesResponse } from "./kms/list-aliases.ts";
export type {
  KeyRotation,
  ListKeyRotationsRequest,
  ListKeyRotationsResponse,
} from "./kms/list-key-rotations.ts";
export type { KeyListEntry, ListKeysRequest, ListKeysResponse } from "./kms/list-keys.ts";
export type { ListResourceTagsRequest, ListResourceTagsResponse } from "./kms/list-resource-tags.ts";
export type { DryRun, DryRunResponse, InEarnest } from "./kms/operation.ts";
export type { PageEnd, PageRequest } from "./kms/page.ts";
export type { ReEncryptRequest, ReEncryptResponse } from "./kms/re-encrypt.ts";
export type { RotateKeyOnDemandRequest, RotateKeyOnDemandResponse } from "./kms/rotate-key-on-demand.ts";
export type { ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse } from "./kms/schedule-key-deletion.ts";
export type { SetDeletionProtectionRequest } from "./kms/set-deletion-protection.ts";
export type { TagResourceRequest } from "./kms/tag-resource.ts";
export type { Tag } from "./kms/tags.ts";
export type { UntagResourceRequest } from "./kms/untag-resource.ts";
export type { UpdateAliasRequest } from "./kms/update-alias.ts";
export type { UpdateKeyDescriptionRequest } from "./kms/update-key-description.ts";
export type { KeyState } from "./keystore/key-state.ts";
export type { LockHolder, SlotDescription, TokenHint, VaultDescription } from "./describe-vault.ts";
export type { LockReason, VaultEventName, VaultEvents, VaultListener, VaultNotice } from "./vault-events.ts";
export type {
  BackupOptions,
  CreateVaultOptions,
  OpenVaultOptions,
  RestoreVaultOptions,
  UnlockVaultOptions,
} from "./vault-options.ts";
export type { StoreMetadata } from "./formats/store-metadata.ts";
export type { ContentSource } from "./store/content-source.ts";
export type { ExportedTree, StoreExportOptions, ExportSkipReason } from "./store/export-options.ts";
export type { FileStore, StoreUsage } from "./store/file-store.ts";
export type { ImportedTree, StoreImportOptions, ImportSkipReason } from "./store/import-tree.ts";
export type { StoreEntry } from "./store/listing.ts";
export type { StoredFile } from "./store/read-content.ts";
export type { RecoveredStore } from "./store/lost-and-found.ts";
export type { ReencryptedFiles } from "./store/reencrypt-contents.ts";
export type { StoreRenewOptions, RewrappedStore } from "./store/renew-contents.ts";
export type {
  StoreCopyOptions,
  DamagedRange,
  StoreMoveOptions,
  StoreRemoveOptions,
  StoreCallOptions,
  StoreReadOptions,
  StoreWriteOptions,
} from "./store/store-options.ts";
export type { StoreProblem, StoreVerification, StoreVerifyOptions } from "./store/verify.ts";
export {
  type CreatedVault,
  type CreatedVaultWithoutRecovery,
  createVault,
  describeVault,
  openVault,
  restoreVault,
  Vault,
} from "./vault.ts";
export type { VaultState } from "./vault-locking.ts";
export type { AddedRecovery, VaultSlots } from "./vault-slots.ts";
