/**
 * DeleteAlias: the key stays as it is. Source: AWS KMS API, DeleteAlias.
 * @module
 */
import { string } from "valibot";
import { recordKey } from "../formats/records/record-key.ts";
import { assertAliasName } from "../keystore/key-reference.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface DeleteAliasRequest {
  /** An alias that exists. */
  readonly aliasName: string;
}

export interface DeleteAliasParameters extends CommonParameters {
  readonly aliasName: string;
}

const request = requestOf({ aliasName: string() });

export const deleteAlias: ChangingOperation<DeleteAliasParameters, void> = {
  name: "deleteAlias",
  accept(input) {
    const parameters = request(input);
    assertAliasName(parameters.aliasName);
    return parameters;
  },
  plan(keystore, { aliasName }, transaction) {
    if (keystore.alias(aliasName, transaction) === undefined) {
      throw keystore.unknownAlias(aliasName, transaction);
    }
    transaction.delete(recordKey.alias(keystore.keys.name, aliasName));
  },
};
