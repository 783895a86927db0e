/**
 * The blob (COB): what Encrypt returns.
 * Layout: `"COB" ‖ version 01 ‖ suite 01 ‖ flags 00 ‖ u16 0 ‖ key id[16] ‖ u32 material version ‖ vault hint[4] ‖
 * SEAL(Kenc, blob context, plaintext)`. Source: docs/format.md#blob [F-40…F-46].
 * @module
 */
import { assertBytes, concat, hex, readU32, u32 } from "../bytes.ts";
import { AuthenticationError, MalformedError } from "../crypto/failures.ts";
import type { DrawRandom } from "../crypto/random.ts";
import { open, sealAfter, type SealedRandom, sealRandomAfter } from "../crypto/seal.ts";
import { InvalidCiphertextError, UnsupportedFormatError } from "../errors.ts";
import { MAX_SEAL_BYTES } from "../limits.ts";
import { blobContext, ID_BYTES, VAULT_HINT_BYTES } from "./key-schedule.ts";

/** Length of the header, which the seal's context covers whole. */
const BLOB_HEADER_BYTES = 32;
/** Length of a blob minus its plaintext. */
export const BLOB_OVERHEAD_BYTES = 104;
const MAX_BLOB_BYTES = BLOB_OVERHEAD_BYTES + MAX_SEAL_BYTES;

const MAGIC = "434f42";
const VERSION_OFFSET = 3;
const SUITE_OFFSET = 4;
const RESERVED_OFFSET = 5;
const KEY_ID_OFFSET = 8;
const MATERIAL_VERSION_OFFSET = 24;
const VAULT_HINT_OFFSET = 28;
const VERSION = 1;
const SUITE = 1;

/** The public part of a blob. Unauthenticated until {@link openBlob} succeeds. */
export interface BlobHeader {
  /** The CMK's id, 16 bytes. */
  readonly keyId: Uint8Array;
  /** The CMK's material version, 0 to 2^32 − 1. */
  readonly version: number;
  /** Which vault it came from, 4 bytes; for the wording of an error only. */
  readonly vaultHint: Uint8Array;
}

/** A blob taken apart, on memory of its own. */
export interface ParsedBlob {
  readonly header: BlobHeader;
  /** The 32 header bytes as read. */
  readonly headerBytes: Uint8Array;
  readonly sealed: Uint8Array;
}

/**
 * What other things begin with, so that a wrong file is told apart before any key is used [F-45].
 * `reason` is the stable part; the sentence may improve.
 */
const RECOGNISED: readonly { readonly prefix: string; readonly reason: string; readonly message: string }[] =
  [
    {
      prefix: "89434f460d0a1a0a",
      reason: "coffer-file",
      message: "This is an encrypted file of Coffer, not a blob. Use decryptFile.",
    },
    {
      prefix: "89434f560d0a1a0a",
      reason: "coffer-vault-header",
      message: "This is a vault header of Coffer, not a blob. Open the vault's directory.",
    },
    {
      prefix: "89434f410d0a1a0a",
      reason: "coffer-backup",
      message: "This is a backup of a Coffer vault, not a blob. Restore it.",
    },
    {
      prefix: ascii("age-encryption.org/"),
      reason: "age",
      message: "This is a file of age, not a blob of Coffer. Decrypt it with age.",
    },
    {
      prefix: ascii("-----BEGIN AGE ENCRYPTED FILE-----"),
      reason: "age",
      message: "This is a file of age, not a blob of Coffer. Decrypt it with age.",
    },
    {
      prefix: "0102020078",
      reason: "aws-kms",
      message: "This looks like a ciphertext of AWS KMS, which only AWS KMS can decrypt.",
    },
    {
      prefix: ascii("AQICAH"),
      reason: "aws-kms",
      message: "This looks like the Base64 text of an AWS KMS ciphertext, which only AWS KMS can decrypt.",
    },
    {
      prefix: "0180",
      reason: "aws-encryption-sdk",
      message: "This looks like a message of the AWS Encryption SDK. Decrypt it with that SDK.",
    },
    {
      prefix: "020478",
      reason: "aws-encryption-sdk",
      message: "This looks like a message of the AWS Encryption SDK. Decrypt it with that SDK.",
    },
    {
      prefix: "020578",
      reason: "aws-encryption-sdk",
      message: "This looks like a message of the AWS Encryption SDK. Decrypt it with that SDK.",
    },
    {
      prefix: ascii("Q09C"),
      reason: "base64-text",
      message: "This is the Base64 text of a blob. Decode it first, or pass it as a string.",
    },
  ];

/**
 * Returns the blob of a plaintext of 0 to 16,383 bytes.
 * @param kenc 32 bytes of {@link blobKey} for exactly this key id and version.
 * @param cec the canonical encryption context.
 * @throws RangeError for a field of the wrong length.
 */
export function sealBlob(
  kenc: Uint8Array,
  header: BlobHeader,
  cec: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const headerBytes = encodeBlobHeader(header);
  return sealAfter(headerBytes, kenc, blobContext(headerBytes, cec), plaintext);
}

/**
 * Returns 1 to 1,024 fresh bytes and their blob, else as {@link sealBlob}. The caller wipes the plaintext.
 * @param draw another source than the system's is for tests.
 */
