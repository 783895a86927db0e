/**
 * The envelope file (COF), its public beginning: what kind of file, how it is cut, and perhaps its context.
 * Layout: `89 "COF" 0D 0A 1A 0A ‖ version 01 ‖ suite 01 ‖ u16 flags ‖ u32 E ‖ file id[16] ‖ u32 C ‖ u32 A ‖
 * u64 created ‖ 0[16] ‖ CEC[C] ‖ zeros to PH ‖ key area 0[A] ‖ key area 1[A] ‖ FLOE message`.
 * Source: docs/format.md#file [F-200…F-207].
 * @module
 */
import { assertBytes, concat, equal, hex, readU16, readU32, readU64, u16, u32, u64 } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { FLOE_HEADER_BYTES, FLOE_SEGMENT_OVERHEAD_BYTES, floeMessageBytes } from "../crypto/floe.ts";
import { InvalidCiphertextError, UnsupportedFormatError } from "../errors.ts";
import { MAX_CONTEXT_BYTES } from "../limits.ts";
import { decodeContext } from "./context.ts";
import { ID_BYTES } from "./key-schedule.ts";

/** Length of the fixed part. */
export const FILE_PREAMBLE_BYTES = 64;
/** What the head, and so both key areas, are a multiple of. */
const HEAD_UNIT_BYTES = 512;
/** Plaintext lengths of a whole segment, in bytes. No other is read or written. */
export const FILE_SEGMENT_SIZES: readonly number[] = [65_536, 262_144, 1_048_576];

/** The smallest key area, which has room for eight passphrase slots or keys. */
export const MIN_KEY_AREA_BYTES = 2048;
const MAX_KEY_AREA_BYTES = 65_536;

const MAGIC = Uint8Array.of(0x89, 0x43, 0x4f, 0x46, 0x0d, 0x0a, 0x1a, 0x0a);
const VERSION = 1;
const SUITE = 1;
const VERSION_OFFSET = 8;
const SUITE_OFFSET = 9;
const FLAGS_OFFSET = 10;
const SEGMENT_OFFSET = 12;
const FILE_ID_OFFSET = 16;
const CONTEXT_LENGTH_OFFSET = 32;
const AREA_OFFSET = 36;
const CREATED_OFFSET = 40;
const ZERO_OFFSET = 48;
const CONTEXT_STORED = 1;

/** What a file's beginning says. Unauthenticated until the FLOE header's tag was checked. */
export interface FileHead {
  /** 16 random bytes. */
  readonly fileId: Uint8Array;
  /** P: plaintext of every segment but the last, one of {@link FILE_SEGMENT_SIZES}. */
  readonly segmentPlaintextBytes: number;
  /** The canonical context, where it is stored. */
  readonly storedContext: Uint8Array | undefined;
  /** Length of one key area: 2,048 · 2^i, at most 65,536. */
  readonly areaBytes: number;
  /** Milliseconds since 1970; undefined where it was left out. */
  readonly createdAtMs: number | undefined;
}

/** A head taken apart, on memory of its own. */
export interface ParsedFileHead extends FileHead {
  /** The PH bytes as read, zeros included: key areas and body are bound to them. */
  readonly bytes: Uint8Array;
}

/** Where the parts of a file lie, in bytes from its start. */
export interface FileOffsets {
  readonly areas: readonly [number, number];
  /** The FLOE header. */
  readonly body: number;
  /** The first segment. */
  readonly segments: number;
}

/** What other things begin with, so that a wrong file is told apart before any key is used [F-201]. */
const RECOGNISED: readonly { readonly prefix: string; readonly reason: string; readonly message: string }[] =
  [
    {
      prefix: "434f42",
      reason: "coffer-blob",
      message: "This is a blob of Coffer, not an encrypted file. Use kms.decrypt.",
    },
    {
      prefix: "89434f560d0a1a0a",
      reason: "coffer-vault-header",
      message: "This is a vault header of Coffer, not an encrypted file. Open the vault's directory.",
    },
    {
      prefix: "89434f410d0a1a0a",
      reason: "coffer-backup",
      message: "This is a backup of a Coffer vault, not an encrypted file. Restore it.",
    },
    {
      prefix: ascii("age-encryption.org/"),
      reason: "age",
      message: "This is a file of age, not of Coffer. Decrypt it with age.",
    },
    {
      prefix: ascii("-----BEGIN AGE ENCRYPTED FILE-----"),
      reason: "age",
      message: "This is a file of age, not of Coffer. Decrypt it with age.",
    },
    {
      prefix: ascii("Salted__"),
      reason: "openssl-enc",
      message: "This is a file of `openssl enc`, not of Coffer. Decrypt it with openssl.",
    },
  ];

