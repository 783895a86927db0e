/**
 * CancelKeyDeletion: the key is disabled afterwards, as in AWS, Huawei and Tencent KMS; enableKey puts it back into
 * use. Source: AWS KMS API, CancelKeyDeletion.
 * @module
 */
import { string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface CancelKeyDeletionRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface CancelKeyDeletionResponse {
  /** UUID, lower case. */
  readonly keyId: string;
}

export interface CancelKeyDeletionParameters extends CommonParameters {
  readonly keyId: string;
}

export const cancelKeyDeletion: ChangingOperation<CancelKeyDeletionParameters, CancelKeyDeletionResponse> = {
  name: "cancelKeyDeletion",
  accept: requestOf({ keyId: string() }),
  plan(keystore, { keyId }, transaction) {
    const key = keyOfId("cancelKeyDeletion", keystore, keyId, transaction);
    const { deleteAt: _deleteAt, window: _window, ...kept } = key;
    const hasMaterial =
      key.version > 0 && keystore.version(key.id, key.version, transaction)?.sealed !== undefined;
    putKey(transaction, keystore.keys, { ...kept, state: hasMaterial ? "Disabled" : "PendingImport" });
    return { keyId: formatKeyId(key.id) };
  },
};
