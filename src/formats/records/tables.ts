/**
 * The records of the database, one type a table, and their CBOR. Times are ms since 1970; ids are 16 bytes.
 * Source: docs/format.md#tables [F-80…F-86].
 * @module
 */
import { hex } from "../../bytes.ts";
import { MalformedError } from "../../crypto/failures.ts";
import { DamagedError } from "../../errors.ts";
import {
  MAX_ALIAS_LENGTH,
  MAX_DESCRIPTION_BYTES,
  MAX_ENCRYPT_BYTES,
  MAX_METADATA_BYTES,
  MAX_TAG_KEY_LENGTH,
  MAX_TAG_VALUE_LENGTH,
} from "../../limits.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../cbor.ts";
import { ID_BYTES } from "../key-schedule.ts";
import { isStorePart } from "../store-path.ts";
import { bytes, flag, oneOf, optional, type Shape, struct, text, textThat, uint } from "./shape.ts";

/** Table numbers: the first byte of a LevelDB key. */
export const TABLES = {
  state: 0x01,
  keys: 0x02,
  versions: 0x03,
  aliases: 0x04,
  tags: 0x05,
  due: 0x06,
  grants: 0x07,
  accessKeys: 0x08,
  imports: 0x09,
  settings: 0x0a,
  tombstones: 0x0b,
  entries: 0x20,
  contents: 0x21,
  garbage: 0x22,
  audit: 0x30,
  usage: 0x31,
  keysMirror: 0x82,
  versionsMirror: 0x83,
} as const;

/** Count and sum of one table's records. */
export interface TableSum {
  readonly count: number;
  /** 32 bytes; see set-sum.ts. */
  readonly sum: Uint8Array;
}

/** Table 01: one record, written with every batch. */
export interface StateRecord {
  /** Number of this batch. */
  readonly sequence: number;
  /** The largest header generation known to be durable in both copies. */
  readonly witness: number;
  /** Never falls. */
  readonly time: number;
  /** A clock reading too far ahead to be believed yet. */
  readonly leap?: number;
  /** By table number; a table without records is absent. Tables 01, 30, 31 and the mirrors have no sum. */
  readonly sets: ReadonlyMap<number, TableSum>;
  readonly audit: AuditState;
}

export interface AuditState {
  /** Number of the first entry that is kept, and of the next to come. */
  readonly first: number;
  readonly next: number;
  /** Chain head before the first page that is kept, and after the last; 32 bytes each. */
  readonly base: Uint8Array;
  readonly head: Uint8Array;
}

/** Table 02: a CMK. */
export interface KeyRecord {
  readonly id: Uint8Array;
  readonly created: number;
  readonly description: string;
  readonly spec: string;
  readonly usage: string;
  readonly origin: string;
  readonly state: "Enabled" | "Disabled" | "PendingDeletion" | "PendingImport";
  /** The current version; 0 while there is none. */
  readonly version: number;
  /** 32 bytes: HMAC key of the material's fingerprint. */
  readonly fingerprintKey: Uint8Array;
  /** How many on-demand rotations were made. */
  readonly onDemand: number;
  readonly protected?: boolean;
  readonly exportable?: boolean;
  readonly deleteAt?: number;
  /** Waiting time of a deletion, in days. */
  readonly window?: number;
  /** Rotation period, in ms, and the next date. */
  readonly rotateEvery?: number;
  readonly rotateAt?: number;
}

/** Table 03: one version of a CMK's material. */
export interface VersionRecord {
  /** The CMK's id. */
  readonly id: Uint8Array;
  readonly version: number;
  readonly created: number;
  readonly kind: "created" | "automatic" | "on-demand" | "imported";
  /** 32 bytes. */
  readonly materialId?: Uint8Array;
  readonly expires?: number;
  /** DER SubjectPublicKeyInfo of an asymmetric key. */
  readonly spki?: Uint8Array;
  /** SEAL of the material; absent once deleted or expired. */
  readonly sealed?: Uint8Array;
}

/** Table 04: an alias; the name with its `alias/`. */
export interface AliasRecord {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly created: number;
  readonly updated: number;
}

/** Table 05: one tag of a CMK. */
export interface TagRecord {
  readonly id: Uint8Array;
  readonly key: string;
  readonly value: string;
}

