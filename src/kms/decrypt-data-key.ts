/**
 * DecryptDataKey: opens an encrypted data key and returns it with its digest. Source: Huawei Cloud KMS API,
 * decrypt-datakey.
 * @module
 */
import { digest } from "../crypto/hmac.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { decrypt, type DecryptParameters, type DecryptRequest, decryptingKey, openUnder } from "./decrypt.ts";
import type { ReadingOperation } from "./operation.ts";

/** As for decrypt. */
export type DecryptDataKeyRequest = DecryptRequest;

export interface DecryptDataKeyResponse {
  /** The data key, verified. The caller's own: wipe it when done. */
  readonly plaintext: Uint8Array;
  /** SHA-256 of the data key, 32 bytes. */
  readonly digest: Uint8Array;
  /** Id of the CMK, a UUID. */
  readonly keyId: string;
  /** Version of the CMK's material that was used. */
  readonly keyVersion: number;
  /** Length of the data key. */
  readonly dataKeyBytes: number;
}

export const decryptDataKey: ReadingOperation<DecryptParameters, DecryptDataKeyResponse> = {
  name: "decryptDataKey",
  accept: (input) => decrypt.accept(input),
  perform(keystore, { keyId, blob, cec }) {
    const key = decryptingKey("decryptDataKey", keystore, blob, keyId);
    const plaintext = openUnder(keystore, key, blob, cec);
    return {
      plaintext,
      digest: digest("sha256", plaintext),
      keyId: formatKeyId(key.id),
      keyVersion: blob.header.version,
      dataKeyBytes: plaintext.length,
    };
  },
  keysUsed: ({ keyId }) => [keyId],
};
