/**
 * DisableKeyRotation: no more automatic rotation; idempotent. All versions stay. Source: AWS KMS API,
 * DisableKeyRotation.
 * @module
 */
import { string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { assertRotates, keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface DisableKeyRotationRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface DisableKeyRotationParameters extends CommonParameters {
  readonly keyId: string;
}

export const disableKeyRotation: ChangingOperation<DisableKeyRotationParameters, void> = {
  name: "disableKeyRotation",
  accept: requestOf({ keyId: string() }),
  plan(keystore, { keyId }, transaction) {
    const key = keyOfId("disableKeyRotation", keystore, keyId, transaction);
    assertRotates(key);
    const { rotateEvery: _rotateEvery, rotateAt: _rotateAt, ...rest } = key;
    putKey(transaction, keystore.keys, rest);
  },
};
