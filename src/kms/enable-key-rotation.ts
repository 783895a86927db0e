/**
 * EnableKeyRotation: fresh material at regular times; called again, it changes the period and counts from now.
 * Source: AWS KMS API, EnableKeyRotation.
 * @module
 */
import { optional, string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { DEFAULT_ROTATION_DAYS, MAX_ROTATION_DAYS, MIN_ROTATION_DAYS, MS_PER_DAY } from "../limits.ts";
import { assertRotates, keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { integerFrom, requestOf } from "./request.ts";

export interface EnableKeyRotationRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** 90 to 2,560. @defaultValue 365 */
  readonly rotationPeriodInDays?: number | undefined;
}

export interface EnableKeyRotationParameters extends CommonParameters {
  readonly keyId: string;
  readonly rotationPeriodInDays?: number | undefined;
}

export const enableKeyRotation: ChangingOperation<EnableKeyRotationParameters, void> = {
  name: "enableKeyRotation",
  accept: requestOf({
    keyId: string(),
    rotationPeriodInDays: optional(integerFrom(MIN_ROTATION_DAYS, MAX_ROTATION_DAYS)),
  }),
  plan(keystore, { keyId, rotationPeriodInDays = DEFAULT_ROTATION_DAYS }, transaction) {
    const key = keyOfId("enableKeyRotation", keystore, keyId, transaction);
    assertRotates(key);
    const rotateEvery = rotationPeriodInDays * MS_PER_DAY;
    putKey(transaction, keystore.keys, { ...key, rotateEvery, rotateAt: transaction.latestMs + rotateEvery });
  },
};
