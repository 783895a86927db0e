/**
 * The records of a backup, on their way out of a database and back into one. Both ways every record is opened and all
 * sums are checked first: a backup that was made can be restored.
 * Source: docs/format.md#backup [F-164…F-167].
 * @module
 */
import { DamagedError } from "../errors.ts";
import {
  type BackupRecord,
  encodeEndFrame,
  encodeObjectPrefix,
  encodeRecordFrame,
} from "../formats/backup.ts";
import type { ParsedHeader } from "../formats/header.ts";
import { mirrorKey, mirroredKey } from "../formats/records/record-key.ts";
import { openRecord } from "../formats/records/sealing.ts";
import { type ContentRecord, decodeRecord, type StateRecord, TABLES } from "../formats/records/tables.ts";
import { MAX_COMMIT_BYTES, MAX_COMMIT_CHANGES } from "../limits.ts";
import { DatabaseSession } from "../storage/database-session.ts";
import { assertNotRolledBack } from "../storage/rollback.ts";
import type { Store, StoreOperation, StoreReader } from "../storage/store.ts";
import { RecordCheck } from "./check-records.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** Records in a batch or two, or one by one. */
export type RecordSource = AsyncIterable<readonly BackupRecord[]>;

/** What the check of all records has found. */
export interface CheckedRecords {
  readonly state: StateRecord;
  readonly records: number;
  /** Of all keys and values. */
  readonly lengthBytes: number;
}

/** Every record, mirrors made from the records that they stand for. */
export async function* recordsToBackUp(reader: StoreReader): AsyncGenerator<readonly BackupRecord[]> {
  for await (const [key, value] of reader.entries()) {
    if (mirroredKey(key) !== undefined) continue;
    const mirror = mirrorKey(key);
    yield mirror === undefined
      ? [[key, value]]
      : [
          [key, value],
          [mirror, value],
        ];
  }
}

/** An object on its way into a backup. */
export interface BackupObject {
  readonly contentId: Uint8Array;
  /** Of the object. */
  readonly lengthBytes: number;
  /** Exactly so many bytes. */
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** Returns the plaintext of a backup, piece by piece. */
export async function* backupFrames(
  source: RecordSource,
  objects: AsyncIterable<BackupObject>,
): AsyncGenerator<Uint8Array> {
  let records = 0;
  let objectCount = 0;
  for await (const entries of source) {
    for (const [key, value] of entries) yield encodeRecordFrame(key, value);
    records += entries.length;
  }
  for await (const { contentId, lengthBytes, pieces } of objects) {
    yield encodeObjectPrefix(contentId, lengthBytes);
    yield* pieces;
    objectCount += 1;
  }
  yield encodeEndFrame(records, objectCount);
}

/**
 * Opens every record and checks every sum, against the state record and that against the header.
 * @param keys lent; not used any more once the signal has aborted.
 * @param refusal the error for records that are not sound.
 * @throws whatever `refusal` gives. @throws the signal's reason.
 */
export async function checkRecords(
  source: RecordSource,
  keys: VaultKeys,
  header: ParsedHeader,
  refusal: () => DamagedError,
  signal: AbortSignal,
): Promise<CheckedRecords> {
  const check = new RecordCheck(keys);
  let lengthBytes = 0;
  try {
    for await (const entries of source) {
      signal.throwIfAborted();
      for (const [key, value] of entries) {
        check.add(key, value);
        lengthBytes += key.length + value.length;
      }
    }
    signal.throwIfAborted();
    const { state, tables, mirrors, foreign } = check.result();
    const hasOddMirrors = mirrors.missing + mirrors.different + mirrors.extra > 0;
    if (typeof state !== "object" || foreign > 0 || hasOddMirrors || tables.some(({ isSound }) => !isSound)) {
      throw refusal();
    }
    assertNotRolledBack(state, header);
    return { state, records: check.count, lengthBytes };
  } finally {
    check.end();
  }
}

/** Fills a new, empty store with records as they are, in several batches: it is whole when this resolves. */
export async function writeRecords(engine: Store, source: RecordSource, signal: AbortSignal): Promise<void> {
  let batch: StoreOperation[] = [];
  let lengthBytes = 0;
  for await (const entries of source) {
    signal.throwIfAborted();
    for (const [key, value] of entries) {
      batch.push({ type: "put", key, value });
      lengthBytes += value.length;
    }
    if (batch.length < MAX_COMMIT_CHANGES && lengthBytes < MAX_COMMIT_BYTES) continue;
    await engine.write(batch);
    [batch, lengthBytes] = [[], 0];
  }
  await engine.write(batch);
}

/** Proves a filled database as an open does. @throws DamagedError, RolledBackError. */
export async function proveDatabase(engine: Store, keys: VaultKeys, header: ParsedHeader): Promise<void> {
  const session = await DatabaseSession.begin(engine, keys, header, ({ message }) => {
    throw new DamagedError(message, { details: { part: "database" } });
  });
  session.end();
}

/** Returns a record of table 21, undefined for those of other tables. @throws DamagedError. */
export function openContentRecord(
  keys: VaultKeys,
  key: Uint8Array,
  value: Uint8Array,
): ContentRecord | undefined {
  if (key[0] !== TABLES.contents) return undefined;
  return decodeRecord(TABLES.contents, openRecord(keys.database, keys.vaultId, key, value));
}
