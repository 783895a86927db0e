/**
 * SetDeletionProtection: while it is on, scheduleKeyDeletion is refused. Source: Alibaba Cloud KMS API,
 * SetDeletionProtection.
 * @module
 */
import { boolean, string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface SetDeletionProtectionRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  readonly enableDeletionProtection: boolean;
}

export interface SetDeletionProtectionParameters extends CommonParameters {
  readonly keyId: string;
  readonly enableDeletionProtection: boolean;
}

export const setDeletionProtection: ChangingOperation<SetDeletionProtectionParameters, void> = {
  name: "setDeletionProtection",
  accept: requestOf({ keyId: string(), enableDeletionProtection: boolean() }),
  plan(keystore, { keyId, enableDeletionProtection }, transaction) {
    const key = keyOfId("setDeletionProtection", keystore, keyId, transaction);
    const { protected: _protected, ...rest } = key;
    putKey(transaction, keystore.keys, enableDeletionProtection ? { ...rest, protected: true } : rest);
  },
};
