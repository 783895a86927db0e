/**
 * CreateKey. Source: AWS KMS API, CreateKey.
 * @module
 */
import { array, optional, picklist } from "valibot";
import { isWellFormed } from "../bytes.ts";
import { AlreadyExistsError, InvalidArgumentError, LimitExceededError } from "../errors.ts";
import { assertAliasName, formatKeyId } from "../keystore/key-reference.ts";
import type { Keystore } from "../keystore/keystore.ts";
import { COFFER_KMS, ENCRYPT_DECRYPT, putNewKey, SYMMETRIC_DEFAULT } from "../keystore/new-key.ts";
import { MAX_DESCRIPTION_BYTES } from "../limits.ts";
import type { RecordReader } from "../storage/transaction.ts";
import { type KeyMetadata, keyMetadataOf } from "./key-metadata.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { optionalText, requestOf } from "./request.ts";
import { assertTags, type Tag, tagSchema } from "./tags.ts";

export interface CreateKeyRequest {
  /** Up to 8,192 UTF-8 bytes. @defaultValue `""` */
  readonly description?: string | undefined;
  /** An alias for the key, made in the same batch: `alias/` and up to 250 letters, digits and `: / _ -`. */
  readonly alias?: string | undefined;
  /** Up to 50, each name once. */
  readonly tags?: readonly Tag[] | undefined;
  /** @defaultValue `"SYMMETRIC_DEFAULT"`, 256 bits */
  readonly keySpec?: "SYMMETRIC_DEFAULT" | undefined;
  /** @defaultValue `"ENCRYPT_DECRYPT"` */
  readonly keyUsage?: "ENCRYPT_DECRYPT" | undefined;
  /** Who makes the material. @defaultValue `"COFFER_KMS"`, this vault */
  readonly origin?: "COFFER_KMS" | undefined;
}

export interface CreateKeyResponse {
  readonly keyMetadata: KeyMetadata;
}

export interface CreateKeyParameters extends CommonParameters {
  readonly description: string;
  readonly aliasName: string | undefined;
  readonly tags: readonly Tag[];
}

const request = requestOf({
  description: optionalText,
  alias: optionalText,
  tags: optional(array(tagSchema)),
  keySpec: optional(picklist([SYMMETRIC_DEFAULT])),
  keyUsage: optional(picklist([ENCRYPT_DECRYPT])),
  origin: optional(picklist([COFFER_KMS])),
});

export const createKey: ChangingOperation<CreateKeyParameters, CreateKeyResponse> = {
  name: "createKey",
  accept(input) {
    const { description = "", alias, tags = [], dryRun } = request(input);
    assertDescription(description);
    if (alias !== undefined) assertAliasName(alias);
    assertTags(tags);
    return { description, aliasName: alias, tags, dryRun };
  },
  plan(keystore, { description, aliasName, tags }, transaction) {
    if (aliasName !== undefined) assertAliasIsFree(keystore, aliasName, transaction);
    return {
      keyMetadata: keyMetadataOf(putNewKey(transaction, keystore.keys, { description, aliasName, tags })),
    };
  },
};

/** @throws LimitExceededError above 8,192 bytes. @throws InvalidArgumentError for a lone surrogate. */
export function assertDescription(description: string): void {
  const lengthBytes = Buffer.byteLength(description);
  if (lengthBytes > MAX_DESCRIPTION_BYTES) {
    throw new LimitExceededError(
      `description: at most ${MAX_DESCRIPTION_BYTES} UTF-8 bytes, got ${lengthBytes}`,
      { details: { limit: MAX_DESCRIPTION_BYTES, lengthBytes } },
    );
  }
  if (!isWellFormed(description)) {
    throw new InvalidArgumentError("description: the string has a lone surrogate", {
      details: { reason: "ill-formed" },
    });
  }
}

/** @throws AlreadyExistsError, naming the key that has the alias. */
export function assertAliasIsFree(keystore: Keystore, aliasName: string, records: RecordReader): void {
  const taken = keystore.alias(aliasName, records);
  if (taken === undefined) return;
  const targetKeyId = formatKeyId(taken.keyId);
  throw new AlreadyExistsError(
    `${aliasName} exists and points to key ${targetKeyId}. Use updateAlias to point it elsewhere.`,
    { details: { aliasName, targetKeyId } },
  );
}
