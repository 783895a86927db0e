/**
 * UpdateAlias: points an alias to another key. What was encrypted under the old key still decrypts, unless the call
 * names the alias. Source: AWS KMS API, UpdateAlias.
 * @module
 */
import { string } from "valibot";
import { InvalidKeyUsageError, isCofferError } from "../errors.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { type KeyRecord, TABLES } from "../formats/records/tables.ts";
import { assertAliasName, formatKeyId, parseKeyId } from "../keystore/key-reference.ts";
import type { Keystore } from "../keystore/keystore.ts";
import type { RecordReader } from "../storage/transaction.ts";
import { assertStateOf } from "./key-metadata.ts";
import type { ChangingOperation, CommonParameters } from "./operation.ts";
import { requestOf } from "./request.ts";

export interface UpdateAliasRequest {
  /** An alias that exists. */
  readonly aliasName: string;
  /** A key id, of the same spec and usage as the present target; an alias is not taken. */
  readonly targetKeyId: string;
}

export interface UpdateAliasParameters extends CommonParameters {
  readonly aliasName: string;
  readonly targetKeyId: string;
}

const request = requestOf({ aliasName: string(), targetKeyId: string() });

export const updateAlias: ChangingOperation<UpdateAliasParameters, void> = {
  name: "updateAlias",
  accept(input) {
    const parameters = request(input);
    assertAliasName(parameters.aliasName);
    return parameters;
  },
  plan(keystore, { aliasName, targetKeyId }, transaction) {
    const alias = keystore.alias(aliasName, transaction);
    if (alias === undefined) throw keystore.unknownAlias(aliasName, transaction);
    const target = keystore.key(parseKeyId(targetKeyId), transaction);
    assertStateOf("updateAlias", target);
    assertSameKind(target, keyOf(keystore, alias.keyId, transaction));
    transaction.put(TABLES.aliases, recordKey.alias(keystore.keys.name, aliasName), {
      ...alias,
      keyId: target.id,
      updated: transaction.nowMs,
    });
  },
};

/** A key that is gone cannot be compared with. */
function keyOf(keystore: Keystore, id: Uint8Array, records: RecordReader): KeyRecord | undefined {
  try {
    return keystore.key(id, records);
  } catch (error) {
    if (isCofferError(error, "COFFER_NOT_FOUND")) return undefined;
    throw error;
  }
}

function assertSameKind(target: KeyRecord, present: KeyRecord | undefined): void {
  if (present === undefined || (present.spec === target.spec && present.usage === target.usage)) return;
  throw new InvalidKeyUsageError(
    `Key ${formatKeyId(target.id)} is a ${target.spec} key for ${target.usage}, the alias's present key a ${present.spec} key for ${present.usage}. An alias keeps to one kind: delete it and create it anew.`,
    { details: { keySpec: target.spec, keyUsage: target.usage } },
  );
}
