/**
 * GenerateDataKey: a fresh random key, in clear and under a CMK. Nothing of it is kept.
 * Source: AWS KMS API, GenerateDataKey.
 * @module
 */
import { optional, picklist, unknown } from "valibot";
import { InvalidArgumentError } from "../errors.ts";
import { sealRandomBlob } from "../formats/blob.ts";
import type { EncryptionContext } from "../formats/context.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import type { KeyOperation } from "../keystore/key-state.ts";
import type { Keystore } from "../keystore/keystore.ts";
import { MAX_DATA_KEY_BYTES } from "../limits.ts";
import { blobHeaderOf, contextArgument, encryptingKey } from "./encrypt.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { integerFrom, optionalText, requestOf } from "./request.ts";

const SPEC_BYTES = { AES_256: 32, AES_128: 16 } as const;

export interface GenerateDataKeyRequest {
  /** Key id or alias of the CMK. @defaultValue `"alias/default"` */
  readonly keyId?: string | undefined;
  /** 32 or 16 bytes. Exactly one of `keySpec` and `numberOfBytes` is given. */
  readonly keySpec?: "AES_256" | "AES_128" | undefined;
  /** 1 to 1,024. Exactly one of `keySpec` and `numberOfBytes` is given. */
  readonly numberOfBytes?: number | undefined;
  /** Bound to the encrypted data key, as in encrypt. @defaultValue `{}` */
  readonly encryptionContext?: EncryptionContext | undefined;
}

export interface GenerateDataKeyResponse {
  /** The data key. The caller's own: wipe it when done. */
  readonly plaintext: Uint8Array;
  /** The data key under the CMK, to be kept beside the data; decrypt opens it. */
  readonly ciphertextBlob: Uint8Array;
  /** Id of the CMK, a UUID, also where an alias was given. */
  readonly keyId: string;
  /** Version of the CMK's material that was used. */
  readonly keyVersion: number;
}

export interface GenerateDataKeyParameters extends CommonParameters {
  readonly keyId: string | undefined;
  readonly lengthBytes: number;
  /** Canonical encryption context. */
  readonly cec: Uint8Array;
}

const request = requestOf({
  keyId: optionalText,
  keySpec: optional(picklist(["AES_256", "AES_128"])),
  numberOfBytes: optional(integerFrom(1, MAX_DATA_KEY_BYTES)),
  encryptionContext: optional(unknown()),
});

export const generateDataKey: ReadingOperation<GenerateDataKeyParameters, GenerateDataKeyResponse> = {
  name: "generateDataKey",
  accept: acceptDataKeyRequest,
  perform: (keystore, parameters) => makeDataKey("generateDataKey", keystore, parameters),
  keysUsed: ({ keyId }) => [keyId],
};

/** Checks a request for a data key. @throws InvalidArgumentError unless it says the length exactly once. */
export function acceptDataKeyRequest(input: unknown): GenerateDataKeyParameters {
  const { keyId, keySpec, numberOfBytes, encryptionContext, dryRun } = request(input);
  if ((keySpec === undefined) === (numberOfBytes === undefined)) {
    throw new InvalidArgumentError(
      `keySpec, numberOfBytes: give exactly one of the two, ${keySpec === undefined ? "none" : "both"} is given`,
    );
  }
  const lengthBytes = keySpec === undefined ? (numberOfBytes as number) : SPEC_BYTES[keySpec];
  return { keyId, lengthBytes, cec: contextArgument(encryptionContext), dryRun };
}

/** Makes a data key and seals it. The caller owns the plaintext. */
export function makeDataKey(
  operation: KeyOperation,
  keystore: Keystore,
  { keyId, lengthBytes, cec }: GenerateDataKeyParameters,
): GenerateDataKeyResponse {
  const key = encryptingKey(operation, keystore, keyId);
  const { plaintext, sealed } = sealRandomBlob(
    keystore.blobKey(key, key.version),
    blobHeaderOf(keystore, key),
    cec,
    lengthBytes,
  );
  return {
    plaintext,
    ciphertextBlob: sealed,
    keyId: formatKeyId(key.id),
    keyVersion: key.version,
  };
}
