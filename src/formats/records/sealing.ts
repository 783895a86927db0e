/**
 * Values as the database stores them: a record's CBOR, sealed for its LevelDB key and its vault.
 * Source: docs/format.md#records [F-80].
 * @module
 */
import { AuthenticationError, MalformedError } from "../../crypto/failures.ts";
import { open, seal } from "../../crypto/seal.ts";
import { DamagedError } from "../../errors.ts";
import { recordContext } from "../key-schedule.ts";
import { mirroredKey } from "./record-key.ts";

/** Returns the stored value of a record. @throws RangeError above 16,383 bytes. */
export function sealRecord(
  kdb: Uint8Array,
  vaultId: Uint8Array,
  key: Uint8Array,
  cbor: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return seal(kdb, contextOf(vaultId, key), cbor);
}

/**
 * Returns a record's CBOR in a new array.
 * @throws DamagedError unless the value was sealed for this key (or for the key that it mirrors) in this vault.
 */
export function openRecord(
  kdb: Uint8Array,
  vaultId: Uint8Array,
  key: Uint8Array,
  value: Uint8Array,
): Uint8Array<ArrayBuffer> {
  try {
    return open(kdb, contextOf(vaultId, key), value);
  } catch (error) {
    if (!(error instanceof AuthenticationError) && !(error instanceof MalformedError)) throw error;
    throw new DamagedError(
      "A record of the database was altered or moved. Restore the vault from a backup.",
      {
        cause: error,
        details: { reason: "record", table: key[0] ?? 0 },
      },
    );
  }
}

// A mirror holds the same bytes once more, so it is sealed for the key that it stands for.
function contextOf(vaultId: Uint8Array, key: Uint8Array): Uint8Array {
  return recordContext(vaultId, mirroredKey(key) ?? key);
}
