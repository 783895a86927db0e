/**
 * The key area of an envelope file: who can open it. Two areas lie one after the other, at rest with the same bytes.
 * Layout: `"COFK" ‖ u32 generation ‖ u16 count ‖ u16 U ‖ entries[U] ‖ HMAC-SHA-256[32] ‖ zeros`; an entry is
 * `u8 type ‖ u8 0 ‖ u16 length ‖ value`: type 1 a COB of the DEK, type 2 `u16 H ‖ slot header[H] ‖ SEAL[104]`.
 * Source: docs/format.md#key-areas [F-210…F-219].
 * @module
 */
import { assertBytes, concat, copy, equal, hex, readU16, readU32, u16, u32, u8, utf8 } from "../bytes.ts";
import { hmac } from "../crypto/hmac.ts";
import { open, seal, SEAL_OVERHEAD_BYTES } from "../crypto/seal.ts";
import { isCofferError, LimitExceededError } from "../errors.ts";
import { wipe } from "../secret.ts";
import { BLOB_OVERHEAD_BYTES, parseBlob, type ParsedBlob } from "./blob.ts";
import { fileSlotContext, fileSlotKek, ID_BYTES, KEY_BYTES } from "./key-schedule.ts";
import { parseSlotHeader, SLOT_PREFIX_BYTES, type SlotHeader } from "./slot-header.ts";

/** Entries of one file. */
export const MAX_KEY_ENTRIES = 8;

const MAGIC = utf8("COFK");
const GENERATION_OFFSET = 4;
const COUNT_OFFSET = 8;
const ENTRIES_LENGTH_OFFSET = 10;
const ENTRIES_OFFSET = 12;
const MAC_BYTES = 32;
const ENTRY_HEAD_BYTES = 4;
const MAX_GENERATION = 2 ** 32 - 1;
const ENTRY_TYPES = { blob: 1, slot: 2 } as const;
const SEALED_KEY_BYTES: number = KEY_BYTES + SEAL_OVERHEAD_BYTES;
const KEY_BLOB_BYTES: number = KEY_BYTES + BLOB_OVERHEAD_BYTES;

/** The DEK under a CMK. */
export interface BlobEntry {
  readonly kind: "blob";
  /** A COB of the 32-byte DEK, 136 bytes. */
  readonly blobBytes: Uint8Array;
  readonly blob: ParsedBlob;
}

/** The DEK in a slot: for a passphrase, without any vault. */
export interface SlotEntry {
  readonly kind: "slot";
  readonly header: SlotHeader;
  /** The slot header's bytes, which the seal is bound to. */
  readonly headerBytes: Uint8Array;
  /** SEAL of the DEK, 104 bytes. */
  readonly sealed: Uint8Array;
}

/** An entry of a later release: kept, and skipped [F-216]. */
export interface UnknownEntry {
  readonly kind: "unknown";
  readonly type: number;
  readonly value: Uint8Array;
}

export type KeyEntry = BlobEntry | SlotEntry | UnknownEntry;

/** An area of sound structure. Unauthenticated until {@link verifyKeyArea} answers true. */
export interface ParsedKeyArea {
  /** One more at each change. */
  readonly generation: number;
  /** 1 to 8. */
  readonly entries: readonly KeyEntry[];
  /** The A bytes, copied. */
  readonly bytes: Uint8Array;
  /** Where the MAC begins. */
  readonly macOffset: number;
}

/** Returns the entry for a COB of a DEK. @throws RangeError unless it is one of 136 bytes. */
export function blobEntry(blobBytes: Uint8Array): BlobEntry {
  assertBytes("blobBytes", blobBytes, KEY_BLOB_BYTES);
  return { kind: "blob", blobBytes: copy(blobBytes), blob: parseBlob(blobBytes) };
}

/** Returns the entry that seals `dek` for a slot secret. Borrows both. */
export function slotEntry(
  slotSecret: Uint8Array,
  fileId: Uint8Array,
  headerBytes: Uint8Array,
  dek: Uint8Array,
): SlotEntry {
  assertBytes("dek", dek, KEY_BYTES);
  const header = parseSlotHeader(headerBytes);
  const kek = fileSlotKek(slotSecret, fileId, header.id);
  try {
    const sealed = seal(kek, fileSlotContext(fileId, headerBytes), dek);
    return { kind: "slot", header, headerBytes: copy(headerBytes), sealed };
  } finally {
    wipe(kek);
  }
}

/**
 * Returns the DEK of a slot; the caller wipes it.
 * @throws AuthenticationError if the secret is not this slot's, or the slot or file id changed.
 */
export function openSlotEntry(
  slotSecret: Uint8Array,
  fileId: Uint8Array,
  entry: SlotEntry,
): Uint8Array<ArrayBuffer> {
  const kek = fileSlotKek(slotSecret, fileId, entry.header.id);
  try {
    return open(kek, fileSlotContext(fileId, entry.headerBytes), entry.sealed);
  } finally {
    wipe(kek);
  }
}

/** Returns the id by which an entry is named within its file, in hexadecimal: of the CMK, or of the slot. */
export function keyEntryId(entry: KeyEntry): string {
  if (entry.kind === "blob") return hex(entry.blob.header.keyId);
  if (entry.kind === "slot") return hex(entry.header.id);
  return `${entry.type}:${hex(entry.value).slice(0, 2 * ID_BYTES)}`;
}

/** Returns how long an area with these entries is, without its zeros. */
export function keyAreaContentBytes(entries: readonly KeyEntry[]): number {
  return ENTRIES_OFFSET + encodeEntries(entries).length + MAC_BYTES;
}

