/**
 * A new symmetric CMK: its record, the first version of its material, its alias and its tags, for one batch.
 * @module
 */
import { randomId, randomKey } from "../crypto/random.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { type KeyRecord, TABLES } from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import type { Transaction } from "../storage/transaction.ts";
import { sealMaterial } from "./key-material.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** AWS's name of a 256-bit symmetric encryption key. */
export const SYMMETRIC_DEFAULT = "SYMMETRIC_DEFAULT";
export const ENCRYPT_DECRYPT = "ENCRYPT_DECRYPT";
/** The origin of material that Coffer made itself. */
export const COFFER_KMS = "COFFER_KMS";

export interface NewKey {
  readonly description: string;
  readonly isProtected?: boolean;
  /** Checked and free. */
  readonly aliasName?: string | undefined;
  /** Checked, without duplicates. */
  readonly tags?: readonly { readonly tagKey: string; readonly tagValue: string }[];
}

/** Puts the records of a new key into a change, and returns the key's own. */
export function putNewKey(transaction: Transaction, keys: VaultKeys, newKey: NewKey): KeyRecord {
  const { nowMs } = transaction;
  const record: KeyRecord = {
    id: newKeyId(),
    created: nowMs,
    description: newKey.description,
    spec: SYMMETRIC_DEFAULT,
    usage: ENCRYPT_DECRYPT,
    origin: COFFER_KMS,
    state: "Enabled",
    version: 1,
    fingerprintKey: randomKey(),
    onDemand: 0,
    ...(newKey.isProtected === true && { protected: true }),
  };
  transaction.put(TABLES.keys, recordKey.key(keys.name, record.id), record);
  putNewVersion(transaction, keys, record, record.version, "created");
  if (newKey.aliasName !== undefined) putNewAlias(transaction, keys, newKey.aliasName, record.id);
  for (const { tagKey, tagValue } of newKey.tags ?? []) {
    const tag = { id: record.id, key: tagKey, value: tagValue };
    transaction.put(TABLES.tags, recordKey.tag(keys.name, record.id, tagKey), tag);
  }
  return record;
}

/** Puts a version with fresh material into a change. The key's record names it as current by itself. */
export function putNewVersion(
  transaction: Transaction,
  keys: VaultKeys,
  owner: Pick<KeyRecord, "id" | "spec" | "usage">,
  version: number,
  kind: "created" | "automatic" | "on-demand",
): void {
  const material = randomKey();
  try {
    transaction.put(TABLES.versions, recordKey.version(keys.name, owner.id, version), {
      id: owner.id,
      version,
      created: transaction.nowMs,
      kind,
      sealed: sealMaterial(keys, owner, version, material),
    });
  } finally {
    wipe(material);
  }
}

/** Puts an alias into a change. The caller has checked that the name is free. */
export function putNewAlias(
  transaction: Transaction,
  keys: VaultKeys,
  aliasName: string,
  keyId: Uint8Array,
): void {
  transaction.put(TABLES.aliases, recordKey.alias(keys.name, aliasName), {
    name: aliasName,
    keyId,
    created: transaction.nowMs,
    updated: transaction.nowMs,
  });
}

/** 16 random bytes with the bits of a version 4 UUID (RFC 9562 §5.4). */
function newKeyId(): Uint8Array {
  const id = randomId();
  id[6] = ((id[6] as number) & 0x0f) | 0x40;
  id[8] = ((id[8] as number) & 0x3f) | 0x80;
  return id;
}
