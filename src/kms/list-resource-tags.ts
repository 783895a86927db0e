/**
 * ListResourceTags: the tags of a key, in the order of their records. Source: AWS KMS API, ListResourceTags.
 * @module
 */
import { optional, string } from "valibot";
import { recordKey } from "../formats/records/record-key.ts";
import { TABLES } from "../formats/records/tables.ts";
import { MAX_TAGS } from "../limits.ts";
import { keyOfId } from "./key-argument.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { type PageEnd, readPage } from "./page.ts";
import { integerFrom, optionalText, requestOf } from "./request.ts";
import type { Tag } from "./tags.ts";

/** `table ‖ h(key id)[16] ‖ h(key id ‖ tag key)[16]`. */
const KEY_BYTES = 33;

export interface ListResourceTagsRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** 1 to 50. @defaultValue 50 */
  readonly limit?: number | undefined;
  /** The `nextMarker` of the page before. @defaultValue from the beginning */
  readonly marker?: string | undefined;
}

export interface ListResourceTagsResponse extends PageEnd {
  readonly tags: readonly Tag[];
}

export interface ListResourceTagsParameters extends CommonParameters {
  readonly keyId: string;
  readonly limit?: number | undefined;
  readonly marker?: string | undefined;
}

export const listResourceTags: ReadingOperation<ListResourceTagsParameters, ListResourceTagsResponse> = {
  name: "listResourceTags",
  accept: requestOf({ keyId: string(), limit: optional(integerFrom(1, MAX_TAGS)), marker: optionalText }),
  perform(keystore, { keyId, limit = MAX_TAGS, marker }) {
    const { id } = keyOfId("listResourceTags", keystore, keyId);
    const prefix = recordKey.tags(keystore.keys.name, id);
    const { records } = keystore;
    const { items, end } = readPage(records, { prefix, keyBytes: KEY_BYTES, limit, marker }, (key) => {
      const record = records.get(TABLES.tags, key);
      return record && { tagKey: record.key, tagValue: record.value };
    });
    return { tags: items, ...end };
  },
};
