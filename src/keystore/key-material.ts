/**
 * Key material in its version record: sealed under a key of its own, bound to key, version, spec and usage.
 * Source: docs/format.md#key-schedule.
 * @module
 */
import { AuthenticationError, MalformedError } from "../crypto/failures.ts";
import { open, seal } from "../crypto/seal.ts";
import { DamagedError } from "../errors.ts";
import { materialContext } from "../formats/key-schedule.ts";
import {
  type KeyRecord,
  type RecordTable,
  TABLES,
  type TableRecords,
  type VersionRecord,
} from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { formatKeyId } from "./key-reference.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** What material is bound to beside its version. */
export type MaterialOwner = Pick<KeyRecord, "id" | "spec" | "usage">;

/** Returns the `sealed` field of a version record. Borrows `material`. */
export function sealMaterial(
  keys: VaultKeys,
  owner: MaterialOwner,
  version: number,
  material: Uint8Array,
): Uint8Array {
  keys.assertUsable();
  return seal(keys.material, contextOf(keys, owner, version), material);
}

/** Returns the material; the caller wipes it. @throws DamagedError when it was altered, or sealed for another key. */
export function openMaterial(
  keys: VaultKeys,
  owner: MaterialOwner,
  version: number,
  sealed: Uint8Array,
): Uint8Array {
  try {
    return open(keys.material, contextOf(keys, owner, version), sealed);
  } catch (error) {
    if (!(error instanceof AuthenticationError) && !(error instanceof MalformedError)) throw error;
    throw new DamagedError(`The material of key ${formatKeyId(owner.id)} does not open. Restore a backup.`, {
      cause: error,
      details: { part: "material", version },
    });
  }
}

/**
 * Returns a record as another root key has it: a version's material is sealed anew, all else stays.
 * @param ownerOf returns the CMK that material is bound to.
 */
export function resealMaterial<T extends RecordTable>(
  table: T,
  record: TableRecords[T],
  keys: VaultKeys,
  fresh: VaultKeys,
  ownerOf: (keyId: Uint8Array) => MaterialOwner,
): TableRecords[T] {
  if (table !== TABLES.versions) return record;
  const { id, version, sealed } = record as VersionRecord;
  if (sealed === undefined) return record;
  const owner = ownerOf(id);
  const material = openMaterial(keys, owner, version, sealed);
  try {
    return { ...record, sealed: sealMaterial(fresh, owner, version, material) };
  } finally {
    wipe(material);
  }
}

function contextOf(keys: VaultKeys, { id: keyId, spec, usage }: MaterialOwner, version: number): Uint8Array {
  return materialContext(keys.vaultId, { keyId, version, spec, usage });
}
