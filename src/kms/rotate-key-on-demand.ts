/**
 * RotateKeyOnDemand: fresh material under the same key, now. The automatic schedule stays as it is.
 * Source: AWS KMS API, RotateKeyOnDemand.
 * @module
 */
import { string } from "valibot";
import { LimitExceededError } from "../errors.ts";
import { rotateKey } from "../keystore/key-changes.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { MAX_ON_DEMAND_ROTATIONS } from "../limits.ts";
import { assertRotates, keyOfId } from "./key-argument.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface RotateKeyOnDemandRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface RotateKeyOnDemandResponse {
  /** UUID, lower case. */
  readonly keyId: string;
  /** The new version, which encrypts from now on. */
  readonly keyVersion: number;
}

export interface RotateKeyOnDemandParameters extends CommonParameters {
  readonly keyId: string;
}

export const rotateKeyOnDemand: ChangingOperation<RotateKeyOnDemandParameters, RotateKeyOnDemandResponse> = {
  name: "rotateKeyOnDemand",
  accept: requestOf({ keyId: string() }),
  plan(keystore, { keyId }, transaction) {
    const key = keyOfId("rotateKeyOnDemand", keystore, keyId, transaction);
    assertRotates(key);
    if (key.onDemand >= MAX_ON_DEMAND_ROTATIONS) throw rotatedTooOften(formatKeyId(key.id));
    const { version } = rotateKey(transaction, keystore.keys, key, "on-demand");
    return { keyId: formatKeyId(key.id), keyVersion: version };
  },
};

function rotatedTooOften(keyId: string): LimitExceededError {
  return new LimitExceededError(
    `Key ${keyId} was rotated on demand ${MAX_ON_DEMAND_ROTATIONS} times, which is the most. Create another key and point the alias to it, or let it rotate automatically.`,
    { details: { keyId, limit: MAX_ON_DEMAND_ROTATIONS } },
  );
}
