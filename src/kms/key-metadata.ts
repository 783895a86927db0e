/**
 * What is told of a CMK, under AWS's names.
 * @module
 */
import { InvalidKeyUsageError } from "../errors.ts";
import type { KeyRecord } from "../formats/records/tables.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { assertKeyState, type KeyOperation, type KeyState } from "../keystore/key-state.ts";
import { ENCRYPT_DECRYPT, SYMMETRIC_DEFAULT } from "../keystore/new-key.ts";

/** A CMK as describeKey and createKey answer it. Source: AWS KMS API, KeyMetadata. */
export interface KeyMetadata {
  /** UUID, lower case. */
  readonly keyId: string;
  readonly creationDate: Date;
  /** True exactly in the state `Enabled`. */
  readonly enabled: boolean;
  readonly keyState: KeyState;
  /** Up to 8,192 UTF-8 bytes; may be empty. */
  readonly description: string;
  /** `ENCRYPT_DECRYPT`. Never changes. */
  readonly keyUsage: string;
  /** `SYMMETRIC_DEFAULT`: 256 bits. Never changes. */
  readonly keySpec: string;
  /** `COFFER_KMS`: its material was made by this vault. Never changes. */
  readonly origin: string;
  /** What encrypt and decrypt take: `SYMMETRIC_DEFAULT`. */
  readonly encryptionAlgorithms: readonly string[];
  /** The version whose material encrypts, from 1; rotation adds versions. */
  readonly keyVersion: number;
  /** While true, scheduleKeyDeletion is refused. */
  readonly deletionProtection: boolean;
  /** In the state `PendingDeletion`: when the key is deleted. */
  readonly deletionDate?: Date;
  /** In the state `PendingDeletion`: the waiting time that was chosen, in days. */
  readonly pendingDeletionWindowInDays?: number;
}

/** Returns a record in the words of the API, nothing of it shared. */
export function keyMetadataOf(key: KeyRecord): KeyMetadata {
  return {
    keyId: formatKeyId(key.id),
    creationDate: new Date(key.created),
    enabled: key.state === "Enabled",
    keyState: key.state,
    description: key.description,
    keyUsage: key.usage,
    keySpec: key.spec,
    origin: key.origin,
    encryptionAlgorithms: key.usage === ENCRYPT_DECRYPT ? [SYMMETRIC_DEFAULT] : [],
    keyVersion: key.version,
    deletionProtection: key.protected === true,
    ...(key.deleteAt !== undefined && { deletionDate: new Date(key.deleteAt) }),
    ...(key.window !== undefined && { pendingDeletionWindowInDays: key.window }),
  };
}

/**
 * Refuses an operation that the key's state does not allow.
 * @throws KeyDisabledError, InvalidKeyStateError as the key-state table has it.
 */
export function assertStateOf(operation: KeyOperation, key: KeyRecord): void {
  // Nearly always: no facts need to be gathered for a key that is in use.
  if (key.state === "Enabled" && operation !== "cancelKeyDeletion") return;
  assertKeyState(operation, { keyId: formatKeyId(key.id), state: key.state, deleteAtMs: key.deleteAt });
}

/** Refuses a key that is not for encryption. @throws InvalidKeyUsageError */
export function assertEncrypts(operation: string, key: KeyRecord): void {
  if (key.usage === ENCRYPT_DECRYPT) return;
  const keyId = formatKeyId(key.id);
  throw new InvalidKeyUsageError(
    `Key ${keyId} has the usage ${key.usage}, which is not valid for ${operation}. Name a key for ${ENCRYPT_DECRYPT}.`,
    { details: { keyId, keyUsage: key.usage } },
  );
}
