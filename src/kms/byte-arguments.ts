/**
 * Byte arguments of requests: a `Uint8Array`, or a string in the one encoding that is natural for it. Always copied.
 * @module
 */
import { copy, isWellFormed, utf8 } from "../bytes.ts";
import { InvalidArgumentError, InvalidCiphertextError } from "../errors.ts";
import { parseBlob, type ParsedBlob } from "../formats/blob.ts";
import { MAX_SEAL_BYTES } from "../limits.ts";
import { kindOf } from "./request.ts";

/** Longest Base64 text that is decoded: that of the longest blob, with room to spare. */
const MAX_BASE64_LENGTH = 2 * MAX_SEAL_BYTES;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;
/** Enough of a text to tell what it is. */
const RECOGNISED_LENGTH = 256;
/** Reasons that say no more of a text than that it is no Base64. */
const UNTELLING: readonly string[] = ["not-a-blob", "base64-text", "cut", "reserved"];

/** Length limits of a byte argument; `tooLong` makes the error for what passes the upper one. */
export interface ByteLimits {
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly tooLong: (lengthBytes: number) => Error;
}

/**
 * Returns a copy of secret bytes; a string is taken as UTF-8. The caller wipes it.
 * @throws TypeError for another type. @throws InvalidArgumentError for too few bytes, or a string with a lone
 *   surrogate (reason `ill-formed`), which UTF-8 cannot carry.
 */
export function plaintextArgument(name: string, value: unknown, limits: ByteLimits): Uint8Array {
  if (typeof value !== "string" && !(value instanceof Uint8Array)) {
    throw new TypeError(`${name}: expected a Uint8Array or a string, got ${kindOf(value)}`);
  }
  const lengthBytes = typeof value === "string" ? Buffer.byteLength(value) : value.length;
  if (lengthBytes < limits.minBytes) {
    throw new InvalidArgumentError(`${name}: expected at least ${limits.minBytes} byte, got ${lengthBytes}`);
  }
  if (lengthBytes > limits.maxBytes) throw limits.tooLong(lengthBytes);
  if (typeof value !== "string") return copy(value);
  if (!isWellFormed(value)) {
    throw new InvalidArgumentError(`${name}: the string has a lone surrogate. Give bytes, or encode them.`, {
      details: { reason: "ill-formed" },
    });
  }
  return utf8(value);
}

/**
 * Takes a blob apart, on memory of its own; a string is taken as Base64 with its padding and without spaces.
 * @throws TypeError for another type. @throws InvalidCiphertextError, UnsupportedFormatError for what is no blob,
 *   saying what it is where that can be told.
 */
export function blobArgument(name: string, value: unknown): ParsedBlob {
  if (value instanceof Uint8Array) return parseBlob(value);
  if (typeof value !== "string") {
    throw new TypeError(`${name}: expected a Uint8Array or a Base64 string, got ${kindOf(value)}`);
  }
  return parseBlob(fromBase64(value));
}

function fromBase64(text: string): Uint8Array {
  if (text.length <= MAX_BASE64_LENGTH && BASE64.test(text)) {
    const bytes = Buffer.from(text, "base64");
    // Bits that no byte has room for would let one blob have several texts.
    if (bytes.toString("base64") === text) return bytes;
  }
  // A text of another tool says what it is; this one only says that it is no Base64.
  recogniseText(text);
  throw new InvalidCiphertextError(
    "The ciphertext is a string that is not Base64 (standard alphabet, padded, no spaces or line breaks). Give the bytes, or their Base64 text.",
    { details: { reason: "not-base64" } },
  );
}

function recogniseText(text: string): void {
  try {
    parseBlob(Buffer.from(text.slice(0, RECOGNISED_LENGTH)));
  } catch (error) {
    if (error instanceof InvalidCiphertextError && !UNTELLING.includes(error.reason ?? "")) {
      throw error;
    }
  }
}