/**
 * Returns the PH bytes of a head.
 * @throws RangeError for a field of the wrong length or value.
 */
export function encodeFileHead(head: FileHead): Uint8Array<ArrayBuffer> {
  assertBytes("fileId", head.fileId, ID_BYTES);
  if (!FILE_SEGMENT_SIZES.includes(head.segmentPlaintextBytes)) {
    throw new RangeError(
      `segmentPlaintextBytes: expected ${FILE_SEGMENT_SIZES.join(", ")}, got ${head.segmentPlaintextBytes}`,
    );
  }
  if (!isAreaLength(head.areaBytes)) throw new RangeError(`areaBytes: got ${head.areaBytes}`);
  const context = head.storedContext ?? new Uint8Array();
  const bytes = new Uint8Array(headBytes(context.length));
  bytes.set(
    concat(
      MAGIC,
      Uint8Array.of(VERSION, SUITE),
      u16(head.storedContext === undefined ? 0 : CONTEXT_STORED),
      u32(head.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES),
      head.fileId,
      u32(context.length),
      u32(head.areaBytes),
      u64(head.createdAtMs ?? 0),
      new Uint8Array(FILE_PREAMBLE_BYTES - ZERO_OFFSET),
      context,
    ),
  );
  return bytes;
}

/**
 * Returns the length of a file's beginning (head, both key areas, FLOE header), from the fixed part alone, after all of
 * that was checked.
 * @param bytes the first {@link FILE_PREAMBLE_BYTES} of a file; more may follow.
 * @throws UnsupportedFormatError for a later version or another suite [F-4].
 * @throws InvalidCiphertextError with a `reason` for what is no such file: `empty`, `cut`, `preamble`,
 *   `coffer-blob`, `coffer-vault-header`, `coffer-backup`, `age`, `openssl-enc`, `not-a-file`.
 */
export function fileBeginningLength(bytes: Uint8Array): number {
  const { headLength, areaBytes } = parsePreamble(bytes);
  return headLength + 2 * areaBytes + FLOE_HEADER_BYTES;
}

/**
 * Takes the head of a file apart. Uses no key, so it may say what is wrong.
 * @param bytes the file's first bytes, the whole head; more may follow.
 * @throws as {@link fileBeginningLength}.
 */
export function parseFileHead(bytes: Uint8Array): ParsedFileHead {
  const { headLength, contextLength, ...fields } = parsePreamble(bytes);
  if (bytes.length < headLength) throw cut();
  const own = new Uint8Array(bytes.subarray(0, headLength));
  const contextEnd = FILE_PREAMBLE_BYTES + contextLength;
  // [F-3] [F-204]
  if (own.subarray(contextEnd).some((byte) => byte !== 0)) throw malformed("padding");
  const storedContext =
    contextLength === 0 ? undefined : canonical(own.subarray(FILE_PREAMBLE_BYTES, contextEnd));
  return { ...fields, storedContext, bytes: own };
}

/** Returns where the parts of a file with this head lie. */
export function fileOffsets(head: ParsedFileHead): FileOffsets {
  const first = head.bytes.length;
  const body = first + 2 * head.areaBytes;
  return {
    areas: [first, first + head.areaBytes],
    body,
    segments: body + FLOE_HEADER_BYTES,
  };
}

/** Returns the length of a whole file with this much plaintext, as our writers make it. */
export function fileBytes(head: ParsedFileHead, plaintextBytes: number): number {
  const segmentBytes = head.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES;
  return fileOffsets(head).body + floeMessageBytes(plaintextBytes, segmentBytes);
}

/** Returns the smallest key area for this many bytes; undefined when no area is as large. */
export function keyAreaBytesFor(lengthBytes: number): number | undefined {
  let areaBytes = MIN_KEY_AREA_BYTES;
  while (areaBytes < lengthBytes) areaBytes *= 2;
  return areaBytes <= MAX_KEY_AREA_BYTES ? areaBytes : undefined;
}

