/**
 * TagResource: adds tags to a key, or gives present ones another value. Source: AWS KMS API, TagResource.
 * @module
 */
import { array, string } from "valibot";
import { hex } from "../bytes.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { TABLES } from "../formats/records/tables.ts";
import { MAX_TAGS } from "../limits.ts";
import { keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";
import { assertTags, type Tag, tagSchema, tooManyTags } from "./tags.ts";

export interface TagResourceRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** Each name once. A key has up to 50 tags altogether. */
  readonly tags: readonly Tag[];
}

export interface TagResourceParameters extends CommonParameters {
  readonly keyId: string;
  readonly tags: readonly Tag[];
}

const request = requestOf({ keyId: string(), tags: array(tagSchema) });

export const tagResource: ChangingOperation<TagResourceParameters, void> = {
  name: "tagResource",
  accept(input) {
    const parameters = request(input);
    assertTags(parameters.tags);
    return parameters;
  },
  plan(keystore, { keyId, tags }, transaction) {
    const { id } = keyOfId("tagResource", keystore, keyId, transaction);
    const { name } = keystore.keys;
    const names = new Set(transaction.keys({ prefix: recordKey.tags(name, id) }).map(hex));
    for (const { tagKey, tagValue } of tags) {
      const levelKey = recordKey.tag(name, id, tagKey);
      names.add(hex(levelKey));
      transaction.put(TABLES.tags, levelKey, { id, key: tagKey, value: tagValue });
    }
    if (names.size > MAX_TAGS) throw tooManyTags(names.size);
  },
};