/** Table 06: what happens to a CMK by itself, so that open need not read every key. */
export interface DueRecord {
  readonly id: Uint8Array;
  readonly what: "delete" | "rotate" | "expire";
  readonly at: number;
}

/** Table 0A: the vault's own settings. */
export interface SettingRecord {
  readonly name: "vault";
  readonly created: number;
  /** The account part of ARNs. */
  readonly account: string;
}

/** Table 0B: a CMK that was deleted. */
export interface TombstoneRecord {
  readonly id: Uint8Array;
  readonly created: number;
  readonly deleted: number;
}

/** Table 20: a name in a directory of the file store. */
export interface EntryRecord {
  /** Id of the directory that it lies in; of the topmost one 16 zero bytes. */
  readonly dir: Uint8Array;
  /** One part of a path, in NFC. */
  readonly name: string;
  readonly kind: "file" | "directory";
  /** The directory's own id, or that of the file's content. */
  readonly id: Uint8Array;
  /** Plaintext bytes of a file; 0 for a directory. */
  readonly size: number;
  readonly created: number;
  readonly modified: number;
  /** Blob of a small content. A larger one has a record in table 21; an empty one has neither. */
  readonly blob?: Uint8Array;
  /** Canonical bytes of a string-to-string map. */
  readonly metadata?: Uint8Array;
}

/** Table 21: a content that lies in an object. Never changed, so that there is no older one to put back. */
export interface ContentRecord {
  /** Also the object's file id. */
  readonly id: Uint8Array;
  /** Plaintext bytes. */
  readonly length: number;
  /** 32 bytes: the tag of the object's FLOE header, which commits to its data key and its body. */
  readonly headerTag: Uint8Array;
}

/** Table 22: what no name leads to, and is to be removed when nobody uses it any more. */
export interface GarbageRecord {
  readonly id: Uint8Array;
  readonly kind: "content" | "directory";
}

/** Table 31: last use of a CMK. */
export interface UsageRecord {
  readonly id: Uint8Array;
  readonly operation: string;
  readonly time: number;
}

/** Records by table number. */
export interface TableRecords {
  0x01: StateRecord;
  0x02: KeyRecord;
  0x03: VersionRecord;
  0x04: AliasRecord;
  0x05: TagRecord;
  0x06: DueRecord;
  0x0a: SettingRecord;
  0x0b: TombstoneRecord;
  0x20: EntryRecord;
  0x21: ContentRecord;
  0x22: GarbageRecord;
  0x31: UsageRecord;
}

/** A table whose records this release reads and writes. */
export type RecordTable = keyof TableRecords;

/** A table of the file store: summed, but not looked through at open. */
export type FileTable = typeof TABLES.entries | typeof TABLES.contents | typeof TABLES.garbage;

/** First table of the file store, and the first past them. */
export const FIRST_FILE_TABLE = 0x20;
export const PAST_FILE_TABLES = 0x30;

export function isFileTable(table: number): table is FileTable {
  return table >= FIRST_FILE_TABLE && table < PAST_FILE_TABLES;
}

const HASH_BYTES = 32;
const MAX_VERSION = 0xffff_ffff;
const MAX_NAME_BYTES = 64;
const MAX_SPKI_BYTES = 4096;
const MAX_SEALED_BYTES = 8192;
const UTF8_BYTES_A_UNIT = 3;
/** A COB of the longest plaintext. */
const MAX_BLOB_BYTES = MAX_ENCRYPT_BYTES + 104;

const id = bytes(ID_BYTES);
const time = uint();
/** What a Date holds: files have times of their own making. */
const fileTime = uint(8_640_000_000_000_000);

/** `{"02": [count, sum], …}` ↔ Map by number. Only tables that have a sum. */
const sets: Shape<ReadonlyMap<number, TableSum>> = {
  read(value, field) {
    if (!(value instanceof Map)) throw new MalformedError(field);
    const sums = new Map<number, TableSum>();
    for (const [name, item] of value as ReadonlyMap<string, CborValue>) {
      if (!/^(?:0[2-9A-F]|2[0-9A-F])$/u.test(name) || !Array.isArray(item) || item.length !== 2) {
        throw new MalformedError(field);
      }
      const [count, sum] = item as [CborValue, CborValue];
      sums.set(Number.parseInt(name, 16), {
        count: uint().read(count, field),
        sum: bytes(HASH_BYTES).read(sum, field),
      });
    }
    return sums;
  },
  write: (sums) =>
    new Map(
      [...sums].map(([table, { count, sum }]) => [hex(Uint8Array.of(table)).toUpperCase(), [count, sum]]),
    ),
};

