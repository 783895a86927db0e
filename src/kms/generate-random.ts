/**
 * GenerateRandom: random bytes, no key involved. Source: AWS KMS API, GenerateRandom.
 * @module
 */
import { randomFor } from "../crypto/random.ts";
import { MAX_DATA_KEY_BYTES } from "../limits.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { integerFrom, requestOf } from "./request.ts";

export interface GenerateRandomRequest {
  /** 1 to 1,024. */
  readonly numberOfBytes: number;
}

export interface GenerateRandomResponse {
  /** The caller's own: wipe it when done, where it is a secret. */
  readonly plaintext: Uint8Array;
}

export interface GenerateRandomParameters extends CommonParameters {
  readonly numberOfBytes: number;
}

export const generateRandom: ReadingOperation<GenerateRandomParameters, GenerateRandomResponse> = {
  name: "generateRandom",
  accept: requestOf({ numberOfBytes: integerFrom(1, MAX_DATA_KEY_BYTES) }),
  perform: (_keystore, { numberOfBytes }) => ({ plaintext: randomFor(numberOfBytes) }),
};
