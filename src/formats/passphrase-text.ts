/**
 * From what a person typed to the bytes that Argon2id takes, the same on every platform and keyboard.
 * Source: docs/format.md#passphrases [F-95…F-97].
 * @module
 */
import { assertBytes, copy, isWellFormed, utf8 } from "../bytes.ts";
import { InvalidArgumentError, LimitExceededError } from "../errors.ts";
import { MAX_PASSPHRASE_BYTES } from "../limits.ts";
import { wipe } from "../secret.ts";

/** No longer string has a normal form of 1,024 bytes or less: composing never joins this many code units. */
const MAX_CODE_UNITS = 4 * MAX_PASSPHRASE_BYTES;

/**
 * Returns the bytes of a passphrase given as text: every space separator becomes U+0020, then NFC, then UTF-8.
 * Nothing is trimmed and no case is folded. The result is the caller's to wipe; the string cannot be wiped.
 * @throws InvalidArgumentError reason `ill-formed`, `control-character` or `empty`.
 * @throws LimitExceededError above {@link MAX_PASSPHRASE_BYTES} bytes.
 */
export function normalizePassphrase(text: string): Uint8Array<ArrayBuffer> {
  if (typeof text !== "string") throw new TypeError(`passphrase: expected a string, got ${typeof text}`);
  if (text.length > MAX_CODE_UNITS) throw tooLong();
  if (!isWellFormed(text))
    throw refused("The passphrase holds half a character. Type it again.", "ill-formed");
  if (/\p{Cc}/u.test(text)) {
    throw refused(
      "The passphrase holds a control character, such as a line break. Remove it.",
      "control-character",
    );
  }
  const bytes = utf8(text.replaceAll(/\p{Zs}/gu, " ").normalize("NFC"));
  try {
    assertLength(bytes);
  } catch (error) {
    wipe(bytes);
    throw error;
  }
  return bytes;
}

/**
 * Returns a copy of a passphrase given as bytes, which are taken as they are: no string is ever made of them.
 * @throws InvalidArgumentError reason `empty`.
 * @throws LimitExceededError above {@link MAX_PASSPHRASE_BYTES} bytes.
 */
export function passphraseBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  assertBytes("passphrase", bytes);
  assertLength(bytes);
  return copy(bytes);
}

function assertLength(bytes: Uint8Array): void {
  if (bytes.length === 0) throw refused("The passphrase is empty. Give at least one character.", "empty");
  if (bytes.length > MAX_PASSPHRASE_BYTES) throw tooLong();
}

function refused(message: string, reason: string): InvalidArgumentError {
  return new InvalidArgumentError(message, { details: { reason } });
}

function tooLong(): LimitExceededError {
  return new LimitExceededError(
    `The passphrase is longer than ${MAX_PASSPHRASE_BYTES} bytes. Was a file given by mistake?`,
    { details: { limit: MAX_PASSPHRASE_BYTES } },
  );
}
