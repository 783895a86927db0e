/**
 * Finds records in LevelDB's files without LevelDB, for salvage: checksums, indexes, manifests and the block around
 * a record may all be damaged. What it finds is untrusted, more so than what LevelDB reads: the seal decides.
 * Source: LevelDB 1.20, doc/log_format.txt, doc/table_format.txt, db/write_batch.cc, db/dbformat.h.
 * @module
 */
import { copy } from "../bytes.ts";
import { SEAL_OVERHEAD_BYTES } from "../crypto/seal.ts";
import { MAX_SEAL_BYTES } from "../limits.ts";

/** One version of one record, as a file has it. */
export interface ScannedEntry {
  readonly key: Uint8Array;
  /** Undefined for a removal. */
  readonly value: Uint8Array | undefined;
  /** LevelDB's number of the write: of two versions the larger is the newer. */
  readonly sequence: number;
}

/** Lengths of our keys; see formats/records/record-key.ts. */
const KEY_LENGTHS: ReadonlySet<number> = new Set([1, 9, 17, 21, 33]);
const MAX_TABLE = 0x3f;
const MIRROR_BIT = 0x80;
const MIN_VALUE_BYTES = SEAL_OVERHEAD_BYTES;
const MAX_VALUE_BYTES = SEAL_OVERHEAD_BYTES + MAX_SEAL_BYTES;

const LOG_BLOCK_BYTES = 32_768;
/** crc[4] ‖ u16 length ‖ u8 type (1 whole, 2 first, 3 middle, 4 last), little-endian. */
const LOG_HEADER_BYTES = 7;
/** u64 sequence ‖ u32 count, little-endian. */
const BATCH_HEADER_BYTES = 12;
/** u56 sequence ‖ u8 type (0 removal, 1 value), little-endian, after each key of a table. */
const TRAILER_BYTES = 8;
const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER;

/** Yields what a write-ahead log holds, in the order of writing. */
export function* scanLog(bytes: Uint8Array): Generator<ScannedEntry, void, undefined> {
  const { payload, starts } = logPayload(bytes);
  let sequence = 0;
  let at = 0;
  while (at < payload.length) {
    if (starts.has(at)) {
      // A damaged header gives a number out of line: then the order of writing goes on counting.
      const stated = readSequence(payload, at, 8);
      if (stated !== undefined && stated > sequence) sequence = stated;
      at += BATCH_HEADER_BYTES;
      continue;
    }
    const entry = logEntryAt(payload, at, sequence);
    if (entry === undefined) {
      at++;
      continue;
    }
    yield entry.entry;
    sequence++;
    const { end } = entry;
    const isFollowed =
      end === payload.length || starts.has(end) || logEntryAt(payload, end, sequence) !== undefined;
    // Else its length is wrong, and hides others.
    at = isFollowed ? end : at + 1;
  }
}

/** Yields what the blocks of a table hold. */
export function* scanTable(bytes: Uint8Array): Generator<ScannedEntry, void, undefined> {
  let previous: Uint8Array = new Uint8Array(0);
  for (let at = 0; at < bytes.length;) {
    const entry = tableEntryAt(bytes, at, previous);
    if (entry === undefined) {
      at++;
      continue;
    }
    yield entry.entry;
    // The last entry of a block is followed by none either: it is looked through once more for nothing.
    const isFollowed = tableEntryAt(bytes, entry.end, entry.internalKey) !== undefined;
    at = isFollowed ? entry.end : at + 1;
    previous = entry.internalKey;
  }
}

