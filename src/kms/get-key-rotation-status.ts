/**
 * GetKeyRotationStatus. Source: AWS KMS API, GetKeyRotationStatus.
 * @module
 */
import { string } from "valibot";
import { formatKeyId } from "../keystore/key-reference.ts";
import { MS_PER_DAY } from "../limits.ts";
import { assertRotates, keyOfId } from "./key-argument.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface GetKeyRotationStatusRequest {
  /** A key id; an alias is not taken. */
  readonly keyId: string;
}

export interface GetKeyRotationStatusResponse {
  /** UUID, lower case. */
  readonly keyId: string;
  /** False while the key is pending deletion; its setting is back when that is cancelled. */
  readonly keyRotationEnabled: boolean;
  /** Present while rotation is enabled. */
  readonly rotationPeriodInDays?: number;
  /** Present while rotation is enabled. A disabled key rotates when it is enabled, if the date has passed. */
  readonly nextRotationDate?: Date;
}

export interface GetKeyRotationStatusParameters extends CommonParameters {
  readonly keyId: string;
}

export const getKeyRotationStatus: ReadingOperation<
  GetKeyRotationStatusParameters,
  GetKeyRotationStatusResponse
> = {
  name: "getKeyRotationStatus",
  accept: requestOf({ keyId: string() }),
  perform(keystore, parameters) {
    const key = keyOfId("getKeyRotationStatus", keystore, parameters.keyId);
    assertRotates(key);
    const keyId = formatKeyId(key.id);
    const { rotateEvery, rotateAt } = key;
    if (key.state === "PendingDeletion" || rotateEvery === undefined || rotateAt === undefined) {
      return { keyId, keyRotationEnabled: false };
    }
    return {
      keyId,
      keyRotationEnabled: true,
      rotationPeriodInDays: rotateEvery / MS_PER_DAY,
      nextRotationDate: new Date(rotateAt),
    };
  },
};
