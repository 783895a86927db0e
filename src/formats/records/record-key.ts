/**
 * LevelDB keys: `u8 table ‖ rest`, with keyed hashes for names, so that the database shows none.
 * h(x) = HMAC-SHA-256(Kname, u8 table ‖ x)[0:16]. Source: docs/format.md#record-keys [F-81…F-86].
 * @module
 */
import { assertBytes, concat, equal, u32, u64, u8, utf8 } from "../../bytes.ts";
import { hmac } from "../../crypto/hmac.ts";
import { DamagedError } from "../../errors.ts";
import { ID_BYTES } from "../key-schedule.ts";
import { type RecordTable, TABLES, type TableRecords } from "./tables.ts";

const NAME_HASH_BYTES = 16;
const MIRROR_BIT = 0x80;

/** Builders, one a table. `kname` is the 32 bytes of `recordNameKey`; ids are 16 bytes; all are borrowed. */
export const recordKey = {
  state(): Uint8Array<ArrayBuffer> {
    return u8(TABLES.state);
  },
  key(kname: Uint8Array, keyId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.keys, keyId);
  },
  version(kname: Uint8Array, keyId: Uint8Array, version: number): Uint8Array<ArrayBuffer> {
    return concat(recordKey.versions(kname, keyId), u32(version));
  },
  /** Prefix of all versions of a CMK. */
  versions(kname: Uint8Array, keyId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.versions, keyId);
  },
  alias(kname: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
    return named(kname, TABLES.aliases, utf8(name));
  },
  tag(kname: Uint8Array, keyId: Uint8Array, tagKey: string): Uint8Array<ArrayBuffer> {
    return concat(recordKey.tags(kname, keyId), hash(kname, TABLES.tags, keyId, utf8(tagKey)));
  },
  /** Prefix of all tags of a CMK. */
  tags(kname: Uint8Array, keyId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.tags, keyId);
  },
  due(kname: Uint8Array, keyId: Uint8Array, what: "delete" | "rotate" | "expire"): Uint8Array<ArrayBuffer> {
    assertBytes("keyId", keyId, ID_BYTES);
    return named(kname, TABLES.due, keyId, utf8(what));
  },
  grant(kname: Uint8Array, keyId: Uint8Array, grantId: Uint8Array): Uint8Array<ArrayBuffer> {
    assertBytes("grantId", grantId, ID_BYTES);
    return concat(recordKey.grants(kname, keyId), grantId);
  },
  /** Prefix of all grants of a CMK. */
  grants(kname: Uint8Array, keyId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.grants, keyId);
  },
  accessKey(kname: Uint8Array, id: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.accessKeys, id);
  },
  import(kname: Uint8Array, id: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.imports, id);
  },
  setting(kname: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
    return named(kname, TABLES.settings, utf8(name));
  },
  tombstone(kname: Uint8Array, keyId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.tombstones, keyId);
  },
  entry(kname: Uint8Array, directoryId: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
    return concat(
      recordKey.entries(kname, directoryId),
      hash(kname, TABLES.entries, directoryId, utf8(name)),
    );
  },
  /** Prefix of all entries of a directory. */
  entries(kname: Uint8Array, directoryId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.entries, directoryId);
  },
  content(kname: Uint8Array, contentId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.contents, contentId);
  },
  garbage(kname: Uint8Array, id: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.garbage, id);
  },
  /** A page by the number of its first entry, so that pages lie in order. */
  auditPage(first: number): Uint8Array<ArrayBuffer> {
    return concat(u8(TABLES.audit), u64(first));
  },
  usage(kname: Uint8Array, keyId: Uint8Array): Uint8Array<ArrayBuffer> {
    return byId(kname, TABLES.usage, keyId);
  },
} as const;

const OWN_KEYS: {
  readonly [T in RecordTable]: (kname: Uint8Array, record: TableRecords[T]) => Uint8Array;
} = {
  0x01: () => recordKey.state(),
  0x02: (kname, { id }) => recordKey.key(kname, id),
  0x03: (kname, { id, version }) => recordKey.version(kname, id, version),
  0x04: (kname, { name }) => recordKey.alias(kname, name),
  0x05: (kname, { id, key }) => recordKey.tag(kname, id, key),
  0x06: (kname, { id, what }) => recordKey.due(kname, id, what),
  0x0a: (kname, { name }) => recordKey.setting(kname, name),
  0x0b: (kname, { id }) => recordKey.tombstone(kname, id),
  0x20: (kname, { dir, name }) => recordKey.entry(kname, dir, name),
  0x21: (kname, { id }) => recordKey.content(kname, id),
  0x22: (kname, { id }) => recordKey.garbage(kname, id),
  0x31: (kname, { id }) => recordKey.usage(kname, id),
};

/** True for a table whose records this release reads and writes. */
export function isKnownTable(table: number): table is RecordTable {
  return Object.hasOwn(OWN_KEYS, table);
}

/** Returns the LevelDB key that a record's own fields name. */
export function keyOfRecord<T extends RecordTable>(
  kname: Uint8Array,
  table: T,
  record: TableRecords[T],
): Uint8Array {
  return OWN_KEYS[table](kname, record);
}

/**
 * Checks that a record lies under the key that it names [F-86].
 * @throws DamagedError if it names another: the seal was right, so a writer went wrong.
 */
export function assertOwnKey<T extends RecordTable>(
  kname: Uint8Array,
  table: T,
  key: Uint8Array,
  record: TableRecords[T],
): void {
  if (equal(keyOfRecord(kname, table, record), mirroredKey(key) ?? key)) return;
  throw new DamagedError("A record of the database names another record. Restore the vault from a backup.", {
    details: { reason: "record", table },
  });
}

/** Returns the key of a record's mirror, or undefined for tables without one. */
export function mirrorKey(key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const table = key[0];
  if (table !== TABLES.keys && table !== TABLES.versions) return undefined;
  const mirror = new Uint8Array(key);
  mirror[0] = table | MIRROR_BIT;
  return mirror;
}

/** Returns the key that a mirror stands for, under which its value was sealed; undefined for what is no mirror. */
export function mirroredKey(key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  const table = key[0];
  if (table !== TABLES.keysMirror && table !== TABLES.versionsMirror) return undefined;
  const first = new Uint8Array(key);
  first[0] = table & ~MIRROR_BIT;
  return first;
}

/** Returns the first LevelDB key past all that begin with `prefix`. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = new Uint8Array(prefix);
  let last = end.length - 1;
  while (last > 0 && end[last] === 0xff) last -= 1;
  end[last] = (end[last] as number) + 1;
  return end.slice(0, last + 1);
}

function byId(kname: Uint8Array, table: number, id: Uint8Array): Uint8Array<ArrayBuffer> {
  assertBytes("id", id, ID_BYTES);
  return named(kname, table, id);
}

function named(kname: Uint8Array, table: number, ...name: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concat(u8(table), hash(kname, table, ...name));
}

function hash(kname: Uint8Array, table: number, ...name: readonly Uint8Array[]): Uint8Array {
  return hmac("sha256", kname, u8(table), ...name).subarray(0, NAME_HASH_BYTES);
}
