/**
 * Encrypt: small data under a CMK. Source: AWS KMS API, Encrypt; docs/format.md#blob.
 * @module
 */
import { optional, unknown } from "valibot";
import { LimitExceededError } from "../errors.ts";
import { type BlobHeader, sealBlob } from "../formats/blob.ts";
import { type EncryptionContext, encodeContext } from "../formats/context.ts";
import type { KeyRecord } from "../formats/records/tables.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import type { KeyOperation } from "../keystore/key-state.ts";
import type { Keystore } from "../keystore/keystore.ts";
import { SYMMETRIC_DEFAULT } from "../keystore/new-key.ts";
import { MAX_ENCRYPT_BYTES } from "../limits.ts";
import { type ByteLimits, plaintextArgument } from "./byte-arguments.ts";
import { assertEncrypts, assertStateOf } from "./key-metadata.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { optionalText, requestOf } from "./request.ts";

export interface EncryptRequest {
  /** Key id or alias. @defaultValue `"alias/default"` */
  readonly keyId?: string | undefined;
  /** 1 to 6,144 bytes; a string is taken as UTF-8. Copied; the copy is wiped. For more there is encryptFile. */
  readonly plaintext: Uint8Array | string;
  /**
   * Bound to the ciphertext and not stored in it: decrypt needs the same names and values, in any order. Not secret.
   * Up to 64 pairs and 8,192 bytes. @defaultValue `{}`
   */
  readonly encryptionContext?: EncryptionContext | undefined;
}

export interface EncryptResponse {
  /** The plaintext's length and 104 bytes. Names its key; can be kept anywhere. */
  readonly ciphertextBlob: Uint8Array;
  /** Id of the key that was used: a UUID, also where an alias was given. */
  readonly keyId: string;
  /** Version of the key's material that was used. */
  readonly keyVersion: number;
  readonly encryptionAlgorithm: "SYMMETRIC_DEFAULT";
}

export interface EncryptParameters extends CommonParameters {
  readonly keyId: string | undefined;
  readonly plaintext: Uint8Array;
  /** Canonical encryption context. */
  readonly cec: Uint8Array;
}

const PLAINTEXT_LIMITS: ByteLimits = {
  minBytes: 1,
  maxBytes: MAX_ENCRYPT_BYTES,
  tooLong: (lengthBytes) =>
    new LimitExceededError(
      `plaintext: encrypt takes at most ${MAX_ENCRYPT_BYTES} bytes, got ${lengthBytes}. Use encryptFile or encryptStream (on the command line: coffer file encrypt), which take any size.`,
      { details: { limit: MAX_ENCRYPT_BYTES, lengthBytes } },
    ),
};

const request = requestOf({
  keyId: optionalText,
  plaintext: unknown(),
  encryptionContext: optional(unknown()),
});

export const encrypt: ReadingOperation<EncryptParameters, EncryptResponse> = {
  name: "encrypt",
  accept(input) {
    const { keyId, plaintext, encryptionContext, dryRun } = request(input);
    const cec = contextArgument(encryptionContext);
    return { keyId, plaintext: plaintextArgument("plaintext", plaintext, PLAINTEXT_LIMITS), cec, dryRun };
  },
  secretsOf: ({ plaintext }) => [plaintext],
  perform(keystore, { keyId, plaintext, cec }) {
    const key = encryptingKey("encrypt", keystore, keyId);
    return {
      ciphertextBlob: sealUnder(keystore, key, cec, plaintext),
      keyId: formatKeyId(key.id),
      keyVersion: key.version,
      encryptionAlgorithm: SYMMETRIC_DEFAULT,
    };
  },
  keysUsed: ({ keyId }) => [keyId],
};

/** Returns the canonical bytes of a context argument. @throws as `encodeContext` does. */
export function contextArgument(encryptionContext: unknown): Uint8Array {
  return encodeContext(encryptionContext as EncryptionContext | undefined);
}

/** Returns the key that a request names, fit for encryption. @throws NotFoundError and what state and usage refuse. */
export function encryptingKey(
  operation: KeyOperation,
  keystore: Keystore,
  keyId: string | undefined,
): KeyRecord {
  const key = keystore.resolve(keyId);
  assertStateOf(operation, key);
  assertEncrypts(operation, key);
  return key;
}

/** Returns the blob of a plaintext under a key's current version. */
export function sealUnder(
  keystore: Keystore,
  key: KeyRecord,
  cec: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return sealBlob(keystore.blobKey(key, key.version), blobHeaderOf(keystore, key), cec, plaintext);
}

/** Returns the header of blobs under a key's current version. */
export function blobHeaderOf({ vaultHint }: Keystore, { id: keyId, version }: KeyRecord): BlobHeader {
  return { keyId, version, vaultHint };
}
