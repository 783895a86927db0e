/**
 * ListKeyRotations: the versions of a key's material, the oldest first. Source: AWS KMS API, ListKeyRotations.
 * @module
 */
import { optional, picklist, string } from "valibot";
import { recordKey } from "../formats/records/record-key.ts";
import { type KeyRecord, TABLES, type VersionRecord } from "../formats/records/tables.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { MAX_PAGE } from "../limits.ts";
import { keyOfId } from "./key-argument.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { type PageEnd, readPage } from "./page.ts";
import { integerFrom, optionalText, requestOf } from "./request.ts";

const DEFAULT_LIMIT = 100;
/** `table ‖ h(key id)[16] ‖ u32 version`. */
const KEY_BYTES = 21;

export interface ListKeyRotationsRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
  /** `ALL_KEY_MATERIAL` lists the first version too, which no rotation made. @defaultValue `"ROTATIONS_ONLY"` */
  readonly includeKeyMaterial?: "ROTATIONS_ONLY" | "ALL_KEY_MATERIAL" | undefined;
  /** 1 to 1,000. @defaultValue 100 */
  readonly limit?: number | undefined;
  /** The `nextMarker` of the page before. @defaultValue from the beginning */
  readonly marker?: string | undefined;
}

export interface ListKeyRotationsResponse extends PageEnd {
  readonly rotations: readonly KeyRotation[];
}

export interface KeyRotation {
  /** UUID, lower case. */
  readonly keyId: string;
  /** The version that this rotation made. */
  readonly keyVersion: number;
  /** `CURRENT` encrypts; `NON_CURRENT` decrypts what it encrypted. */
  readonly keyMaterialState: "CURRENT" | "NON_CURRENT";
  /** When its material was made. */
  readonly rotationDate: Date;
  /** Absent for the first version. */
  readonly rotationType?: "AUTOMATIC" | "ON_DEMAND";
}

export interface ListKeyRotationsParameters extends CommonParameters {
  readonly keyId: string;
  readonly includeKeyMaterial?: "ROTATIONS_ONLY" | "ALL_KEY_MATERIAL" | undefined;
  readonly limit?: number | undefined;
  readonly marker?: string | undefined;
}

const ROTATION_TYPES: Readonly<Record<VersionRecord["kind"], KeyRotation["rotationType"]>> = {
  created: undefined,
  imported: undefined,
  automatic: "AUTOMATIC",
  "on-demand": "ON_DEMAND",
};

export const listKeyRotations: ReadingOperation<ListKeyRotationsParameters, ListKeyRotationsResponse> = {
  name: "listKeyRotations",
  accept: requestOf({
    keyId: string(),
    includeKeyMaterial: optional(picklist(["ROTATIONS_ONLY", "ALL_KEY_MATERIAL"])),
    limit: optional(integerFrom(1, MAX_PAGE)),
    marker: optionalText,
  }),
  perform(keystore, { keyId, includeKeyMaterial, limit = DEFAULT_LIMIT, marker }) {
    const key = keyOfId("listKeyRotations", keystore, keyId);
    const { records } = keystore;
    const page = {
      prefix: recordKey.versions(keystore.keys.name, key.id),
      keyBytes: KEY_BYTES,
      limit,
      marker,
      isFiltered: true,
    };
    const { items, end } = readPage(records, page, (levelKey) => {
      const version = records.get(TABLES.versions, levelKey);
      if (version === undefined) return undefined;
      const rotation = rotationOf(key, version);
      if (includeKeyMaterial !== "ALL_KEY_MATERIAL" && rotation.rotationType === undefined) return undefined;
      return rotation;
    });
    return { rotations: items, ...end };
  },
};

function rotationOf(key: KeyRecord, { version, created, kind }: VersionRecord): KeyRotation {
  const rotationType = ROTATION_TYPES[kind];
  return {
    keyId: formatKeyId(key.id),
    keyVersion: version,
    keyMaterialState: version === key.version ? "CURRENT" : "NON_CURRENT",
    rotationDate: new Date(created),
    ...(rotationType !== undefined && { rotationType }),
  };
}
