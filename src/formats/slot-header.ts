/**
 * Slot headers: the public part of one way in, which the slot's seal is bound to.
 * Layout: `u8 type ‖ u8 0 ‖ slot id[16] ‖ u64 created ‖ fields of the type`.
 * Source: docs/format.md#slots [F-60…F-66].
 * @module
 */
import {
  assertBytes,
  concat,
  fromUtf8,
  readU16,
  readU32,
  readU64,
  u16,
  u32,
  u64,
  u8,
  utf8,
} from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import { ID_BYTES } from "./key-schedule.ts";

/** Length of what every slot header begins with, those of later versions too. */
export const SLOT_PREFIX_BYTES = 26;
/** Longest slot header. */
const MAX_SLOT_HEADER_BYTES = 16_384;
const ARGON2_SALT_BYTES = 32;

const ARGON2_VERSION = 0x13;
export const MAX_NAME_BYTES = 255;
const MAX_TOKEN_ID_BYTES = 255;
const MAX_SPKI_BYTES = 4096;
export const MAX_PROTECTED_BYTES = 4096;

/** Type numbers, as in the first byte. */
const SLOT_TYPES = { passphrase: 1, recovery: 2, pkcs11: 3, combined: 4, keychain: 5 } as const;
/** Algorithm numbers of a token slot. */
export const TOKEN_ALGORITHMS = {
  "ecdh-p256": 1,
  "ecdh-p384": 2,
  "rsa-oaep-sha256": 3,
  "aes-256-gcm": 4,
} as const;
export type TokenAlgorithm = keyof typeof TOKEN_ALGORITHMS;

/** Lengths of a token slot's exchange: a raw point, an OAEP ciphertext, or nonce, ciphertext and tag. */
const EXCHANGE_BYTES: Readonly<
  Record<TokenAlgorithm, { readonly minimum: number; readonly maximum: number }>
> = {
  "ecdh-p256": { minimum: 65, maximum: 65 },
  "ecdh-p384": { minimum: 97, maximum: 97 },
  "rsa-oaep-sha256": { minimum: 256, maximum: 2048 },
  "aes-256-gcm": { minimum: 60, maximum: 60 },
};

/** Argon2id, version 0x13. Parameters are not judged here: describing a vault must not depend on the machine. */
export interface PassphraseFields {
  readonly kind: "passphrase";
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
  /** 32 bytes. */
  readonly salt: Uint8Array;
}

export interface RecoveryFields {
  readonly kind: "recovery";
}

export interface TokenFields {
  readonly kind: "pkcs11";
  readonly algorithm: TokenAlgorithm;
  /** DER SubjectPublicKeyInfo of the token's key; empty for AES. At most 4,096 bytes. */
  readonly spki: Uint8Array;
  /** CKA_ID, a hint. At most 255 bytes. */
  readonly objectId: Uint8Array;
  /** Hints of the token for the prompt, each at most 255 bytes of UTF-8. */
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  /** Raw point; OAEP ciphertext; or nonce 12 ‖ ciphertext 32 ‖ tag 16. */
  readonly exchange: Uint8Array;
}

export interface CombinedFields {
  readonly kind: "combined";
  readonly first: PassphraseFields | TokenFields;
  readonly second: PassphraseFields | TokenFields;
}

export interface KeychainFields {
  readonly kind: "keychain";
  /** Name of the back end, at most 255 bytes of UTF-8. */
  readonly backend: string;
  /** What the keychain protects, 1 to 4,096 bytes. */
  readonly protectedSecret: Uint8Array;
}

/** A type, algorithm or Argon2 version of a later release: listed, kept, skipped [F-62]. */
export interface UnknownFields {
  readonly kind: "unknown";
  readonly type: number;
}

/** Fields by kind. */
export type SlotFields =
  PassphraseFields | RecoveryFields | TokenFields | CombinedFields | KeychainFields | UnknownFields;
export type SlotKind = SlotFields["kind"];

