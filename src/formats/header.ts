/**
 * The vault header (COV): who may open the vault, and which database state is durable.
 * Layout: `89 "COV" 0D 0A 1A 0A ‖ version 01 ‖ suite 01 ‖ u16 0 ‖ u32 N ‖ vault id[16] ‖ u64 generation ‖
 * u64 sequence ‖ u32 database ‖ u16 slot count ‖ 0[10] ‖ slots ‖ HMAC-SHA-512[64] ‖ SHA-256[32]`.
 * Source: docs/format.md#vault-header [F-50…F-55].
 * @module
 */
import {
  assertBytes,
  concat,
  equal,
  fromUtf8,
  hex,
  isWellFormed,
  readU16,
  readU32,
  readU64,
  u16,
  u32,
  u64,
  u8,
  utf8,
} from "../bytes.ts";
import { digest, hmac } from "../crypto/hmac.ts";
import { open, seal, SEAL_OVERHEAD_BYTES } from "../crypto/seal.ts";
import { DamagedError, InvalidArgumentError, LimitExceededError, UnsupportedFormatError } from "../errors.ts";
import { MAX_HEADER_BYTES, MAX_LABEL_BYTES, MAX_SLOTS } from "../limits.ts";
import { wipe } from "../secret.ts";
import { HEADER_KEY_BYTES, ID_BYTES, KEY_BYTES, slotContext, slotKek } from "./key-schedule.ts";
import { parseSlotHeader, SLOT_PREFIX_BYTES, type SlotHeader } from "./slot-header.ts";

/** Length of a root key sealed in a slot. */
export const SEALED_ROOT_BYTES: number = KEY_BYTES + SEAL_OVERHEAD_BYTES;

const MAGIC = Uint8Array.of(0x89, 0x43, 0x4f, 0x56, 0x0d, 0x0a, 0x1a, 0x0a);
const VERSION = 1;
const SUITE = 1;
const VERSION_OFFSET = 8;
const RESERVED_OFFSET = 10;
const LENGTH_OFFSET = 12;
const VAULT_ID_OFFSET = 16;
const GENERATION_OFFSET = 32;
const SEQUENCE_OFFSET = 40;
const DATABASE_OFFSET = 48;
const SLOT_COUNT_OFFSET = 52;
const ZERO_OFFSET = 54;
const SLOTS_OFFSET = 64;
const MAC_BYTES = 64;
const CHECKSUM_BYTES = 32;
const TRAILER_BYTES: number = MAC_BYTES + CHECKSUM_BYTES;

/** One slot as it lies in the header. */
export interface HeaderSlot {
  /** The slot header's bytes, which its seal is bound to. Kept as they are, of unknown kinds too. */
  readonly headerBytes: Uint8Array;
  /** SEAL of the root key, 104 bytes. */
  readonly sealed: Uint8Array;
  /** A person's name for the slot, at most 255 bytes of UTF-8. Not bound to the slot's secret, so it may change. */
  readonly label: string;
}

/** What a header says. */
export interface HeaderFields {
  /** 16 bytes. */
  readonly vaultId: Uint8Array;
  /** One more at each replacement. */
  readonly generation: number;
  /** Sequence of the newest database batch known to be durable. */
  readonly sequence: number;
  /** The N of `db-N`. */
  readonly database: number;
  /** 1 to 16. */
  readonly slots: readonly HeaderSlot[];
}

/** A slot of a parsed header. */
export interface ParsedSlot extends HeaderSlot {
  readonly header: SlotHeader;
}

/** A header of sound structure. Unauthenticated until {@link verifyHeaderMac} answers true. */
export interface ParsedHeader extends HeaderFields {
  readonly slots: readonly ParsedSlot[];
  /** The whole file, copied. */
  readonly bytes: Uint8Array;
}

/**
 * Returns the bytes of a header.
 * @param kheader 64 bytes of `headerKey`.
 * @throws InvalidArgumentError reason `ill-formed` for a label with a lone surrogate.
 * @throws LimitExceededError above 16 slots, 255 label bytes or 65,536 bytes in all.
 * @throws RangeError for fields of the wrong length.
 */
