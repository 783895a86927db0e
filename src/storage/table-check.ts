/**
 * A look at LevelDB's tables before LevelDB reads them. It was built with its assertions: an entry whose key is
 * shorter than eight bytes, as in a sector of zeros, ends the whole process, and so do keys out of order when tables
 * are merged, and a block of absurd length.
 * Checksums are for table-checksums.ts: a record whose value has rotted is still read, and taken from its mirror.
 * Source: LevelDB 1.20, doc/table_format.txt, table/block.cc, table/format.cc.
 * @module
 */
import { compare, readU32 } from "../bytes.ts";

export const FOOTER_BYTES = 48;
export const BLOCK_TRAILER_BYTES = 5;
/** The last bytes of every table. */
const MAGIC: Uint8Array = Uint8Array.of(0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb);
const INTERNAL_KEY_MIN_BYTES = 8;
export const MAX_TABLE_BYTES = 1_073_741_824;

/** Where a block lies, without its trailer of type and checksum. */
export interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/**
 * False for a table without its end: it was never finished, by a killed process or on a full disk, and LevelDB passes
 * over it.
 */
export function isFinished(bytes: Uint8Array): boolean {
  return bytes.length >= FOOTER_BYTES && compare(bytes.subarray(-MAGIC.length), MAGIC) === 0;
}

/** True when reading this table would end the process. One that LevelDB refuses in words is none. */
export function isFatalTable(bytes: Uint8Array): boolean {
  if (!isFinished(bytes)) return false;
  // Footer: handle of the index of indexes, handle of the index, zeros, magic.
  const footer = bytes.length - FOOTER_BYTES;
  const meta = readHandle(bytes, footer);
  const index = meta && readHandle(bytes, meta.end);
  if (meta === undefined || index === undefined) return false;
  if (!isWithin(meta, bytes) || !isWithin(index, bytes)) return true;
  const order = new KeyOrder();
  return isFatalBlock(bytes, index, (_key, at) => {
    const handle = readHandle(bytes, at);
    if (handle === undefined) return false;
    return !isWithin(handle, bytes) || isFatalBlock(bytes, handle, (key) => !order.isNext(key));
  });
}

/** Asked of each entry: its key, which is lent, and the place of its value. */
type IsFatalEntry = (key: Uint8Array, valueStart: number) => boolean;

function isFatalBlock(bytes: Uint8Array, { offset, size }: BlockHandle, isFatalEntry: IsFatalEntry): boolean {
  const end = offset + size;
  const restarts = restartsOf(bytes, offset, end);
  if (restarts === undefined) return false;
  const starts = [offset];
  for (let at = restarts; at < end - 4; at += 4) starts.push(offset + littleEndian32(bytes, at));
  if (walk(bytes, offset, restarts, isFatalEntry)) return true;
  // A search jumps to these and reads one entry.
  return starts.some((at) => entryAt(bytes, at, restarts)?.isFatal === true);
}

function walk(bytes: Uint8Array, from: number, limit: number, isFatalEntry: IsFatalEntry): boolean {
  let key: Uint8Array = new Uint8Array(0);
  for (let at = from; at < limit;) {
    const entry = entryAt(bytes, at, limit);
    // LevelDB stops here in words.
    if (entry === undefined || entry.shared > key.length) return false;
    const { shared, keyLength, valueStart } = entry;
    const next = new Uint8Array(keyLength);
    next.set(key.subarray(0, shared));
    next.set(bytes.subarray(valueStart - keyLength + shared, valueStart), shared);
    key = next;
    if (entry.isFatal || isFatalEntry(key, valueStart)) return true;
    at = entry.end;
  }
  return false;
}

/**
 * The order of a table: keys rise, and of one key the newer comes first.
 * `key[n] ‖ u8 type ‖ u56 sequence`, the last eight bytes as one little-endian number.
 */
class KeyOrder {
  #last: Uint8Array | undefined;

  /** True when this key comes after those before it. Keeps `key`. */
  isNext(key: Uint8Array): boolean {
    const last = this.#last;
    this.#last = key;
    if (last === undefined) return true;
    const order = compare(userPart(last), userPart(key));
    if (order !== 0) return order < 0;
    return (
      compare(last.slice(-INTERNAL_KEY_MIN_BYTES).reverse(), key.slice(-INTERNAL_KEY_MIN_BYTES).reverse()) > 0
    );
  }
}

function userPart(key: Uint8Array): Uint8Array {
  return key.subarray(0, key.length - INTERNAL_KEY_MIN_BYTES);
}

/** One entry of a block; what it says is not believed. */
export interface Entry {
  readonly shared: number;
  readonly keyLength: number;
  readonly valueStart: number;
  readonly end: number;
  readonly isFatal: boolean;
}

/** `varint shared ‖ varint unshared ‖ varint value length ‖ key bytes ‖ value`. */
export function entryAt(bytes: Uint8Array, at: number, limit: number): Entry | undefined {
  if (limit - at < 3) return undefined;
  const shared = readVarint(bytes, at, limit);
  const unshared = shared && readVarint(bytes, shared.end, limit);
  const length = unshared && readVarint(bytes, unshared.end, limit);
  if (shared === undefined || unshared === undefined || length === undefined) return undefined;
  const valueStart = length.end + unshared.value;
  const end = valueStart + length.value;
  if (end > limit) return undefined;
  const keyLength = shared.value + unshared.value;
  return { shared: shared.value, keyLength, valueStart, end, isFatal: keyLength < INTERNAL_KEY_MIN_BYTES };
}

/** Where a block's list of restart points begins; undefined where LevelDB refuses the block in words. */
export function restartsOf(bytes: Uint8Array, offset: number, end: number): number | undefined {
  if (end - offset < 4) return undefined;
  const restarts = end - 4 - 4 * littleEndian32(bytes, end - 4);
  return restarts < offset ? undefined : restarts;
}

function isWithin({ offset, size }: BlockHandle, bytes: Uint8Array): boolean {
  // One that begins within the file and is a little too long is refused in words; one of gigabytes is not.
  return offset + size + BLOCK_TRAILER_BYTES <= bytes.length;
}

/** `varint offset ‖ varint size`, and where it ends. */
export function readHandle(
  bytes: Uint8Array,
  at: number,
): (BlockHandle & { readonly end: number }) | undefined {
  const offset = readVarint(bytes, at, bytes.length);
  const size = offset && readVarint(bytes, offset.end, bytes.length);
  return offset && size && { offset: offset.value, size: size.value, end: size.end };
}

function readVarint(
  bytes: Uint8Array,
  at: number,
  limit: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let index = 0; index < 10 && at + index < limit; index++) {
    const byte = bytes[at + index] as number;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  return undefined;
}

function littleEndian32(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = bytes.subarray(at, at + 4);
  return readU32(Uint8Array.of(d ?? 0, c ?? 0, b ?? 0, a ?? 0), 0);
}
