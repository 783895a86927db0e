/**
 * UntagResource: removes tags by their names; one that is not there is passed over. Source: AWS KMS API,
 * UntagResource.
 * @module
 */
import { array, string } from "valibot";
import { recordKey } from "../formats/records/record-key.ts";
import { TABLES } from "../formats/records/tables.ts";
import { MAX_TAGS } from "../limits.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";
import { assertTagKey, tooManyTags } from "./tags.ts";

export interface UntagResourceRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** Up to 50 names. */
  readonly tagKeys: readonly string[];
}

export interface UntagResourceParameters extends CommonParameters {
  readonly keyId: string;
  readonly tagKeys: readonly string[];
}

const request = requestOf({ keyId: string(), tagKeys: array(string()) });

export const untagResource: ChangingOperation<UntagResourceParameters, void> = {
  name: "untagResource",
  accept(input) {
    const parameters = request(input);
    if (parameters.tagKeys.length > MAX_TAGS) throw tooManyTags(parameters.tagKeys.length);
    for (const tagKey of parameters.tagKeys) assertTagKey(tagKey);
    return parameters;
  },
  plan(keystore, { keyId, tagKeys }, transaction) {
    const { id } = keyOfId("untagResource", keystore, keyId, transaction);
    for (const tagKey of tagKeys) {
      const levelKey = recordKey.tag(keystore.keys.name, id, tagKey);
      if (transaction.get(TABLES.tags, levelKey) !== undefined) transaction.delete(levelKey);
    }
  },
};