export function encodeHeader(fields: HeaderFields, kheader: Uint8Array): Uint8Array<ArrayBuffer> {
  assertBytes("vaultId", fields.vaultId, ID_BYTES);
  assertBytes("kheader", kheader, HEADER_KEY_BYTES);
  if (fields.slots.length === 0) throw new RangeError("slots: expected at least one");
  if (fields.slots.length > MAX_SLOTS) {
    throw limit(`A vault has at most ${MAX_SLOTS} slots. Remove one first.`, MAX_SLOTS);
  }
  const slots = concat(...fields.slots.map(encodeSlot));
  const length = SLOTS_OFFSET + slots.length + TRAILER_BYTES;
  if (length > MAX_HEADER_BYTES) {
    throw limit(
      `The slots do not fit into a header of ${MAX_HEADER_BYTES} bytes. Remove one first.`,
      MAX_HEADER_BYTES,
    );
  }
  const body = concat(
    MAGIC,
    Uint8Array.of(VERSION, SUITE, 0, 0),
    u32(length),
    fields.vaultId,
    u64(fields.generation),
    u64(fields.sequence),
    u32(fields.database),
    u16(fields.slots.length),
    new Uint8Array(SLOTS_OFFSET - ZERO_OFFSET),
    slots,
  );
  const authenticated = concat(body, hmac("sha512", kheader, body));
  return concat(authenticated, digest("sha256", authenticated));
}

/**
 * Takes a header apart. The checksum comes before version and suite: rot is never mistaken for a later version [F-52].
 * @throws DamagedError for what is no header, or one that changed: the other copy may be good.
 * @throws UnsupportedFormatError for a sound header of a later version or another suite [F-4].
 */
export function parseHeader(bytes: Uint8Array): ParsedHeader {
  if (bytes.length < MAGIC.length || !equal(bytes.subarray(0, MAGIC.length), MAGIC)) throw damaged("magic");
  if (bytes.length < SLOTS_OFFSET + TRAILER_BYTES || bytes.length > MAX_HEADER_BYTES) throw damaged("length");
  // [F-2] [F-51]
  if (readU32(bytes, LENGTH_OFFSET) !== bytes.length) throw damaged("length");
  const own = new Uint8Array(bytes);
  const checked = own.subarray(0, own.length - CHECKSUM_BYTES);
  if (!equal(digest("sha256", checked), own.subarray(checked.length))) throw damaged("checksum");
  const version = own[VERSION_OFFSET] as number;
  const suite = own[VERSION_OFFSET + 1] as number;
  if (version !== VERSION || suite !== SUITE) {
    throw new UnsupportedFormatError(
      `This vault has format version ${version}, suite ${suite}; this release reads version ${VERSION}, suite ${SUITE}. Use a newer release.`,
      { details: { format: "vault-header", version, suite } },
    );
  }
  // [F-3] [F-53]
  const reserved = [own.subarray(RESERVED_OFFSET, LENGTH_OFFSET), own.subarray(ZERO_OFFSET, SLOTS_OFFSET)];
  if (reserved.some((part) => part.some((byte) => byte !== 0))) throw damaged("reserved bytes");
  // [F-1]
  const generation = readU64(own, GENERATION_OFFSET);
  const sequence = readU64(own, SEQUENCE_OFFSET);
  if (generation === undefined || sequence === undefined) throw damaged("generation or sequence");
  return {
    vaultId: own.slice(VAULT_ID_OFFSET, GENERATION_OFFSET),
    generation,
    sequence,
    database: readU32(own, DATABASE_OFFSET),
    slots: parseSlots(
      own.subarray(SLOTS_OFFSET, own.length - TRAILER_BYTES),
      readU16(own, SLOT_COUNT_OFFSET),
    ),
    bytes: own,
  };
}

/** Returns a slot as it will be parsed from a header. */
export function parseSlot(slot: HeaderSlot): ParsedSlot {
  return { ...slot, header: parseSlotHeader(slot.headerBytes) };
}

