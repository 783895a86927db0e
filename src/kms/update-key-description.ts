/**
 * UpdateKeyDescription. Source: AWS KMS API, UpdateKeyDescription.
 * @module
 */
import { string } from "valibot";
import { putKey } from "../keystore/key-changes.ts";
import { assertDescription } from "./create-key.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface UpdateKeyDescriptionRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** Up to 8,192 UTF-8 bytes; may be empty. */
  readonly description: string;
}

export interface UpdateKeyDescriptionParameters extends CommonParameters {
  readonly keyId: string;
  readonly description: string;
}

const request = requestOf({ keyId: string(), description: string() });

export const updateKeyDescription: ChangingOperation<UpdateKeyDescriptionParameters, void> = {
  name: "updateKeyDescription",
  accept(input) {
    const parameters = request(input);
    assertDescription(parameters.description);
    return parameters;
  },
  plan(keystore, { keyId, description }, transaction) {
    const key = keyOfId("updateKeyDescription", keystore, keyId, transaction);
    putKey(transaction, keystore.keys, { ...key, description });
  },
};
