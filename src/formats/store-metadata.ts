/**
 * Metadata of a stored file: a string-to-string map, kept in the canonical bytes of an encryption context.
 * Source: docs/format.md#store-index [F-232].
 * @module
 */
import { isWellFormed } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { DamagedError, InvalidArgumentError, LimitExceededError } from "../errors.ts";
import { MAX_CONTEXT_PAIRS, MAX_METADATA_BYTES } from "../limits.ts";
import { decodeContext, encodeContext } from "./context.ts";

/** Names and values that an application keeps with a file, encrypted like its name. */
export type StoreMetadata = Readonly<Record<string, string>>;

/**
 * Returns the canonical bytes; undefined for no metadata.
 * @throws TypeError for anything but a plain object with string values. @throws InvalidArgumentError reason
 *   `ill-formed` for half a character. @throws LimitExceededError above 64 pairs or 4,096 encoded bytes.
 */
export function encodeMetadata(metadata: StoreMetadata | undefined): Uint8Array | undefined {
  if (metadata === undefined) return undefined;
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new TypeError("metadata: expected a plain object");
  }
  const names = Object.keys(metadata);
  if (names.length === 0) return undefined;
  if (names.length > MAX_CONTEXT_PAIRS) throw tooMuch(`${MAX_CONTEXT_PAIRS} pairs`, MAX_CONTEXT_PAIRS);
  let lengthUnits = 0;
  for (const name of names) {
    const value: unknown = metadata[name];
    if (typeof value !== "string")
      throw new TypeError(`metadata: expected string values, got ${typeof value}`);
    lengthUnits += name.length + value.length;
    if (lengthUnits > MAX_METADATA_BYTES) throw tooMuch(`${MAX_METADATA_BYTES} bytes`, MAX_METADATA_BYTES);
    if (isWellFormed(name) && isWellFormed(value)) continue;
    throw new InvalidArgumentError("The metadata holds half a character. Use well-formed strings.", {
      details: { reason: "ill-formed" },
    });
  }
  const bytes = encodeContext(metadata);
  if (bytes.length > MAX_METADATA_BYTES) throw tooMuch(`${MAX_METADATA_BYTES} bytes`, MAX_METADATA_BYTES);
  return bytes;
}

/** Returns the map of canonical bytes; `__proto__` is a name like any other. @throws DamagedError. */
export function decodeMetadata(bytes: Uint8Array | undefined): StoreMetadata {
  if (bytes === undefined) return {};
  try {
    return Object.fromEntries(decodeContext(bytes));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new DamagedError(
      "The metadata of a stored file is not in its form. Restore the vault from a backup.",
      {
        cause: error,
        details: { part: "index", reason: "metadata" },
      },
    );
  }
}

function tooMuch(what: string, limit: number): LimitExceededError {
  return new LimitExceededError(`The metadata of one file has at most ${what}. Keep more in a file.`, {
    details: { limit },
  });
}
