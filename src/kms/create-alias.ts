/**
 * CreateAlias. Source: AWS KMS API, CreateAlias.
 * @module
 */
import { string } from "valibot";
import { assertAliasName, parseKeyId } from "../keystore/key-reference.ts";
import { putNewAlias } from "../keystore/new-key.ts";
import { assertAliasIsFree } from "./create-key.ts";
import { assertStateOf } from "./key-metadata.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface CreateAliasRequest {
  /** `alias/` and up to 250 letters, digits and `: / _ -`; not `alias/aws/…`. */
  readonly aliasName: string;
  /** A key id; an alias is not taken. */
  readonly targetKeyId: string;
}

export interface CreateAliasParameters extends CommonParameters {
  readonly aliasName: string;
  readonly targetKeyId: string;
}

const request = requestOf({ aliasName: string(), targetKeyId: string() });

export const createAlias: ChangingOperation<CreateAliasParameters, void> = {
  name: "createAlias",
  accept(input) {
    const parameters = request(input);
    assertAliasName(parameters.aliasName);
    return parameters;
  },
  plan(keystore, { aliasName, targetKeyId }, transaction) {
    const key = keystore.key(parseKeyId(targetKeyId), transaction);
    assertAliasIsFree(keystore, aliasName, transaction);
    assertStateOf("createAlias", key);
    putNewAlias(transaction, keystore.keys, aliasName, key.id);
  },
};
