/**
 * DisableKey: idempotent. Nothing is encrypted or decrypted with the key until it is enabled. Source: AWS KMS API, DisableKey.
 * @module
 */
import { string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface DisableKeyRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface DisableKeyParameters extends CommonParameters {
  readonly keyId: string;
}

export const disableKey: ChangingOperation<DisableKeyParameters, void> = {
  name: "disableKey",
  accept: requestOf({ keyId: string() }),
  plan(keystore, { keyId }, transaction) {
    const key = keyOfId("disableKey", keystore, keyId, transaction);
    if (key.state !== "Disabled") putKey(transaction, keystore.keys, { ...key, state: "Disabled" });
  },
};
