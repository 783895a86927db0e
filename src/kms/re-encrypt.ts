/**
 * ReEncrypt: a blob under another key, version or context, without its plaintext leaving the vault.
 * Source: AWS KMS API, ReEncrypt.
 * @module
 */
import { optional, string, unknown } from "valibot";
import type { ParsedBlob } from "../formats/blob.ts";
import type { EncryptionContext } from "../formats/context.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { SYMMETRIC_DEFAULT } from "../keystore/new-key.ts";
import { wipe } from "../secret.ts";
import { blobArgument } from "./byte-arguments.ts";
import { decryptingKey, openUnder } from "./decrypt.ts";
import { contextArgument, encryptingKey, sealUnder } from "./encrypt.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { optionalText, requestOf } from "./request.ts";

export interface ReEncryptRequest {
  /** A blob: bytes, or their Base64 text (standard alphabet, padded). Copied. */
  readonly ciphertextBlob: Uint8Array | string;
  /** The context of the blob as it is. @defaultValue `{}` */
  readonly sourceEncryptionContext?: EncryptionContext | undefined;
  /** Key id or alias of the only key that may have made the blob. @defaultValue any key */
  readonly sourceKeyId?: string | undefined;
  /** Key id or alias of the key that seals it anew; the same key brings it to its current version. */
  readonly destinationKeyId: string;
  /** The context of the new blob. Not inherited: left out, there is none. @defaultValue `{}` */
  readonly destinationEncryptionContext?: EncryptionContext | undefined;
}

export interface ReEncryptResponse {
  /** The new blob. */
  readonly ciphertextBlob: Uint8Array;
  /** Id of the key that made the old blob, a UUID, and the version that was used. */
  readonly sourceKeyId: string;
  readonly sourceKeyVersion: number;
  /** Id of the key of the new blob, a UUID, and the version that was used. */
  readonly keyId: string;
  readonly keyVersion: number;
  readonly sourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT";
  readonly destinationEncryptionAlgorithm: "SYMMETRIC_DEFAULT";
}

export interface ReEncryptParameters extends CommonParameters {
  readonly blob: ParsedBlob;
  readonly sourceCec: Uint8Array;
  readonly sourceKeyId: string | undefined;
  readonly destinationKeyId: string;
  readonly destinationCec: Uint8Array;
}

const request = requestOf({
  ciphertextBlob: unknown(),
  sourceEncryptionContext: optional(unknown()),
  sourceKeyId: optionalText,
  destinationKeyId: string(),
  destinationEncryptionContext: optional(unknown()),
});

export const reEncrypt: ReadingOperation<ReEncryptParameters, ReEncryptResponse> = {
  name: "reEncrypt",
  accept(input) {
    const { ciphertextBlob, sourceEncryptionContext, destinationEncryptionContext, ...rest } = request(input);
    return {
      sourceKeyId: rest.sourceKeyId,
      destinationKeyId: rest.destinationKeyId,
      dryRun: rest.dryRun,
      sourceCec: contextArgument(sourceEncryptionContext),
      destinationCec: contextArgument(destinationEncryptionContext),
      blob: blobArgument("ciphertextBlob", ciphertextBlob),
    };
  },
  perform(keystore, { blob, sourceCec, sourceKeyId, destinationKeyId, destinationCec }) {
    const source = decryptingKey("reEncryptFrom", keystore, blob, sourceKeyId);
    const destination = encryptingKey("reEncryptTo", keystore, destinationKeyId);
    const plaintext = openUnder(keystore, source, blob, sourceCec);
    try {
      return {
        ciphertextBlob: sealUnder(keystore, destination, destinationCec, plaintext),
        sourceKeyId: formatKeyId(source.id),
        sourceKeyVersion: blob.header.version,
        keyId: formatKeyId(destination.id),
        keyVersion: destination.version,
        sourceEncryptionAlgorithm: SYMMETRIC_DEFAULT,
        destinationEncryptionAlgorithm: SYMMETRIC_DEFAULT,
      };
    } finally {
      wipe(plaintext);
    }
  },
  keysUsed: ({ sourceKeyId, keyId }) => [sourceKeyId, keyId],
};
