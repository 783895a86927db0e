/**
 * ScheduleKeyDeletion: the key is blocked at once and deleted after a waiting time, with its aliases and tags.
 * Source: AWS KMS API, ScheduleKeyDeletion; the longest window is Alibaba's.
 * @module
 */
import { optional, string } from "valibot";
import { InvalidKeyStateError } from "../errors.ts";
import { putKey } from "../keystore/key-changes.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { DEFAULT_DELETION_DAYS, MAX_DELETION_DAYS, MIN_DELETION_DAYS, MS_PER_DAY } from "../limits.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { integerFrom, requestOf } from "./request.ts";

export interface ScheduleKeyDeletionRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** Waiting time in days, 7 to 366. @defaultValue 30 */
  readonly pendingWindowInDays?: number | undefined;
}

export interface ScheduleKeyDeletionResponse {
  /** UUID, lower case. */
  readonly keyId: string;
  /** When the key is deleted, unless that is cancelled before. */
  readonly deletionDate: Date;
  readonly keyState: "PendingDeletion";
  readonly pendingWindowInDays: number;
}

export interface ScheduleKeyDeletionParameters extends CommonParameters {
  readonly keyId: string;
  readonly pendingWindowInDays?: number | undefined;
}

export const scheduleKeyDeletion: ChangingOperation<
  ScheduleKeyDeletionParameters,
  ScheduleKeyDeletionResponse
> = {
  name: "scheduleKeyDeletion",
  accept: requestOf({
    keyId: string(),
    pendingWindowInDays: optional(integerFrom(MIN_DELETION_DAYS, MAX_DELETION_DAYS)),
  }),
  plan(keystore, { keyId, pendingWindowInDays = DEFAULT_DELETION_DAYS }, transaction) {
    const key = keyOfId("scheduleKeyDeletion", keystore, keyId, transaction);
    if (key.protected === true) throw isProtected(formatKeyId(key.id));
    const deleteAt = transaction.latestMs + pendingWindowInDays * MS_PER_DAY;
    putKey(transaction, keystore.keys, {
      ...key,
      state: "PendingDeletion",
      deleteAt,
      window: pendingWindowInDays,
    });
    return {
      keyId: formatKeyId(key.id),
      deletionDate: new Date(deleteAt),
      keyState: "PendingDeletion",
      pendingWindowInDays,
    };
  },
};

function isProtected(keyId: string): InvalidKeyStateError {
  return new InvalidKeyStateError(
    `Key ${keyId} is protected from deletion. Switch that off with setDeletionProtection first.`,
    { details: { keyId, reason: "deletion-protection" } },
  );
}
