/**
 * Byte arrays: joining, comparing, and the integers of our formats (unsigned, big-endian).
 * Everything returned is a fresh plain `Uint8Array`, never a view of a pool.
 * @module
 */
import { timingSafeEqual } from "node:crypto";

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Checks a byte argument of calling code, and its length where one is given.
 * @throws TypeError unless it is a `Uint8Array`. @throws RangeError for another length.
 */
export function assertBytes(name: string, bytes: unknown, lengthBytes?: number): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(`${name}: expected a Uint8Array, got ${bytes === null ? "null" : typeof bytes}`);
  }
  if (lengthBytes !== undefined && bytes.length !== lengthBytes) {
    throw new RangeError(`${name}: expected ${lengthBytes} bytes, got ${bytes.length}`);
  }
}

/** Returns the parts joined, in a new array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * Returns zeros outside of the engine's heap. Arrays of up to 64 bytes lie on it otherwise, where the collector moves
 * them and leaves what they held behind: keys are kept in these.
 */
export function offHeap(lengthBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(lengthBytes));
}

/** Returns a copy on memory of its own, off the engine's heap, which a transfer or a wipe may touch alone. */
export function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copied = offHeap(bytes.length);
  copied.set(bytes);
  return copied;
}

/** Compares in constant time; the lengths are public. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Orders byte strings as LevelDB does: by the first differing byte, then by length. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Returns the bytes of an ASCII label followed by one zero byte: `L("x")` of docs/format.md. */
export function label(text: string): Uint8Array<ArrayBuffer> {
  return concat(encoder.encode(text), new Uint8Array(1));
}

/** Returns the UTF-8 bytes of a well-formed string. Check user input with {@link isWellFormed} first. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encoder.encode(text));
}

/** Decodes UTF-8; a byte order mark stays a character. @throws TypeError if the bytes are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  return strictDecoder.decode(bytes);
}

/** True when the string has no lone surrogate, so that UTF-8 carries it unchanged. */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed();
}

/** Lower-case hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** Decodes hexadecimal of either case; spaces are allowed. @throws RangeError on anything else. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replaceAll(/\s/gu, "");
  if (digits.length % 2 !== 0 || !/^[0-9a-f]*$/iu.test(digits)) {
    throw new RangeError("hex: expected an even number of hexadecimal digits");
  }
  return new Uint8Array(Buffer.from(digits, "hex"));
}

export function u8(value: number): Uint8Array<ArrayBuffer> {
  return uint(value, 1);
}

export function u16(value: number): Uint8Array<ArrayBuffer> {
  return uint(value, 2);
}

export function u32(value: number): Uint8Array<ArrayBuffer> {
  return uint(value, 4);
}

/** Eight bytes of a safe integer, 0 to 2^53 − 1. */
export function u64(value: number): Uint8Array<ArrayBuffer> {
  return uint(value, 8);
}

function uint(value: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const limit = lengthBytes === 8 ? Number.MAX_SAFE_INTEGER : 256 ** lengthBytes - 1;
  if (!Number.isSafeInteger(value) || value < 0 || value > limit) {
    throw new RangeError(`integer: expected 0 to ${limit}, got ${value}`);
  }
  const bytes = new Uint8Array(lengthBytes);
  let rest = value;
  for (let i = lengthBytes - 1; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

/** Reads two bytes at `offset`. The caller has checked the length. */
export function readU16(bytes: Uint8Array, offset: number): number {
  return view(bytes).getUint16(offset);
}

/** Reads four bytes at `offset`. The caller has checked the length. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return view(bytes).getUint32(offset);
}

/**
 * Reads eight bytes at `offset`. The caller has checked the length.
 * @returns `undefined` above 2^53 − 1: formats refuse such values rather than round them.
 */
export function readU64(bytes: Uint8Array, offset: number): number | undefined {
  const high = view(bytes).getUint32(offset);
  if (high > 0x1f_ffff) return undefined;
  return high * 2 ** 32 + view(bytes).getUint32(offset + 4);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
