/**
 * GetKeyLastUsage: the last successful cryptographic use of a key. Source: AWS KMS API, GetKeyLastUsage.
 * @module
 */
import { string } from "valibot";
import { formatKeyId } from "../keystore/key-reference.ts";
import { keyOfId } from "./key-argument.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface GetKeyLastUsageRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface GetKeyLastUsageResponse {
  /** UUID, lower case. */
  readonly keyId: string;
  readonly keyCreationDate: Date;
  /** Absent when the key was never used. Exact while the vault is unlocked; uses of the hour before a lock may be lost. */
  readonly keyLastUsage?: KeyLastUsage;
}

export interface KeyLastUsage {
  /** The operation, as `vault.kms` has it, for example `encrypt`. */
  readonly operation: string;
  readonly timestamp: Date;
}

export interface GetKeyLastUsageParameters extends CommonParameters {
  readonly keyId: string;
}

export const getKeyLastUsage: ReadingOperation<GetKeyLastUsageParameters, GetKeyLastUsageResponse> = {
  name: "getKeyLastUsage",
  accept: requestOf({ keyId: string() }),
  perform(keystore, parameters) {
    const key = keyOfId("getKeyLastUsage", keystore, parameters.keyId);
    const keyId = formatKeyId(key.id);
    const use = keystore.usage.lastUse(key.id, keyId);
    return {
      keyId,
      keyCreationDate: new Date(key.created),
      ...(use !== undefined && {
        keyLastUsage: { operation: use.operation, timestamp: new Date(use.time) },
      }),
    };
  },
};
