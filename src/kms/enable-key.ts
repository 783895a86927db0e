/**
 * EnableKey: idempotent. A rotation that became due meanwhile happens before the next call. Source: AWS KMS API, EnableKey.
 * @module
 */
import { string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface EnableKeyRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface EnableKeyParameters extends CommonParameters {
  readonly keyId: string;
}

export const enableKey: ChangingOperation<EnableKeyParameters, void> = {
  name: "enableKey",
  accept: requestOf({ keyId: string() }),
  plan(keystore, { keyId }, transaction) {
    const key = keyOfId("enableKey", keystore, keyId, transaction);
    if (key.state !== "Enabled") putKey(transaction, keystore.keys, { ...key, state: "Enabled" });
  },
};
