/**
 * Canonical encryption context (CEC): the one byte string for a string-to-string map.
 * Layout: `u16 count ‖ count × (u16 length ‖ key ‖ u16 length ‖ value)`, sorted by the UTF-8 bytes of the key.
 * Source: docs/format.md#canonical-encryption-context [F-20…F-24].
 * @module
 */
import { compare, concat, fromUtf8, isWellFormed, readU16, u16, utf8 } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { InvalidArgumentError, LimitExceededError } from "../errors.ts";
import { MAX_CONTEXT_BYTES, MAX_CONTEXT_PAIRS } from "../limits.ts";

/** Names and values that are bound to a ciphertext, and not secret. Compared byte for byte: no normalisation. */
export type EncryptionContext = Readonly<Record<string, string>>;

const COUNT_BYTES = 2;
const LENGTH_BYTES = 2;

/**
 * Returns the canonical bytes; `00 00` for no context.
 *
 * Takes a plain object's own enumerable string properties, `__proto__` included, and reads each once.
 * @throws TypeError for anything but a plain object with string values.
 * @throws InvalidArgumentError reason `ill-formed` for a lone surrogate, which UTF-8 cannot carry.
 * @throws LimitExceededError above {@link MAX_CONTEXT_PAIRS} pairs or {@link MAX_CONTEXT_BYTES} encoded bytes.
 */
export function encodeContext(context: EncryptionContext | undefined): Uint8Array<ArrayBuffer> {
  if (context === undefined) return u16(0);
  assertPlainObject(context);
  const names = Object.keys(context);
  if (names.length > MAX_CONTEXT_PAIRS) {
    throw new LimitExceededError(
      `The encryption context has ${names.length} pairs. Use at most ${MAX_CONTEXT_PAIRS}.`,
      { details: { pairs: names.length, limit: MAX_CONTEXT_PAIRS } },
    );
  }
  const pairs: { key: Uint8Array; value: Uint8Array }[] = [];
  let length = COUNT_BYTES;
  for (const name of names) {
    const value: unknown = context[name];
    if (typeof value !== "string") {
      throw new TypeError(`encryptionContext: expected string values, got ${kindOf(value)}`);
    }
    const pair = { key: encodeText(name), value: encodeText(value) };
    length += 2 * LENGTH_BYTES + pair.key.length + pair.value.length;
    if (length > MAX_CONTEXT_BYTES) throw tooLong();
    pairs.push(pair);
  }
  pairs.sort((a, b) => compare(a.key, b.key));
  const parts = pairs.flatMap(({ key, value }) => [u16(key.length), key, u16(value.length), value]);
  return concat(u16(pairs.length), ...parts);
}

/**
 * Returns the pairs of a canonical context, in its order. Only canonical bytes are accepted: each map has one encoding.
 * @throws MalformedError for anything else; says what, uses no key.
 */
export function decodeContext(bytes: Uint8Array): ReadonlyMap<string, string> {
  if (bytes.length < COUNT_BYTES) throw malformed("is cut");
  if (bytes.length > MAX_CONTEXT_BYTES) throw malformed("is too long");
  const count = readU16(bytes, 0);
  if (count > MAX_CONTEXT_PAIRS) throw malformed("has too many pairs");
  const pairs = new Map<string, string>();
  let at = COUNT_BYTES;
  let previous: Uint8Array | undefined;
  const next = (): Uint8Array => {
    if (at + LENGTH_BYTES > bytes.length) throw malformed("is cut");
    const start = at + LENGTH_BYTES;
    const end = start + readU16(bytes, at);
    if (end > bytes.length) throw malformed("is cut");
    at = end;
    return bytes.subarray(start, end);
  };
  for (let i = 0; i < count; i++) {
    const key = next();
    if (previous !== undefined && compare(previous, key) >= 0) throw malformed("is not in order");
    previous = key;
    pairs.set(decodeText(key), decodeText(next()));
  }
  if (at !== bytes.length) throw malformed("has bytes after its end");
  return pairs;
}

// Another realm's plain object passes; a Map or an array, which would quietly count as empty, does not.
function assertPlainObject(context: unknown): asserts context is object {
  if (typeof context === "object" && context !== null && !Array.isArray(context)) {
    const prototype: unknown = Object.getPrototypeOf(context);
    if (prototype === null || Object.getPrototypeOf(prototype) === null) return;
  }
  throw new TypeError(`encryptionContext: expected a plain object, got ${kindOf(context)}`);
}

function encodeText(text: string): Uint8Array {
  if (text.length > MAX_CONTEXT_BYTES) throw tooLong();
  if (!isWellFormed(text)) {
    throw new InvalidArgumentError(
      "The encryption context holds a lone surrogate. Use well-formed strings, or encode bytes as Base64.",
      { details: { reason: "ill-formed" } },
    );
  }
  return utf8(text);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes);
  } catch {
    throw malformed("is not UTF-8");
  }
}

function tooLong(): LimitExceededError {
  return new LimitExceededError(
    `The encryption context is longer than ${MAX_CONTEXT_BYTES} bytes when encoded. Shorten it.`,
    { details: { limit: MAX_CONTEXT_BYTES } },
  );
}

function malformed(what: string): MalformedError {
  return new MalformedError(`encryption context: ${what}`);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}
