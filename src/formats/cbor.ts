/**
 * The CBOR of our records: one byte string for each value, and a guard that sees every byte before the decoder does.
 * cbor-x by itself builds tagged types and circular references, and lets duplicate keys, longer heads and bad UTF-8
 * pass. Source: docs/format.md#cbor-profile [F-70…F-75], RFC 8949 §4.2.1.
 * @module
 */
import { isAscii } from "node:buffer";

import { Decoder, Encoder } from "cbor-x/index-no-eval";

import { compare, copy, fromUtf8, isWellFormed, readU16, readU32, readU64 } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { MAX_CBOR_DEPTH, MAX_CBOR_ITEMS, MAX_SEAL_BYTES } from "../limits.ts";

/**
 * A value of the profile: an unsigned integer up to 2^53 − 1, text, bytes, a boolean, an array, or a map with text
 * keys. Maps are `Map`s, so that `__proto__` is a key like any other.
 */
export type CborValue =
  number | string | boolean | Uint8Array | readonly CborValue[] | ReadonlyMap<string, CborValue>;

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const FALSE = 0xf4;
const TRUE = 0xf5;

let encoder: Encoder | undefined;
let decoder: Decoder | undefined;

/**
 * Returns the canonical bytes, on memory of their own.
 * @throws TypeError for a value outside the profile, or a string with a lone surrogate.
 * @throws RangeError past the profile's depth, item count or length.
 */
export function encodeCbor(value: CborValue): Uint8Array<ArrayBuffer> {
  const prepared = prepare(value, 1, { items: 0 });
  encoder ??= new Encoder({
    useRecords: false,
    variableMapSize: true,
    tagUint8Array: false,
    mapsAsObjects: false,
  });
  // cbor-x hands out a view of its pool: what was in a record must not stay there, nor be overwritten under us.
  const pooled = encoder.encode(prepared);
  const bytes = copy(pooled);
  pooled.fill(0);
  if (bytes.length > MAX_SEAL_BYTES) {
    throw new RangeError(`cbor: expected at most ${MAX_SEAL_BYTES} bytes, got ${bytes.length}`);
  }
  return bytes;
}

/**
 * Returns the value of canonical bytes; its byte strings are copies.
 * @throws MalformedError for all other bytes, in time linear in their number.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  assertCanonical(bytes);
  decoder ??= new Decoder({ useRecords: false, mapsAsObjects: false });
  // A view of its own: cbor-x leaves a property on the array that it reads.
  return own(decoder.decode(bytes.subarray()));
}

/** Where the guard stands in the bytes. */
interface Walk {
  readonly bytes: Uint8Array;
  at: number;
  items: number;
}

function assertCanonical(bytes: Uint8Array): void {
  if (bytes.length > MAX_SEAL_BYTES) throw malformed("is too long", MAX_SEAL_BYTES);
  const walk: Walk = { bytes, at: 0, items: 0 };
  walkItem(walk, 1);
  if (walk.at !== bytes.length) throw malformed("has bytes after its end", walk.at);
}

function walkItem(walk: Walk, depth: number): void {
  const start = walk.at;
  const head = walk.bytes[start];
  if (head === undefined) throw malformed("is cut", start);
  walk.items += 1;
  if (walk.items > MAX_CBOR_ITEMS) throw malformed("has too many items", start);
  if (head === FALSE || head === TRUE) {
    walk.at += 1;
    return;
  }
  const type = head >> 5;
  const argument = walkArgument(walk, head);
  if (type === UNSIGNED) return;
  if (type === BYTES) {
    walkBytes(walk, argument);
  } else if (type === TEXT) {
    walkText(walk, argument);
  } else if (type === ARRAY || type === MAP) {
    if (depth > MAX_CBOR_DEPTH) throw malformed("is nested too deeply", start);
    // Each item takes a byte at least: a count above what is left is refused before anything is done for it.
    if (argument > walk.bytes.length - walk.at) throw malformed("is cut", start);
    if (type === ARRAY) for (let i = 0; i < argument; i++) walkItem(walk, depth + 1);
    else walkMap(walk, argument, depth);
  } else {
    throw malformed("holds a type outside the profile", start);
  }
}

