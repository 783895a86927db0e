/**
 * The end of a CMK: everything of it goes in one batch, and a tombstone stays.
 * @module
 */
import { hex } from "../bytes.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { type KeyRecord, TABLES } from "../formats/records/tables.ts";
import type { RecordReader, Transaction } from "../storage/transaction.ts";
import { setDue } from "./key-changes.ts";
import type { VaultKeys } from "./vault-keys.ts";

/**
 * Deletes keys with their versions, aliases, tags, grants and usage. What is due stays due: it stands for the
 * removal of their bytes from the files, which comes after the commit.
 */
export function deleteKeys(transaction: Transaction, keys: VaultKeys, gone: readonly KeyRecord[]): void {
  if (gone.length === 0) return;
  const aliases = aliasKeysByTarget(transaction);
  for (const { id, created } of gone) {
    const { name } = keys;
    transaction.delete(recordKey.key(name, id));
    const parts = [recordKey.versions(name, id), recordKey.tags(name, id), recordKey.grants(name, id)];
    for (const prefix of parts) for (const key of transaction.keys({ prefix })) transaction.delete(key);
    for (const key of aliases.get(hex(id)) ?? []) transaction.delete(key);
    transaction.delete(recordKey.usage(name, id));
    setDue(transaction, keys, id, "rotate", undefined);
    const tombstone = { id, created, deleted: transaction.nowMs };
    transaction.put(TABLES.tombstones, recordKey.tombstone(name, id), tombstone);
  }
}

/** What the LevelDB keys of a key's secrets begin with: its record, and its versions. */
export function secretPrefixes(keys: VaultKeys, id: Uint8Array): Uint8Array[] {
  return [recordKey.key(keys.name, id), recordKey.versions(keys.name, id)];
}

/** All aliases are read, once for all keys of a batch: nothing else tells which name a key. */
function aliasKeysByTarget(records: RecordReader): Map<string, Uint8Array[]> {
  const found = new Map<string, Uint8Array[]>();
  for (const key of records.keys({ prefix: Uint8Array.of(TABLES.aliases) })) {
    const alias = records.get(TABLES.aliases, key);
    if (alias === undefined) continue;
    const target = hex(alias.keyId);
    const keys = found.get(target);
    if (keys === undefined) found.set(target, [key]);
    else keys.push(key);
  }
  return found;
}