export function sealRandomBlob(
  kenc: Uint8Array,
  header: BlobHeader,
  cec: Uint8Array,
  lengthBytes: number,
  draw?: DrawRandom,
): SealedRandom {
  const headerBytes = encodeBlobHeader(header);
  return sealRandomAfter(headerBytes, kenc, blobContext(headerBytes, cec), lengthBytes, draw);
}

/** Returns the 32 header bytes. @throws RangeError for a field of the wrong length. */
function encodeBlobHeader(header: BlobHeader): Uint8Array<ArrayBuffer> {
  assertBytes("keyId", header.keyId, ID_BYTES);
  assertBytes("vaultHint", header.vaultHint, VAULT_HINT_BYTES);
  const fixed = Uint8Array.of(0x43, 0x4f, 0x42, VERSION, SUITE, 0, 0, 0);
  return concat(fixed, header.keyId, u32(header.version), header.vaultHint);
}

/**
 * Takes a blob apart. Uses no key, so it may say what is wrong [F-44].
 * @throws UnsupportedFormatError for a blob of a later version or another suite [F-4] [F-42].
 * @throws InvalidCiphertextError with a `reason` for what is no blob: `empty`, `cut`, `too-long`, `reserved`,
 *   `coffer-file`, `coffer-vault-header`, `coffer-backup`, `age`, `aws-kms`, `aws-encryption-sdk`, `base64-text`,
 *   `not-a-blob`.
 */
export function parseBlob(bytes: Uint8Array): ParsedBlob {
  if (hex(bytes.subarray(0, VERSION_OFFSET)) !== MAGIC) throw notABlob(bytes);
  if (bytes.length <= SUITE_OFFSET) throw cut(bytes);
  if (bytes[VERSION_OFFSET] !== VERSION || bytes[SUITE_OFFSET] !== SUITE) {
    throw new UnsupportedFormatError(
      `This blob has format version ${bytes[VERSION_OFFSET]}, suite ${bytes[SUITE_OFFSET]}; this release reads version ${VERSION}, suite ${SUITE}. Use a newer release.`,
      {
        details: {
          format: "blob",
          version: bytes[VERSION_OFFSET] as number,
          suite: bytes[SUITE_OFFSET] as number,
        },
      },
    );
  }
  if (bytes.length < BLOB_OVERHEAD_BYTES) throw cut(bytes);
  if (bytes.length > MAX_BLOB_BYTES) {
    throw invalid(
      `This blob has ${bytes.length} bytes; no blob has more than ${MAX_BLOB_BYTES}. Check where it was stored.`,
      "too-long",
    );
  }
  if (bytes.subarray(RESERVED_OFFSET, KEY_ID_OFFSET).some((byte) => byte !== 0)) {
    throw invalid(
      "This blob has reserved bytes that are not zero. It was altered; fetch it again.",
      "reserved",
    );
  }
  const own = new Uint8Array(bytes);
  const headerBytes = own.subarray(0, BLOB_HEADER_BYTES);
  return {
    header: {
      keyId: own.subarray(KEY_ID_OFFSET, MATERIAL_VERSION_OFFSET),
      version: readU32(own, MATERIAL_VERSION_OFFSET),
      vaultHint: own.subarray(VAULT_HINT_OFFSET, BLOB_HEADER_BYTES),
    },
    headerBytes,
    sealed: own.subarray(BLOB_HEADER_BYTES),
  };
}

/**
 * Returns the plaintext, in a new array.
 * @throws InvalidCiphertextError, one message for a wrong key, a wrong context and changed bytes alike [F-46].
 */
export function openBlob(kenc: Uint8Array, parsed: ParsedBlob, cec: Uint8Array): Uint8Array {
  try {
    return open(kenc, blobContext(parsed.headerBytes, cec), parsed.sealed);
  } catch (error) {
    if (error instanceof AuthenticationError || error instanceof MalformedError) throw unopenedBlob();
    throw error;
  }
}

/**
 * The one answer once a key is involved, for callers that fail there for reasons of their own [F-46].
 * Carries no cause and no details.
 */
export function unopenedBlob(): InvalidCiphertextError {
  return new InvalidCiphertextError(
    "The ciphertext cannot be decrypted. Check that it is complete and that key and encryption context are those it was encrypted with.",
  );
}

function notABlob(bytes: Uint8Array): InvalidCiphertextError {
  if (bytes.length === 0) return invalid("There is nothing to decrypt: the ciphertext is empty.", "empty");
  const start = hex(bytes.subarray(0, 64));
  for (const { prefix, reason, message } of RECOGNISED) {
    if (start.startsWith(prefix)) return invalid(message, reason);
  }
  return invalid("This is not a blob of Coffer. Check that it is what Encrypt returned.", "not-a-blob");
}

function cut(bytes: Uint8Array): InvalidCiphertextError {
  return invalid(
    `This blob has ${bytes.length} bytes; the shortest has ${BLOB_OVERHEAD_BYTES}. It was cut; fetch it again.`,
    "cut",
  );
}

function invalid(message: string, reason: string): InvalidCiphertextError {
  return new InvalidCiphertextError(message, { details: { reason } });
}

function ascii(text: string): string {
  return Buffer.from(text, "latin1").toString("hex");
}
