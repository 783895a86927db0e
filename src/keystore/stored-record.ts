/**
 * One stored value of a database that nobody has vouched for, opened and decoded as far as that goes.
 * @module
 */
import { isCofferError } from "../errors.ts";
import { assertOwnKey, mirroredKey } from "../formats/records/record-key.ts";
import { openRecord } from "../formats/records/sealing.ts";
import { setHmac } from "../formats/records/set-sum.ts";
import { decodeRecord, type RecordTable, type TableRecords, type TABLES } from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import type { VaultKeys } from "./vault-keys.ts";

export interface Stored {
  /** Its part of its table's sum. */
  readonly term: Uint8Array;
  /** The seal is right. */
  readonly opens: boolean;
  /** Undefined for what is unreadable, and for tables whose form this release does not know. */
  readonly record: TableRecords[RecordTable] | undefined;
  readonly isReadable: boolean;
}

/** Every table with a form; the type keeps the list complete. */
const FORMS: Readonly<Record<Exclude<RecordTable, typeof TABLES.state>, true>> = {
  0x02: true,
  0x03: true,
  0x04: true,
  0x05: true,
  0x06: true,
  0x0a: true,
  0x0b: true,
  0x20: true,
  0x21: true,
  0x22: true,
  0x31: true,
};

/** Tables whose records are decoded, the state record's apart. */
export const DECODED: readonly RecordTable[] = Object.keys(FORMS).map(
  (table) => Number(table) as RecordTable,
);

/** Reads a record or a mirror. Borrows all. */
export function readStored(keys: VaultKeys, key: Uint8Array, value: Uint8Array): Stored {
  const own = mirroredKey(key) ?? key;
  const table = DECODED.find((number) => number === own[0]);
  const term = setHmac(keys.set, own, value);
  const cbor = openStored(keys, key, value);
  if (cbor === undefined) return { term, opens: false, record: undefined, isReadable: false };
  if (table === undefined) {
    wipe(cbor);
    return { term, opens: true, record: undefined, isReadable: true };
  }
  try {
    const record = unlessDamaged(() => {
      const decoded = decodeRecord(table, cbor);
      assertOwnKey(keys.name, table, own, decoded);
      return decoded;
    });
    return { term, opens: true, record, isReadable: record !== undefined };
  } finally {
    wipe(cbor);
  }
}

/** Returns what is sealed, or undefined. */
export function openStored(keys: VaultKeys, key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
  return unlessDamaged(() => openRecord(keys.database, keys.vaultId, key, value));
}

/** Returns undefined instead of throwing a DamagedError. */
export function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isCofferError(error, "COFFER_DAMAGED")) return undefined;
    throw error;
  }
}
