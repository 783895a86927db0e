/**
 * GenerateDataKeyWithoutPlaintext: a data key for later, which nobody has seen in clear.
 * Source: AWS KMS API, GenerateDataKeyWithoutPlaintext.
 * @module
 */
import { wipe } from "../secret.ts";
import {
  acceptDataKeyRequest,
  type GenerateDataKeyParameters,
  type GenerateDataKeyRequest,
  type GenerateDataKeyResponse,
  makeDataKey,
} from "./generate-data-key.ts";
import type { ReadingOperation } from "./operation.ts";

/** As for generateDataKey. */
export type GenerateDataKeyWithoutPlaintextRequest = GenerateDataKeyRequest;

/** As for generateDataKey, without the data key itself. */
export type GenerateDataKeyWithoutPlaintextResponse = Omit<GenerateDataKeyResponse, "plaintext">;

export const generateDataKeyWithoutPlaintext: ReadingOperation<
  GenerateDataKeyParameters,
  GenerateDataKeyWithoutPlaintextResponse
> = {
  name: "generateDataKeyWithoutPlaintext",
  accept: acceptDataKeyRequest,
  perform(keystore, parameters) {
    const { plaintext, ...answer } = makeDataKey("generateDataKeyWithoutPlaintext", keystore, parameters);
    wipe(plaintext);
    return answer;
  },
  keysUsed: ({ keyId }) => [keyId],
};