const SHAPES: { readonly [T in RecordTable]: Shape<TableRecords[T]> } = {
  0x01: struct<StateRecord>({
    sequence: uint(),
    witness: uint(),
    time,
    leap: optional(time),
    sets,
    audit: struct<AuditState>({
      first: uint(),
      next: uint(),
      base: bytes(HASH_BYTES),
      head: bytes(HASH_BYTES),
    }),
  }),
  0x02: struct<KeyRecord>({
    id,
    created: time,
    description: text(MAX_DESCRIPTION_BYTES, 0),
    spec: text(MAX_NAME_BYTES),
    usage: text(MAX_NAME_BYTES),
    origin: text(MAX_NAME_BYTES),
    state: oneOf("Enabled", "Disabled", "PendingDeletion", "PendingImport"),
    version: uint(MAX_VERSION),
    fingerprintKey: bytes(HASH_BYTES),
    onDemand: uint(MAX_VERSION),
    protected: optional(flag()),
    exportable: optional(flag()),
    deleteAt: optional(time),
    window: optional(uint(MAX_VERSION)),
    rotateEvery: optional(time),
    rotateAt: optional(time),
  }),
  0x03: struct<VersionRecord>({
    id,
    version: uint(MAX_VERSION),
    created: time,
    kind: oneOf("created", "automatic", "on-demand", "imported"),
    materialId: optional(bytes(HASH_BYTES)),
    expires: optional(time),
    spki: optional(bytes(MAX_SPKI_BYTES, 1)),
    sealed: optional(bytes(MAX_SEALED_BYTES, 1)),
  }),
  0x04: struct<AliasRecord>({ name: text(MAX_ALIAS_LENGTH), keyId: id, created: time, updated: time }),
  0x05: struct<TagRecord>({
    id,
    key: text(UTF8_BYTES_A_UNIT * MAX_TAG_KEY_LENGTH),
    value: text(UTF8_BYTES_A_UNIT * MAX_TAG_VALUE_LENGTH, 0),
  }),
  0x06: struct<DueRecord>({ id, what: oneOf("delete", "rotate", "expire"), at: time }),
  0x0a: struct<SettingRecord>({ name: oneOf("vault"), created: time, account: text(MAX_NAME_BYTES) }),
  0x0b: struct<TombstoneRecord>({ id, created: time, deleted: time }),
  0x20: struct<EntryRecord>({
    dir: id,
    name: textThat(isStorePart),
    kind: oneOf("file", "directory"),
    id,
    size: uint(),
    created: fileTime,
    modified: fileTime,
    blob: optional(bytes(MAX_BLOB_BYTES, 1)),
    metadata: optional(bytes(MAX_METADATA_BYTES, 1)),
  }),
  0x21: struct<ContentRecord>({ id, length: uint(), headerTag: bytes(HASH_BYTES) }),
  0x22: struct<GarbageRecord>({ id, kind: oneOf("content", "directory") }),
  0x31: struct<UsageRecord>({ id, operation: text(MAX_NAME_BYTES), time }),
};

/** Returns a record's CBOR. @throws TypeError for a record that does not fit its table: the caller checked user input. */
export function encodeRecord<T extends RecordTable>(
  table: T,
  record: TableRecords[T],
): Uint8Array<ArrayBuffer> {
  try {
    return encodeCbor(SHAPES[table].write(record, "record"));
  } catch (error) {
    if (error instanceof MalformedError)
      throw new TypeError(`record of table ${table}: ${error.field} does not fit`, { cause: error });
    throw error;
  }
}

/**
 * Returns the record of opened bytes.
 * @throws DamagedError unless they are canonical CBOR with exactly the fields of the table.
 */
export function decodeRecord<T extends RecordTable>(table: T, cbor: Uint8Array): TableRecords[T] {
  try {
    return SHAPES[table].read(decodeCbor(cbor), "record");
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new DamagedError(
      "A record of the database is not in the form of its table. Restore the vault from a backup.",
      {
        cause: error,
        details: { reason: "record", table, field: error.field ?? "record" },
      },
    );
  }
}
