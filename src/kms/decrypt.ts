/**
 * Decrypt: what Encrypt or GenerateDataKey sealed. The blob names its key; a key in the request is a constraint.
 * Source: AWS KMS API, Decrypt; docs/format.md#blob.
 * @module
 */
import { optional, unknown } from "valibot";
import { equal } from "../bytes.ts";
import { IncorrectKeyError, InvalidCiphertextError, isCofferError } from "../errors.ts";
import { openBlob, type ParsedBlob, unopenedBlob } from "../formats/blob.ts";
import type { EncryptionContext } from "../formats/context.ts";
import type { KeyRecord } from "../formats/records/tables.ts";
import { formatKeyId, parseKeyReference } from "../keystore/key-reference.ts";
import type { KeyOperation } from "../keystore/key-state.ts";
import type { Keystore } from "../keystore/keystore.ts";
import { SYMMETRIC_DEFAULT } from "../keystore/new-key.ts";
import { blobArgument } from "./byte-arguments.ts";
import { contextArgument } from "./encrypt.ts";
import { assertEncrypts, assertStateOf } from "./key-metadata.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { optionalText, requestOf } from "./request.ts";

export interface DecryptRequest {
  /** A blob: bytes, or their Base64 text (standard alphabet, padded). Copied. */
  readonly ciphertextBlob: Uint8Array | string;
  /** Exactly the names and values of the encryption, in any order. @defaultValue `{}` */
  readonly encryptionContext?: EncryptionContext | undefined;
  /** Key id or alias of the only key that may be used; an alias means its present target. @defaultValue any key */
  readonly keyId?: string | undefined;
}

export interface DecryptResponse {
  /** Verified. The caller's own: wipe it when done. */
  readonly plaintext: Uint8Array;
  /** Id of the key that was used, a UUID. */
  readonly keyId: string;
  /** Version of the key's material that was used. */
  readonly keyVersion: number;
  readonly encryptionAlgorithm: "SYMMETRIC_DEFAULT";
}

export interface DecryptParameters extends CommonParameters {
  readonly keyId: string | undefined;
  readonly blob: ParsedBlob;
  /** Canonical encryption context. */
  readonly cec: Uint8Array;
}

const request = requestOf({
  ciphertextBlob: unknown(),
  encryptionContext: optional(unknown()),
  keyId: optionalText,
});

export const decrypt: ReadingOperation<DecryptParameters, DecryptResponse> = {
  name: "decrypt",
  accept(input) {
    const { keyId, ciphertextBlob, encryptionContext, dryRun } = request(input);
    const cec = contextArgument(encryptionContext);
    return { keyId, blob: blobArgument("ciphertextBlob", ciphertextBlob), cec, dryRun };
  },
  perform(keystore, { keyId, blob, cec }) {
    const key = decryptingKey("decrypt", keystore, blob, keyId);
    return {
      plaintext: openUnder(keystore, key, blob, cec),
      keyId: formatKeyId(key.id),
      keyVersion: blob.header.version,
      encryptionAlgorithm: SYMMETRIC_DEFAULT,
    };
  },
  keysUsed: ({ keyId }) => [keyId],
};

/**
 * Returns the key that a blob names, when the request allows it and it may decrypt. No key is used yet.
 * @throws IncorrectKeyError when the request names another key. @throws InvalidCiphertextError reason `other-vault`.
 * @throws NotFoundError for a key that is unknown or was deleted. What state and usage refuse.
 */
export function decryptingKey(
  operation: KeyOperation,
  keystore: Keystore,
  { header }: ParsedBlob,
  keyId: string | undefined,
): KeyRecord {
  if (keyId !== undefined) {
    const expected = keystore.resolveId(parseKeyReference(keyId));
    if (!equal(expected, header.keyId)) throw incorrectKey(keyId, expected, header.keyId);
  }
  const key = keyOfBlob(keystore, header.keyId, header.vaultHint);
  assertStateOf(operation, key);
  assertEncrypts(operation, key);
  return key;
}

/** Returns the plaintext. @throws InvalidCiphertextError, the same for whatever is wrong. */
export function openUnder(keystore: Keystore, key: KeyRecord, blob: ParsedBlob, cec: Uint8Array): Uint8Array {
  return openBlob(blobKeyOf(keystore, key, blob.header.version), blob, cec);
}

function incorrectKey(keyId: string, expected: Uint8Array, actual: Uint8Array): IncorrectKeyError {
  const named = formatKeyId(expected);
  const subject = keyId.startsWith("alias/")
    ? `${keyId} now points to key ${named}`
    : `Key ${named} was named`;
  const keyOfCiphertext = formatKeyId(actual);
  return new IncorrectKeyError(
    `${subject}, but the ciphertext was made by key ${keyOfCiphertext}. Leave keyId out to allow any key of this vault.`,
    { details: { keyId: named, keyOfCiphertext } },
  );
}

function keyOfBlob(keystore: Keystore, keyId: Uint8Array, vaultHint: Uint8Array): KeyRecord {
  try {
    return keystore.key(keyId);
  } catch (error) {
    if (!isCofferError(error, "COFFER_NOT_FOUND")) throw error;
    if (equal(vaultHint, keystore.vaultHint)) throw error;
    throw new InvalidCiphertextError(
      `The ciphertext was made in another vault, by its key ${formatKeyId(keyId)}. Open that vault to decrypt it.`,
      { details: { reason: "other-vault", keyId: formatKeyId(keyId) } },
    );
  }
}

/** A version that does not exist must look like any other tampering. */
function blobKeyOf(keystore: Keystore, key: KeyRecord, version: number): Uint8Array {
  try {
    return keystore.blobKey(key, version);
  } catch (error) {
    if (isCofferError(error, "COFFER_NOT_FOUND")) throw unopenedBlob();
    throw error;
  }
}