/** What all slots have, and the fields of the kind. Byte arrays are copies. */
export interface SlotHeader {
  /** 16 random bytes. */
  readonly id: Uint8Array;
  readonly createdAtMs: number;
  readonly fields: SlotFields;
}

/** Returns the bytes of a slot header. @throws RangeError for a field past its bounds, or an unknown kind. */
export function encodeSlotHeader(header: SlotHeader): Uint8Array<ArrayBuffer> {
  assertBytes("slotId", header.id, ID_BYTES);
  if (header.fields.kind === "unknown")
    throw new RangeError("slot: a slot of an unknown kind is kept as its bytes");
  const type = SLOT_TYPES[header.fields.kind];
  return concat(u8(type), u8(0), header.id, u64(header.createdAtMs), encodeFields(header.fields));
}

/**
 * Returns the fields of a slot header. What a later release may add is of kind `unknown`, not an error.
 * @throws DamagedError for a structure that no release writes.
 */
export function parseSlotHeader(bytes: Uint8Array): SlotHeader {
  if (bytes.length < SLOT_PREFIX_BYTES || bytes.length > MAX_SLOT_HEADER_BYTES) throw damaged("length");
  const type = bytes[0] as number;
  if (bytes[1] !== 0) throw damaged("reserved byte");
  const createdAtMs = readU64(bytes, 18);
  if (createdAtMs === undefined) throw damaged("creation time");
  const fields = parseFields(type, bytes.subarray(SLOT_PREFIX_BYTES));
  return { id: bytes.slice(2, 18), createdAtMs, fields: fields ?? { kind: "unknown", type } };
}

function encodeFields(fields: Exclude<SlotFields, UnknownFields>): Uint8Array {
  if (fields.kind === "recovery") return new Uint8Array();
  if (fields.kind === "passphrase") return encodePassphrase(fields);
  if (fields.kind === "pkcs11") return encodeToken(fields);
  if (fields.kind === "combined") return concat(encodePart(fields.first), encodePart(fields.second));
  return concat(
    sized("backend", utf8(fields.backend), MAX_NAME_BYTES),
    sized("protectedSecret", fields.protectedSecret, MAX_PROTECTED_BYTES, 1),
  );
}

function encodePassphrase(fields: PassphraseFields): Uint8Array {
  assertBytes("salt", fields.salt, ARGON2_SALT_BYTES);
  return concat(
    u8(ARGON2_VERSION),
    u32(fields.memoryKiB),
    u32(fields.passes),
    u32(fields.lanes),
    fields.salt,
  );
}

function encodeToken(fields: TokenFields): Uint8Array {
  const { minimum, maximum } = EXCHANGE_BYTES[fields.algorithm];
  return concat(
    u8(TOKEN_ALGORITHMS[fields.algorithm]),
    sized("spki", fields.spki, MAX_SPKI_BYTES),
    sized("objectId", fields.objectId, MAX_TOKEN_ID_BYTES),
    sized("label", utf8(fields.label), MAX_NAME_BYTES),
    sized("serial", utf8(fields.serial), MAX_NAME_BYTES),
    sized("manufacturer", utf8(fields.manufacturer), MAX_NAME_BYTES),
    sized("model", utf8(fields.model), MAX_NAME_BYTES),
    sized("exchange", fields.exchange, maximum, minimum),
  );
}

function encodePart(fields: PassphraseFields | TokenFields): Uint8Array {
  const bytes = encodeFields(fields);
  return concat(u8(SLOT_TYPES[fields.kind]), u16(bytes.length), bytes);
}

function sized(name: string, bytes: Uint8Array, maximum: number, minimum = 0): Uint8Array {
  if (bytes.length < minimum || bytes.length > maximum) {
    throw new RangeError(`${name}: expected ${minimum} to ${maximum} bytes, got ${bytes.length}`);
  }
  return concat(u16(bytes.length), bytes);
}