/** True when the header was written with this key: call before anything but the slots is believed [F-54]. Constant time. */
export function verifyHeaderMac(parsed: ParsedHeader, kheader: Uint8Array): boolean {
  assertBytes("kheader", kheader, HEADER_KEY_BYTES);
  const { bytes } = parsed;
  const end = bytes.length - TRAILER_BYTES;
  return equal(hmac("sha512", kheader, bytes.subarray(0, end)), bytes.subarray(end, end + MAC_BYTES));
}

/**
 * Returns the root key sealed for one slot, 104 bytes.
 * @param slotSecret the slot's secret S; borrowed.
 * @param slotHeader the slot header's bytes.
 */
export function sealSlot(
  slotSecret: Uint8Array,
  vaultId: Uint8Array,
  slotHeader: Uint8Array,
  root: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertBytes("root", root, KEY_BYTES);
  const kek = slotKek(slotSecret, vaultId, slotIdOf(slotHeader));
  try {
    return seal(kek, slotContext(vaultId, slotHeader), root);
  } finally {
    wipe(kek);
  }
}

/**
 * Returns the root key of a slot; the caller wipes it.
 * @throws AuthenticationError if the secret is not this slot's, or the slot changed [F-55].
 */
export function openSlot(
  slotSecret: Uint8Array,
  vaultId: Uint8Array,
  slot: Pick<HeaderSlot, "headerBytes" | "sealed">,
): Uint8Array {
  const kek = slotKek(slotSecret, vaultId, slotIdOf(slot.headerBytes));
  try {
    return open(kek, slotContext(vaultId, slot.headerBytes), slot.sealed);
  } finally {
    wipe(kek);
  }
}

function slotIdOf(slotHeader: Uint8Array): Uint8Array {
  if (slotHeader.length < SLOT_PREFIX_BYTES) {
    throw new RangeError(
      `slotHeader: expected at least ${SLOT_PREFIX_BYTES} bytes, got ${slotHeader.length}`,
    );
  }
  return slotHeader.subarray(2, 2 + ID_BYTES);
}

function encodeSlot({ headerBytes, sealed, label }: HeaderSlot): Uint8Array {
  assertBytes("sealed", sealed, SEALED_ROOT_BYTES);
  if (!isWellFormed(label)) {
    throw new InvalidArgumentError("The slot's label holds half a character. Type it again.", {
      details: { reason: "ill-formed" },
    });
  }
  const name = utf8(label);
  if (name.length > MAX_LABEL_BYTES) {
    throw limit(`The slot's label is longer than ${MAX_LABEL_BYTES} bytes. Shorten it.`, MAX_LABEL_BYTES);
  }
  return concat(u16(headerBytes.length), headerBytes, sealed, u8(name.length), name);
}

function parseSlots(bytes: Uint8Array, count: number): readonly ParsedSlot[] {
  if (count < 1 || count > MAX_SLOTS) throw damaged("slot count");
  const slots: ParsedSlot[] = [];
  const ids = new Set<string>();
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw damaged("slot length");
    at += length;
    return bytes.slice(at - length, at);
  };
  for (let i = 0; i < count; i++) {
    const headerBytes = take(readU16(take(2), 0));
    const header = parseSlotHeader(headerBytes);
    const sealed = take(SEALED_ROOT_BYTES);
    const label = parseLabel(take(take(1)[0] as number));
    slots.push({ headerBytes, sealed, label, header });
    ids.add(hex(header.id));
  }
  if (at !== bytes.length) throw damaged("slots");
  // An id names one slot: removing it must not be ambiguous [F-61].
  if (ids.size !== slots.length) throw damaged("slot id");
  return slots;
}

function parseLabel(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch {
    throw damaged("label");
  }
}

function limit(message: string, ceiling: number): LimitExceededError {
  return new LimitExceededError(message, { details: { limit: ceiling } });
}

function damaged(field: string): DamagedError {
  return new DamagedError(`The vault header is damaged (${field}). Restore it from a backup.`, {
    details: { reason: "header", field },
  });
}
