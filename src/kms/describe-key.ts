/**
 * DescribeKey. Works in every state of the key. Source: AWS KMS API, DescribeKey.
 * @module
 */
import { assertStateOf, type KeyMetadata, keyMetadataOf } from "./key-metadata.ts";
import type { CommonParameters, ReadingOperation } from "./operation.ts";
import { optionalText, requestOf } from "./request.ts";

export interface DescribeKeyRequest {
  /** Key id or alias. @defaultValue `"alias/default"` */
  readonly keyId?: string | undefined;
}

export interface DescribeKeyResponse {
  readonly keyMetadata: KeyMetadata;
}

export interface DescribeKeyParameters extends CommonParameters {
  readonly keyId?: string | undefined;
}

export const describeKey: ReadingOperation<DescribeKeyParameters, DescribeKeyResponse> = {
  name: "describeKey",
  accept: requestOf({ keyId: optionalText }),
  perform(keystore, { keyId }) {
    const key = keystore.resolve(keyId);
    assertStateOf("describeKey", key);
    return { keyMetadata: keyMetadataOf(key) };
  },
};