/** The answer for a file that ends before it can. Says nothing that lengths do not. */
export function cut(): InvalidCiphertextError {
  return new InvalidCiphertextError("This encrypted file was cut. Fetch it again.", {
    details: { reason: "cut" },
  });
}

type Preamble = Omit<FileHead, "storedContext"> & {
  readonly headLength: number;
  readonly contextLength: number;
};

function parsePreamble(bytes: Uint8Array): Preamble {
  if (!startsWithMagic(bytes)) throw notAFile(bytes);
  if (bytes.length <= SUITE_OFFSET) throw cut();
  const version = bytes[VERSION_OFFSET] as number;
  const suite = bytes[SUITE_OFFSET] as number;
  if (version !== VERSION || suite !== SUITE) {
    throw new UnsupportedFormatError(
      `This file has format version ${version}, suite ${suite}; this release reads version ${VERSION}, suite ${SUITE}. Use a newer release.`,
      { details: { format: "file", version, suite } },
    );
  }
  if (bytes.length < FILE_PREAMBLE_BYTES) throw cut();
  const flags = readU16(bytes, FLAGS_OFFSET);
  if (flags !== 0 && flags !== CONTEXT_STORED) throw malformed("flags");
  // [F-202]
  const segmentPlaintextBytes = readU32(bytes, SEGMENT_OFFSET) - FLOE_SEGMENT_OVERHEAD_BYTES;
  if (!FILE_SEGMENT_SIZES.includes(segmentPlaintextBytes)) throw malformed("segment length");
  // [F-203]
  const contextLength = readU32(bytes, CONTEXT_LENGTH_OFFSET);
  if (contextLength > MAX_CONTEXT_BYTES || contextLength > 0 !== (flags === CONTEXT_STORED)) {
    throw malformed("context length");
  }
  const areaBytes = readU32(bytes, AREA_OFFSET);
  if (!isAreaLength(areaBytes)) throw malformed("key area length");
  // [F-1]
  const createdAtMs = readU64(bytes, CREATED_OFFSET);
  if (createdAtMs === undefined) throw malformed("creation time");
  if (bytes.subarray(ZERO_OFFSET, FILE_PREAMBLE_BYTES).some((byte) => byte !== 0)) {
    throw malformed("reserved bytes");
  }
  return {
    fileId: bytes.slice(FILE_ID_OFFSET, CONTEXT_LENGTH_OFFSET),
    segmentPlaintextBytes,
    areaBytes,
    createdAtMs: createdAtMs === 0 ? undefined : createdAtMs,
    contextLength,
    headLength: headBytes(contextLength),
  };
}

function startsWithMagic(bytes: Uint8Array): boolean {
  return bytes.length >= MAGIC.length && equal(bytes.subarray(0, MAGIC.length), MAGIC);
}

function headBytes(contextLength: number): number {
  return Math.ceil((FILE_PREAMBLE_BYTES + contextLength) / HEAD_UNIT_BYTES) * HEAD_UNIT_BYTES;
}

function isAreaLength(lengthBytes: number): boolean {
  return (
    lengthBytes >= MIN_KEY_AREA_BYTES &&
    lengthBytes <= MAX_KEY_AREA_BYTES &&
    Number.isInteger(Math.log2(lengthBytes))
  );
}

function canonical(context: Uint8Array): Uint8Array {
  try {
    decodeContext(context);
    return context;
  } catch (error) {
    if (error instanceof MalformedError) throw malformed("context");
    throw error;
  }
}

function notAFile(bytes: Uint8Array): InvalidCiphertextError {
  if (bytes.length === 0) return invalid("There is nothing to decrypt: the file is empty.", "empty");
  const start = hex(bytes.subarray(0, 64));
  for (const { prefix, reason, message } of RECOGNISED) {
    if (start.startsWith(prefix)) return invalid(message, reason);
  }
  if (hex(MAGIC).startsWith(start)) return cut();
  return invalid("This is not an encrypted file of Coffer. Check the path.", "not-a-file");
}

function invalid(message: string, reason: string): InvalidCiphertextError {
  return new InvalidCiphertextError(message, { details: { reason } });
}

function malformed(field: string): InvalidCiphertextError {
  return new InvalidCiphertextError(
    `The beginning of this encrypted file is damaged (${field}). Fetch it again.`,
    { details: { reason: "preamble", field } },
  );
}

function ascii(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}