function parseFields(type: number, bytes: Uint8Array): SlotFields | undefined {
  switch (type) {
    case SLOT_TYPES.passphrase:
      return parsePassphrase(bytes);
    case SLOT_TYPES.recovery:
      if (bytes.length > 0) throw damaged("length");
      return { kind: "recovery" };
    case SLOT_TYPES.pkcs11:
      return parseToken(bytes);
    case SLOT_TYPES.combined:
      return parseCombined(bytes);
    case SLOT_TYPES.keychain:
      return parseKeychain(bytes);
    default:
      return undefined;
  }
}

function parsePassphrase(bytes: Uint8Array): PassphraseFields | undefined {
  if (bytes.length > 0 && bytes[0] !== ARGON2_VERSION) return undefined;
  if (bytes.length !== 13 + ARGON2_SALT_BYTES) throw damaged("length");
  return {
    kind: "passphrase",
    memoryKiB: readU32(bytes, 1),
    passes: readU32(bytes, 5),
    lanes: readU32(bytes, 9),
    salt: bytes.slice(13),
  };
}

function parseToken(bytes: Uint8Array): TokenFields | undefined {
  const number = bytes[0];
  if (number === undefined) throw damaged("length");
  const algorithm = (Object.keys(TOKEN_ALGORITHMS) as TokenAlgorithm[]).find(
    (a) => TOKEN_ALGORITHMS[a] === number,
  );
  if (algorithm === undefined) return undefined;
  const { minimum, maximum } = EXCHANGE_BYTES[algorithm];
  const field = sizedFields(bytes, 1);
  const fields: TokenFields = {
    kind: "pkcs11",
    algorithm,
    spki: field.bytes(MAX_SPKI_BYTES),
    objectId: field.bytes(MAX_TOKEN_ID_BYTES),
    label: field.text(),
    serial: field.text(),
    manufacturer: field.text(),
    model: field.text(),
    exchange: field.bytes(maximum, minimum),
  };
  field.end();
  return fields;
}

function parseCombined(bytes: Uint8Array): CombinedFields | undefined {
  const parts: (PassphraseFields | TokenFields | undefined)[] = [];
  let at = 0;
  for (let i = 0; i < 2; i++) {
    if (at + 3 > bytes.length) throw damaged("length");
    const end = at + 3 + readU16(bytes, at + 1);
    if (end > bytes.length) throw damaged("length");
    const part = bytes.subarray(at + 3, end);
    const type = bytes[at];
    if (type === SLOT_TYPES.passphrase) parts.push(parsePassphrase(part));
    else parts.push(type === SLOT_TYPES.pkcs11 ? parseToken(part) : undefined);
    at = end;
  }
  if (at !== bytes.length) throw damaged("length");
  const [first, second] = parts;
  return first === undefined || second === undefined ? undefined : { kind: "combined", first, second };
}

function parseKeychain(bytes: Uint8Array): KeychainFields {
  const field = sizedFields(bytes, 0);
  const fields: KeychainFields = {
    kind: "keychain",
    backend: field.text(),
    protectedSecret: field.bytes(MAX_PROTECTED_BYTES, 1),
  };
  field.end();
  return fields;
}

interface SizedFields {
  bytes(maximum: number, minimum?: number): Uint8Array;
  text(): string;
  end(): void;
}

/** Reads `u16 length ‖ bytes` one after another, each within its bounds. */
function sizedFields(source: Uint8Array, start: number): SizedFields {
  let at = start;
  const bytes = (maximum: number, minimum = 0): Uint8Array => {
    if (at + 2 > source.length) throw damaged("length");
    const length = readU16(source, at);
    const from = at + 2;
    if (length < minimum || length > maximum || from + length > source.length) throw damaged("field length");
    at = from + length;
    return source.slice(from, at);
  };
  return {
    bytes,
    text() {
      try {
        return fromUtf8(bytes(MAX_NAME_BYTES));
      } catch (error) {
        if (error instanceof DamagedError) throw error;
        throw damaged("text");
      }
    },
    end() {
      if (at !== source.length) throw damaged("length");
    },
  };
}

function damaged(field: string): DamagedError {
  return new DamagedError(
    `A slot in the vault header is damaged (${field}). Restore the header from a backup.`,
    { details: { reason: "slot", field } },
  );
}