function walkMap(walk: Walk, pairs: number, depth: number): void {
  let previous: Uint8Array | undefined;
  for (let i = 0; i < pairs; i++) {
    const start = walk.at;
    const head = walk.bytes[start];
    if (head !== undefined && head >> 5 !== TEXT) throw malformed("has a key that is not text", start);
    walkItem(walk, depth + 1);
    const key = walk.bytes.subarray(start, walk.at);
    if (previous !== undefined && compare(previous, key) >= 0)
      throw malformed("has keys out of order", start);
    previous = key;
    walkItem(walk, depth + 1);
  }
}

/** Reads a head's argument, in its shortest form only [F-71]. */
function walkArgument(walk: Walk, head: number): number {
  const start = walk.at;
  const short = head & 0x1f;
  walk.at += 1;
  if (short < 24) return short;
  if (short > 27) throw malformed("holds an indefinite length or a reserved head", start);
  const width = 2 ** (short - 24);
  if (walk.at + width > walk.bytes.length) throw malformed("is cut", start);
  const value = readArgument(walk.bytes, walk.at, width);
  walk.at += width;
  if (value === undefined) throw malformed("holds an integer above 2^53 - 1", start);
  const smallest = width === 1 ? 24 : 256 ** (width / 2);
  if (value < smallest) throw malformed("holds a head that is not the shortest", start);
  return value;
}

function readArgument(bytes: Uint8Array, at: number, width: number): number | undefined {
  if (width === 1) return bytes[at];
  if (width === 2) return readU16(bytes, at);
  return width === 4 ? readU32(bytes, at) : readU64(bytes, at);
}

function walkBytes(walk: Walk, length: number): Uint8Array {
  const start = walk.at;
  if (length > walk.bytes.length - start) throw malformed("is cut", start);
  walk.at = start + length;
  return walk.bytes.subarray(start, walk.at);
}

function walkText(walk: Walk, length: number): void {
  const start = walk.at;
  const text = walkBytes(walk, length);
  if (isAscii(text)) return;
  try {
    fromUtf8(text);
  } catch {
    throw malformed("holds text that is not UTF-8", start);
  }
}

/** Copies what cbor-x decoded: its byte strings are views of the input, its 64-bit integers BigInts. */
function own(value: unknown): CborValue {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return copy(value);
  if (Array.isArray(value)) return value.map(own);
  if (value instanceof Map) {
    return new Map(
      [...(value as Map<string, unknown>)].map(([key, item]): [string, CborValue] => [key, own(item)]),
    );
  }
  return value as CborValue;
}

/** Checks a value and gives it the form in which cbor-x writes canonical bytes: sorted maps, BigInt from 2^32 on. */
function prepare(value: unknown, depth: number, count: { items: number }): unknown {
  count.items += 1;
  if (count.items > MAX_CBOR_ITEMS) throw new RangeError(`cbor: expected at most ${MAX_CBOR_ITEMS} items`);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new TypeError(`cbor: expected an integer from 0 to 2^53 - 1, got ${value}`);
    }
    return value < 2 ** 32 ? value : BigInt(value);
  }
  if (typeof value === "string") {
    if (!isWellFormed(value)) throw new TypeError("cbor: expected well-formed text");
    return value;
  }
  if (typeof value === "boolean" || value instanceof Uint8Array) return value;
  const isMap = value instanceof Map;
  if (!isMap && !Array.isArray(value))
    throw new TypeError(`cbor: expected a value of the profile, got ${typeof value}`);
  if (depth > MAX_CBOR_DEPTH) throw new RangeError(`cbor: expected a depth of at most ${MAX_CBOR_DEPTH}`);
  if (!isMap) return value.map((item) => prepare(item, depth + 1, count));
  const pairs = [...(value as Map<unknown, unknown>)].map(([key, item]) => {
    if (typeof key !== "string") throw new TypeError(`cbor: expected text keys, got ${typeof key}`);
    return { key, name: Buffer.from(key), item: prepareKeyed(key, item, depth, count) };
  });
  // By encoded key: a shorter head is a smaller head, so length comes first.
  pairs.sort((a, b) => a.name.length - b.name.length || compare(a.name, b.name));
  return new Map(pairs.map(({ key, item }) => [key, item]));
}

function prepareKeyed(key: string, item: unknown, depth: number, count: { items: number }): unknown {
  prepare(key, depth + 1, count);
  return prepare(item, depth + 1, count);
}

function malformed(what: string, offset: number): MalformedError {
  return new MalformedError(`cbor: ${what} at offset ${offset}`);
}
