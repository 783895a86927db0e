/**
 * The key-state table: which operation a CMK allows in which state. Code and tests read this one table.
 * Source: AWS KMS developer guide, "Key states of KMS keys"; where it leaves a choice ("DisabledException or
 * KMSInvalidStateException"), a key pending deletion answers with its state, not as disabled.
 * @module
 */
import { InvalidKeyStateError, KeyDisabledError } from "../errors.ts";

export const KEY_STATES = ["Enabled", "Disabled", "PendingDeletion", "PendingImport"] as const;

/** State of a CMK, under the name that the AWS API gives it. */
export type KeyState = (typeof KEY_STATES)[number];

/** What the table answers: go on, `COFFER_KEY_DISABLED`, or `COFFER_INVALID_KEY_STATE`. */
export type StateVerdict = "ok" | "disabled" | "invalid";

/** What one operation answers in each state. */
export type StateRow = Readonly<Record<KeyState, StateVerdict>>;

const row = (
  Enabled: StateVerdict,
  Disabled: StateVerdict,
  PendingDeletion: StateVerdict,
  PendingImport: StateVerdict,
): StateRow => ({ Enabled, Disabled, PendingDeletion, PendingImport });

const CRYPTOGRAPHIC = row("ok", "disabled", "invalid", "invalid");
const ALWAYS = row("ok", "ok", "ok", "ok");
const UNLESS_PENDING_DELETION = row("ok", "ok", "invalid", "ok");
const ONLY_WITH_MATERIAL = row("ok", "ok", "invalid", "invalid");

/** An operation that names a key. */
export type KeyOperation =
  | "encrypt"
  | "decrypt"
  | "reEncryptFrom"
  | "reEncryptTo"
  | "generateDataKey"
  | "generateDataKeyWithoutPlaintext"
  | "encryptDataKey"
  | "decryptDataKey"
  | "describeKey"
  | "listAliases"
  | "deleteAlias"
  | "listResourceTags"
  | "getKeyLastUsage"
  | "listKeyRotations"
  | "getKeyRotationStatus"
  | "createAlias"
  | "updateAlias"
  | "tagResource"
  | "untagResource"
  | "updateKeyDescription"
  | "setDeletionProtection"
  | "enableKey"
  | "disableKey"
  | "enableKeyRotation"
  | "disableKeyRotation"
  | "rotateKeyOnDemand"
  | "scheduleKeyDeletion"
  | "cancelKeyDeletion";

/** One row an operation; columns are the states. */
export const KEY_STATE_TABLE: Readonly<Record<KeyOperation, StateRow>> = {
  encrypt: CRYPTOGRAPHIC,
  decrypt: CRYPTOGRAPHIC,
  reEncryptFrom: CRYPTOGRAPHIC,
  reEncryptTo: CRYPTOGRAPHIC,
  generateDataKey: CRYPTOGRAPHIC,
  generateDataKeyWithoutPlaintext: CRYPTOGRAPHIC,
  encryptDataKey: CRYPTOGRAPHIC,
  decryptDataKey: CRYPTOGRAPHIC,
  describeKey: ALWAYS,
  listAliases: ALWAYS,
  deleteAlias: ALWAYS,
  listResourceTags: ALWAYS,
  getKeyLastUsage: ALWAYS,
  listKeyRotations: ALWAYS,
  getKeyRotationStatus: row("ok", "ok", "ok", "invalid"),
  createAlias: UNLESS_PENDING_DELETION,
  /** Judges the alias's new target; the old one may be in any state. */
  updateAlias: UNLESS_PENDING_DELETION,
  tagResource: UNLESS_PENDING_DELETION,
  untagResource: UNLESS_PENDING_DELETION,
  updateKeyDescription: UNLESS_PENDING_DELETION,
  setDeletionProtection: UNLESS_PENDING_DELETION,
  enableKey: ONLY_WITH_MATERIAL,
  disableKey: ONLY_WITH_MATERIAL,
  enableKeyRotation: CRYPTOGRAPHIC,
  disableKeyRotation: CRYPTOGRAPHIC,
  rotateKeyOnDemand: CRYPTOGRAPHIC,
  scheduleKeyDeletion: UNLESS_PENDING_DELETION,
  cancelKeyDeletion: row("invalid", "invalid", "ok", "invalid"),
};

/** What the table needs to know of a key, and what the message tells. */
export interface KeyStateFacts {
  readonly keyId: string;
  readonly state: KeyState;
  /** Milliseconds since 1970, while the state is `PendingDeletion`. */
  readonly deleteAtMs?: number | undefined;
}

/**
 * Refuses an operation that the key's state does not allow.
 * @throws KeyDisabledError for a disabled key. @throws InvalidKeyStateError for any other wrong state.
 */
export function assertKeyState(operation: KeyOperation, { keyId, state, deleteAtMs }: KeyStateFacts): void {
  const verdict: StateVerdict = KEY_STATE_TABLE[operation][state];
  if (verdict === "ok") return;
  const details = { keyId, keyState: state, operation };
  if (verdict === "disabled") {
    throw new KeyDisabledError(`Key ${keyId} is disabled. Enable it with enableKey, or name another key.`, {
      details,
    });
  }
  if (state === "PendingDeletion") {
    const when = deleteAtMs === undefined ? "" : ` on ${new Date(deleteAtMs).toISOString()}`;
    throw new InvalidKeyStateError(
      `Key ${keyId} is pending deletion${when}. Call cancelKeyDeletion, then enableKey, to keep and use it.`,
      { details },
    );
  }
  if (state === "PendingImport") {
    throw new InvalidKeyStateError(`Key ${keyId} is pending import. Import its key material first.`, {
      details,
    });
  }
  throw new InvalidKeyStateError(`Key ${keyId} is not pending deletion. There is nothing to cancel.`, {
    details,
  });
}
