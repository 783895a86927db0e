/**
 * The recovery code: a 32-byte key that can be written on paper.
 * Layout: `01 ‖ vault hint[4] ‖ key[32] ‖ CRC-24[3]`, 40 bytes, as 64 characters of Crockford Base32 in sixteen
 * groups of four. Source: docs/format.md#recovery-code [F-90…F-94].
 * @module
 */
import { assertBytes, concat, copy, offHeap } from "../bytes.ts";
import { InvalidArgumentError, UnsupportedFormatError } from "../errors.ts";
import { wipe } from "../secret.ts";
import { KEY_BYTES, VAULT_HINT_BYTES } from "./key-schedule.ts";

/** What a code holds. The key is a secret, and the caller's to wipe. */
export interface RecoveryCode {
  /** The first four bytes of a hash of the vault id: another vault's code is told apart without a KDF. */
  readonly hint: Uint8Array;
  /** 32 bytes: the secret of a recovery slot. */
  readonly key: Uint8Array;
}

const VERSION = 1;
const CODE_BYTES = 40;
const CODE_CHARACTERS = 64;
const CHECKED_BYTES = 37;
/** Far above any way to write 64 characters with separators; refused before work is spent. */
const MAX_TEXT_LENGTH = 1024;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Space, hyphen, tab, carriage return, line feed. */
const SEPARATORS: ReadonlySet<number> = new Set([0x20, 0x2d, 0x09, 0x0d, 0x0a]);

/** CRC-24 of OpenPGP, RFC 4880 §6.1. */
const CRC24_START = 0xb704ce;
const CRC24_POLYNOMIAL = 0x864cfb;

/**
 * Returns the code as text, `XXXX-…-XXXX`, 79 characters. It is a secret that cannot be wiped: show it once.
 * @throws RangeError for a hint or a key of the wrong length.
 */
export function encodeRecoveryCode(vaultHint: Uint8Array, key: Uint8Array): string {
  assertBytes("vaultHint", vaultHint, VAULT_HINT_BYTES);
  assertBytes("key", key, KEY_BYTES);
  const checked = concat(Uint8Array.of(VERSION), vaultHint, key);
  const crc = crc24(checked);
  const bytes = concat(checked, Uint8Array.of(crc >>> 16, (crc >>> 8) & 0xff, crc & 0xff));
  const groups: string[] = [];
  // 5 bytes are 8 digits exactly, so that no group of bits crosses a block.
  for (let at = 0; at < CODE_BYTES; at += 5) {
    const digits = encodeBlock(bytes.subarray(at, at + 5));
    groups.push(digits.slice(0, 4), digits.slice(4));
  }
  wipe(checked, bytes);
  return groups.join("-");
}

/**
 * Returns hint and key of a code as a person wrote it: case, spaces, line breaks and hyphens do not matter;
 * O is read as 0, I and L as 1. Whether the hint is this vault's is for the caller to compare.
 * @throws InvalidArgumentError reason `typo` for a wrong character, length or check sum; found without a KDF [F-93].
 * @throws UnsupportedFormatError for a sound code of a later version.
 */
export function decodeRecoveryCode(text: string | Uint8Array): RecoveryCode {
  if (typeof text !== "string" && !(text instanceof Uint8Array)) {
    throw new TypeError(`recoveryCode: expected a string or a Uint8Array, got ${typeof text}`);
  }
  if (text.length > MAX_TEXT_LENGTH) throw typo();
  const bytes = offHeap(CODE_BYTES);
  try {
    readDigits(text, bytes);
    const stored = (bytes[37] as number) * 65_536 + (bytes[38] as number) * 256 + (bytes[39] as number);
    if (crc24(bytes.subarray(0, CHECKED_BYTES)) !== stored) throw typo();
    if (bytes[0] !== VERSION) {
      throw new UnsupportedFormatError(
        `This recovery code has format version ${bytes[0]}; this release reads version ${VERSION}. Use a newer release.`,
        { details: { format: "recovery-code", version: bytes[0] as number } },
      );
    }
    return { hint: bytes.slice(1, 5), key: copy(bytes.subarray(5, CHECKED_BYTES)) };
  } finally {
    wipe(bytes);
  }
}

/** CRC-24 over the bytes: it finds every error within 24 neighbouring bits, so every wrong character [F-91]. */
export function crc24(bytes: Uint8Array): number {
  let crc = CRC24_START;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if ((crc & 0x1000000) !== 0) crc ^= 0x1000000 | CRC24_POLYNOMIAL;
    }
  }
  return crc;
}

function encodeBlock(block: Uint8Array): string {
  let value = 0;
  for (const byte of block) value = value * 256 + byte;
  let digits = "";
  for (let i = 0; i < 8; i++) {
    digits = ALPHABET.charAt(value % 32) + digits;
    value = Math.floor(value / 32);
  }
  return digits;
}

function readDigits(text: string | Uint8Array, into: Uint8Array): void {
  let count = 0;
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    const code = typeof text === "string" ? text.charCodeAt(i) : (text[i] as number);
    if (SEPARATORS.has(code)) continue;
    const digit = digitOf(code);
    if (digit < 0 || count === CODE_CHARACTERS) throw typo();
    count += 1;
    bits = ((bits << 5) | digit) & 0xfff;
    held += 5;
    if (held >= 8) {
      held -= 8;
      into[at] = (bits >>> held) & 0xff;
      at += 1;
    }
  }
  if (count !== CODE_CHARACTERS) throw typo();
}

/** The value of a character in either case, or −1. */
function digitOf(code: number): number {
  const upper = code >= 0x61 && code <= 0x7a ? code - 0x20 : code;
  const character = String.fromCharCode(upper);
  if (character === "O") return 0;
  if (character === "I" || character === "L") return 1;
  return ALPHABET.indexOf(character);
}

function typo(): InvalidArgumentError {
  return new InvalidArgumentError(
    "The recovery code has a wrong, missing or extra character. Compare it with the paper and type it again.",
    { details: { reason: "typo" } },
  );
}
