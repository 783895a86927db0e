/**
 * EncryptDataKey: seals a data key that the caller made, after checking it against its digest.
 * Source: Huawei Cloud KMS API, encrypt-datakey.
 * @module
 */
import { optional, unknown } from "valibot";
import { assertBytes, copy, equal } from "../bytes.ts";
import { digest as hash } from "../crypto/hmac.ts";
import { InvalidArgumentError, LimitExceededError } from "../errors.ts";
import type { EncryptionContext } from "../formats/context.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { MAX_DATA_KEY_BYTES } from "../limits.ts";
import { wipe } from "../secret.ts";
import { type ByteLimits, plaintextArgument } from "./byte-arguments.ts";
import { contextArgument, encryptingKey, sealUnder } from "./encrypt.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { optionalText, requestOf } from "./request.ts";

const DIGEST_BYTES = 32;

export interface EncryptDataKeyRequest {
  /** Key id or alias of the CMK. @defaultValue `"alias/default"` */
  readonly keyId?: string | undefined;
  /** The data key, 1 to 1,024 bytes. Copied; the copy is wiped. */
  readonly plaintext: Uint8Array;
  /** SHA-256 of the data key, 32 bytes: a key that was cut or mixed up on its way is refused. */
  readonly digest: Uint8Array;
  /** Bound to the encrypted data key, as in encrypt. @defaultValue `{}` */
  readonly encryptionContext?: EncryptionContext | undefined;
}

export interface EncryptDataKeyResponse {
  /** The data key under the CMK; decryptDataKey and decrypt open it. */
  readonly ciphertextBlob: Uint8Array;
  /** Id of the CMK, a UUID. */
  readonly keyId: string;
  /** Version of the CMK's material that was used. */
  readonly keyVersion: number;
  /** Length of the data key. */
  readonly dataKeyBytes: number;
}

export interface EncryptDataKeyParameters extends CommonParameters {
  readonly keyId: string | undefined;
  readonly plaintext: Uint8Array;
  /** Canonical encryption context. */
  readonly cec: Uint8Array;
}

const LIMITS: ByteLimits = {
  minBytes: 1,
  maxBytes: MAX_DATA_KEY_BYTES,
  tooLong: (lengthBytes) =>
    new LimitExceededError(
      `plaintext: a data key has at most ${MAX_DATA_KEY_BYTES} bytes, got ${lengthBytes}`,
      {
        details: { limit: MAX_DATA_KEY_BYTES, lengthBytes },
      },
    ),
};

const request = requestOf({
  keyId: optionalText,
  plaintext: unknown(),
  digest: unknown(),
  encryptionContext: optional(unknown()),
});

export const encryptDataKey: ReadingOperation<EncryptDataKeyParameters, EncryptDataKeyResponse> = {
  name: "encryptDataKey",
  accept(input) {
    const { keyId, plaintext, digest, encryptionContext, dryRun } = request(input);
    const cec = contextArgument(encryptionContext);
    assertBytes("plaintext", plaintext);
    assertBytes("digest", digest, DIGEST_BYTES);
    const dataKey = plaintextArgument("plaintext", plaintext, LIMITS);
    if (!equal(hash("sha256", dataKey), copy(digest))) {
      wipe(dataKey);
      throw wrongDigest();
    }
    return { keyId, plaintext: dataKey, cec, dryRun };
  },
  secretsOf: ({ plaintext }) => [plaintext],
  perform(keystore, { keyId, plaintext, cec }) {
    const key = encryptingKey("encryptDataKey", keystore, keyId);
    return {
      ciphertextBlob: sealUnder(keystore, key, cec, plaintext),
      keyId: formatKeyId(key.id),
      keyVersion: key.version,
      dataKeyBytes: plaintext.length,
    };
  },
  keysUsed: ({ keyId }) => [keyId],
};

function wrongDigest(): InvalidArgumentError {
  return new InvalidArgumentError(
    "digest: not the SHA-256 of the data key. Check both: one of them was cut, altered or mixed up.",
    { details: { reason: "digest" } },
  );
}