/** What a key area is made of. */
export interface KeyAreaFields {
  readonly generation: number;
  readonly entries: readonly KeyEntry[];
  /** Length of the area, as the head says it. */
  readonly areaBytes: number;
}

/**
 * Returns the bytes of one area.
 * @param karea 32 bytes of `fileAreaKey`. @param head the PH bytes of the file.
 * @throws LimitExceededError for more entries than a file, or than this area, has room for, or after 2^32 − 1 changes.
 */
export function encodeKeyArea(
  fields: KeyAreaFields,
  karea: Uint8Array,
  head: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { generation, entries, areaBytes } = fields;
  if (entries.length === 0) throw new RangeError("entries: expected at least one");
  if (entries.length > MAX_KEY_ENTRIES) {
    throw limit(`A file has at most ${MAX_KEY_ENTRIES} key entries. Remove one first.`, MAX_KEY_ENTRIES);
  }
  if (generation > MAX_GENERATION) {
    throw limit("The keys of this file were changed too often. Encrypt it anew.", MAX_GENERATION);
  }
  const encoded = encodeEntries(entries);
  if (ENTRIES_OFFSET + encoded.length + MAC_BYTES > areaBytes) {
    throw limit("The key entries do not fit into this file. Remove one first.", areaBytes);
  }
  const content = concat(MAGIC, u32(generation), u16(entries.length), u16(encoded.length), encoded);
  const area = new Uint8Array(areaBytes);
  area.set(content);
  area.set(hmac("sha256", karea, head, content), content.length);
  return area;
}

/**
 * Takes an area apart; undefined for one of unsound structure, as a torn write leaves it [F-212]: the other may be good.
 */
export function parseKeyArea(bytes: Uint8Array): ParsedKeyArea | undefined {
  if (bytes.length < ENTRIES_OFFSET + MAC_BYTES || !equal(bytes.subarray(0, MAGIC.length), MAGIC))
    return undefined;
  const own = copy(bytes);
  const count = readU16(own, COUNT_OFFSET);
  const macOffset = ENTRIES_OFFSET + readU16(own, ENTRIES_LENGTH_OFFSET);
  if (count < 1 || count > MAX_KEY_ENTRIES || macOffset + MAC_BYTES > own.length) return undefined;
  // [F-3]
  if (own.subarray(macOffset + MAC_BYTES).some((byte) => byte !== 0)) return undefined;
  const entries = parseEntries(own.subarray(ENTRIES_OFFSET, macOffset), count);
  if (entries === undefined) return undefined;
  return { generation: readU32(own, GENERATION_OFFSET), entries, bytes: own, macOffset };
}

/** True when the area was written with this key for a file with this head [F-214]. Constant time. */
export function verifyKeyArea(area: ParsedKeyArea, karea: Uint8Array, head: Uint8Array): boolean {
  const { bytes, macOffset } = area;
  const expected = hmac("sha256", karea, head, bytes.subarray(0, macOffset));
  return equal(expected, bytes.subarray(macOffset, macOffset + MAC_BYTES));
}

function encodeEntries(entries: readonly KeyEntry[]): Uint8Array {
  return concat(
    ...entries.flatMap((entry) => {
      const value = valueOf(entry);
      return [u8(typeOf(entry)), u8(0), u16(value.length), value];
    }),
  );
}

function typeOf(entry: KeyEntry): number {
  return entry.kind === "unknown" ? entry.type : ENTRY_TYPES[entry.kind];
}

function valueOf(entry: KeyEntry): Uint8Array {
  if (entry.kind === "blob") return entry.blobBytes;
  if (entry.kind === "unknown") return entry.value;
  return concat(u16(entry.headerBytes.length), entry.headerBytes, entry.sealed);
}

function parseEntries(bytes: Uint8Array, count: number): readonly KeyEntry[] | undefined {
  const entries: KeyEntry[] = [];
  const ids = new Set<string>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_HEAD_BYTES > bytes.length || bytes[at + 1] !== 0) return undefined;
    const start = at + ENTRY_HEAD_BYTES;
    const end = start + readU16(bytes, at + 2);
    if (end > bytes.length) return undefined;
    const entry = parseEntry(bytes[at] as number, bytes.slice(start, end));
    if (entry === undefined) return undefined;
    entries.push(entry);
    ids.add(keyEntryId(entry));
    at = end;
  }
  // An id names one entry: removing it must not be ambiguous [F-217].
  return at === bytes.length && ids.size === entries.length ? entries : undefined;
}

function parseEntry(type: number, value: Uint8Array): KeyEntry | undefined {
  const unknown: UnknownEntry = { kind: "unknown", type, value };
  try {
    if (type === ENTRY_TYPES.blob) return value.length === KEY_BLOB_BYTES ? blobEntry(value) : undefined;
    return type === ENTRY_TYPES.slot ? parseSlotEntry(value) : unknown;
  } catch (error) {
    if (isCofferError(error, "COFFER_UNSUPPORTED_FORMAT")) return unknown;
    if (isCofferError(error)) return undefined;
    throw error;
  }
}

function parseSlotEntry(value: Uint8Array): SlotEntry | undefined {
  if (value.length < 2 + SLOT_PREFIX_BYTES + SEALED_KEY_BYTES) return undefined;
  const sealedAt = 2 + readU16(value, 0);
  if (sealedAt + SEALED_KEY_BYTES !== value.length) return undefined;
  const headerBytes = value.slice(2, sealedAt);
  return {
    kind: "slot",
    header: parseSlotHeader(headerBytes),
    headerBytes,
    sealed: value.slice(sealedAt),
  };
}

function limit(message: string, ceiling: number): LimitExceededError {
  return new LimitExceededError(message, { details: { limit: ceiling } });
}
