/**
 * The key of an operation that takes a key id only, as AWS has it: an alias could be pointed elsewhere between the
 * caller's decision and the call.
 * @module
 */
import { InvalidKeyUsageError } from "../errors.ts";
import type { KeyRecord } from "../formats/records/tables.ts";
import { formatKeyId, parseKeyId } from "../keystore/key-reference.ts";
import type { KeyOperation } from "../keystore/key-state.ts";
import type { Keystore } from "../keystore/keystore.ts";
import { COFFER_KMS, SYMMETRIC_DEFAULT } from "../keystore/new-key.ts";
import type { RecordReader } from "../storage/transaction.ts";
import { assertStateOf } from "./key-metadata.ts";

/**
 * Returns the key of an id, in a state that allows the operation.
 * @throws InvalidArgumentError for an alias. @throws NotFoundError, KeyDisabledError, InvalidKeyStateError.
 */
export function keyOfId(
  operation: KeyOperation,
  keystore: Keystore,
  keyId: string,
  records?: RecordReader,
): KeyRecord {
  const key = keystore.key(parseKeyId(keyId), records);
  assertStateOf(operation, key);
  return key;
}

/** Refuses a key whose material this vault does not make. @throws InvalidKeyUsageError */
export function assertRotates(key: KeyRecord): void {
  if (key.spec === SYMMETRIC_DEFAULT && key.origin === COFFER_KMS) return;
  const keyId = formatKeyId(key.id);
  throw new InvalidKeyUsageError(
    `Key ${keyId} (${key.spec}, origin ${key.origin}) cannot be rotated by this vault. Create another key and point the alias to it.`,
    { details: { keyId, keySpec: key.spec, origin: key.origin } },
  );
}
