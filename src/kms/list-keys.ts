/**
 * ListKeys: all CMKs in whatever state, in the order of their records. Source: AWS KMS API, ListKeys.
 * @module
 */
import { optional } from "valibot";
import { TABLES } from "../formats/records/tables.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { MAX_PAGE } from "../limits.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { type PageEnd, readPage } from "./page.ts";
import { integerFrom, optionalText, requestOf } from "./request.ts";

const DEFAULT_LIMIT = 100;
/** `table ‖ h(key id)[16]`. */
const KEY_BYTES = 17;

export interface ListKeysRequest {
  /** 1 to 1,000. @defaultValue 100 */
  readonly limit?: number | undefined;
  /** The `nextMarker` of the page before. @defaultValue from the beginning */
  readonly marker?: string | undefined;
}

export interface ListKeysResponse extends PageEnd {
  readonly keys: readonly KeyListEntry[];
}

export interface KeyListEntry {
  /** UUID, lower case. */
  readonly keyId: string;
}

export interface ListKeysParameters extends CommonParameters {
  readonly limit?: number | undefined;
  readonly marker?: string | undefined;
}

export const listKeys: ReadingOperation<ListKeysParameters, ListKeysResponse> = {
  name: "listKeys",
  accept: requestOf({ limit: optional(integerFrom(1, MAX_PAGE)), marker: optionalText }),
  perform({ records }, { limit = DEFAULT_LIMIT, marker }) {
    const prefix = Uint8Array.of(TABLES.keys);
    const { items, end } = readPage(records, { prefix, keyBytes: KEY_BYTES, limit, marker }, (key) => {
      const record = records.get(TABLES.keys, key);
      return record && { keyId: formatKeyId(record.id) };
    });
    return { keys: items, ...end };
  },
};
