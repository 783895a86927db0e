/**
 * Changes of a CMK's records, as parts of one batch: the key, its next version, and what is due for it.
 * @module
 */
import { recordKey } from "../formats/records/record-key.ts";
import { type DueRecord, type KeyRecord, TABLES } from "../formats/records/tables.ts";
import type { Transaction } from "../storage/transaction.ts";
import { putNewVersion } from "./new-key.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** What may be due for a key. */
export type DueKind = DueRecord["what"];

/**
 * Puts a key's record, and makes what is due for it agree: its deletion while it is pending deletion, its rotation
 * while it is enabled and rotates. A disabled key keeps its schedule, so that what is overdue happens when it is
 * enabled again.
 */
export function putKey(transaction: Transaction, keys: VaultKeys, key: KeyRecord): void {
  transaction.put(TABLES.keys, recordKey.key(keys.name, key.id), key);
  setDue(transaction, keys, key.id, "delete", key.state === "PendingDeletion" ? key.deleteAt : undefined);
  const rotates = key.state === "Enabled" && key.rotateEvery !== undefined;
  setDue(transaction, keys, key.id, "rotate", rotates ? key.rotateAt : undefined);
}

/** Puts or removes what is due for a key. */
export function setDue(
  transaction: Transaction,
  keys: VaultKeys,
  id: Uint8Array,
  what: DueKind,
  atMs: number | undefined,
): void {
  const levelKey = recordKey.due(keys.name, id, what);
  const present = transaction.get(TABLES.due, levelKey);
  if (present?.at === atMs) return;
  if (atMs === undefined) transaction.delete(levelKey);
  else transaction.put(TABLES.due, levelKey, { id, what, at: atMs });
}

/** Adds a version with fresh material, which encrypts from then on; the older ones stay for decryption. */
export function rotateKey(
  transaction: Transaction,
  keys: VaultKeys,
  key: KeyRecord,
  kind: "automatic" | "on-demand",
): KeyRecord {
  const version = key.version + 1;
  putNewVersion(transaction, keys, key, version, kind);
  const rotated: KeyRecord = {
    ...key,
    version,
    ...(kind === "on-demand" && { onDemand: key.onDemand + 1 }),
    ...(kind === "automatic" &&
      key.rotateAt !== undefined && { rotateAt: nextRotation(key, transaction.nowMs) }),
  };
  putKey(transaction, keys, rotated);
  return rotated;
}

/** The first date of the schedule that is still to come: what was missed meanwhile is made up for once. */
function nextRotation({ rotateAt = 0, rotateEvery = 0 }: KeyRecord, nowMs: number): number {
  const missed = Math.floor(Math.max(0, nowMs - rotateAt) / rotateEvery);
  return rotateAt + (missed + 1) * rotateEvery;
}