/** Joins the fragments of a log. `starts` are the places in `payload` where a batch begins. */
function logPayload(bytes: Uint8Array): { payload: Uint8Array; starts: ReadonlySet<number> } {
  const payload = new Uint8Array(bytes.length);
  const starts = new Set<number>();
  let length = 0;
  const take = (from: number, to: number): void => {
    payload.set(bytes.subarray(from, to), length);
    length += to - from;
  };
  for (let block = 0; block < bytes.length; block += LOG_BLOCK_BYTES) {
    const end = Math.min(block + LOG_BLOCK_BYTES, bytes.length);
    let at = block;
    while (at + LOG_HEADER_BYTES <= end) {
      const lengthBytes = (bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8);
      const type = bytes[at + 6] as number;
      const from = at + LOG_HEADER_BYTES;
      if (type < 1 || type > 4 || from + lengthBytes > end) break;
      if (type <= 2) starts.add(length);
      take(from, from + lengthBytes);
      at = from + lengthBytes;
    }
    // Where the headers make no sense, records may still lie whole between them.
    take(at, end);
  }
  return { payload: payload.subarray(0, length), starts };
}

/** `u8 type ‖ varint, key [‖ varint, value]` of a batch. */
function logEntryAt(
  bytes: Uint8Array,
  at: number,
  sequence: number,
): { entry: ScannedEntry; end: number } | undefined {
  const type = bytes[at];
  if (type !== 0 && type !== 1) return undefined;
  const keyLength = bytes[at + 1];
  if (keyLength === undefined || !isOurKey(keyLength, bytes[at + 2])) return undefined;
  const keyEnd = at + 2 + keyLength;
  if (keyEnd > bytes.length) return undefined;
  const key = copy(bytes.subarray(at + 2, keyEnd));
  if (type === 0) return { entry: { key, value: undefined, sequence }, end: keyEnd };
  const length = readVarint(bytes, keyEnd);
  if (length === undefined || !isOurValue(length.value)) return undefined;
  const end = length.end + length.value;
  if (end > bytes.length) return undefined;
  return { entry: { key, value: copy(bytes.subarray(length.end, end)), sequence }, end };
}

/** `varint shared ‖ varint unshared ‖ varint value length ‖ key bytes after the shared ones ‖ value` of a block. */
function tableEntryAt(
  bytes: Uint8Array,
  at: number,
  previous: Uint8Array,
): { entry: ScannedEntry; internalKey: Uint8Array; end: number } | undefined {
  const shared = readVarint(bytes, at);
  if (shared === undefined || shared.value > previous.length) return undefined;
  const unshared = readVarint(bytes, shared.end);
  if (unshared === undefined) return undefined;
  const keyLength = shared.value + unshared.value - TRAILER_BYTES;
  if (!KEY_LENGTHS.has(keyLength)) return undefined;
  const valueLength = readVarint(bytes, unshared.end);
  if (valueLength === undefined || (valueLength.value !== 0 && !isOurValue(valueLength.value))) {
    return undefined;
  }
  const valueStart = valueLength.end + unshared.value;
  const end = valueStart + valueLength.value;
  if (end > bytes.length) return undefined;
  const internalKey = new Uint8Array(keyLength + TRAILER_BYTES);
  internalKey.set(previous.subarray(0, shared.value));
  internalKey.set(bytes.subarray(valueLength.end, valueStart), shared.value);
  const sequence = readSequence(internalKey, keyLength + 1, 7);
  if (!isOurKey(keyLength, internalKey[0]) || sequence === undefined) return undefined;
  const key = internalKey.slice(0, keyLength);
  const value = valueLength.value === 0 ? undefined : copy(bytes.subarray(valueStart, end));
  return { entry: { key, value, sequence }, internalKey, end };
}

function isOurKey(lengthBytes: number, first: number | undefined): boolean {
  if (first === undefined || !KEY_LENGTHS.has(lengthBytes)) return false;
  const table = first & ~MIRROR_BIT;
  return table > 0 && table <= MAX_TABLE;
}

function isOurValue(lengthBytes: number): boolean {
  return lengthBytes >= MIN_VALUE_BYTES && lengthBytes <= MAX_VALUE_BYTES;
}

function readVarint(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 3; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    value |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  return undefined;
}

function readSequence(bytes: Uint8Array, at: number, lengthBytes: 7 | 8): number | undefined {
  if (at + lengthBytes > bytes.length) return undefined;
  let value = 0;
  for (let index = lengthBytes - 1; index >= 0; index--) value = value * 256 + (bytes[at + index] as number);
  return value <= MAX_SEQUENCE ? value : undefined;
}
