/**
 * ListAliases: all of them or those of one key, in the order of their records. Source: AWS KMS API, ListAliases.
 * @module
 */
import { optional } from "valibot";
import { equal } from "../bytes.ts";
import { type AliasRecord, TABLES } from "../formats/records/tables.ts";
import { formatKeyId, parseKeyId } from "../keystore/key-reference.ts";
import { assertStateOf } from "./key-metadata.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { type PageEnd, readPage } from "./page.ts";
import { integerFrom, optionalText, requestOf } from "./request.ts";

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 100;
/** `table ‖ h(name)[16]`. */
const KEY_BYTES = 17;

export interface ListAliasesRequest {
  /** A key id: only its aliases. A page may then hold fewer than `limit`, or none, and still be truncated. */
  readonly keyId?: string | undefined;
  /** 1 to 100. @defaultValue 50 */
  readonly limit?: number | undefined;
  /** The `nextMarker` of the page before. @defaultValue from the beginning */
  readonly marker?: string | undefined;
}

export interface ListAliasesResponse extends PageEnd {
  readonly aliases: readonly AliasListEntry[];
}

export interface AliasListEntry {
  /** With its `alias/`. */
  readonly aliasName: string;
  /** UUID, lower case. */
  readonly targetKeyId: string;
  readonly creationDate: Date;
  /** When updateAlias was last called; the creation date before that. */
  readonly lastUpdatedDate: Date;
}

export interface ListAliasesParameters extends CommonParameters {
  readonly keyId?: string | undefined;
  readonly limit?: number | undefined;
  readonly marker?: string | undefined;
}

export const listAliases: ReadingOperation<ListAliasesParameters, ListAliasesResponse> = {
  name: "listAliases",
  accept: requestOf({
    keyId: optionalText,
    limit: optional(integerFrom(1, MAX_LIMIT)),
    marker: optionalText,
  }),
  perform(keystore, { keyId, limit = DEFAULT_LIMIT, marker }) {
    const { records } = keystore;
    const owner = keyId === undefined ? undefined : keystore.key(parseKeyId(keyId));
    if (owner !== undefined) assertStateOf("listAliases", owner);
    const page = {
      prefix: Uint8Array.of(TABLES.aliases),
      keyBytes: KEY_BYTES,
      limit,
      marker,
      isFiltered: owner !== undefined,
    };
    const { items, end } = readPage(records, page, (key) => {
      const record = records.get(TABLES.aliases, key);
      if (record === undefined || (owner !== undefined && !equal(record.keyId, owner.id))) return undefined;
      return entryOf(record);
    });
    return { aliases: items, ...end };
  },
};

function entryOf({ name, keyId, created, updated }: AliasRecord): AliasListEntry {
  return {
    aliasName: name,
    targetKeyId: formatKeyId(keyId),
    creationDate: new Date(created),
    lastUpdatedDate: new Date(updated),
  };
}
