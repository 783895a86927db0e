/**
 * A vault out of a backup: checked as a whole first, then made beside its place and renamed.
 * Source: docs/format.md#backup [F-167].
 * @module
 */
import { hex } from "./bytes.ts";
import { selfTest } from "./crypto/self-test.ts";
import { Progress } from "./envelope/progress.ts";
import { assertUnchanged, openSource, readExactly, type SourceFile } from "./envelope/source-file.ts";
import { type BackupItem, type BackupRecord, damagedBackup } from "./formats/backup.ts";
import { encodeHeader, parseHeader } from "./formats/header.ts";
import { type ContentRecord, TABLES } from "./formats/records/tables.ts";
import { assertOwnBackup, type BackupHead, openBackup, readBackupHead } from "./keystore/backup-file.ts";
import {
  type CheckedRecords,
  checkRecords,
  openContentRecord,
  proveDatabase,
  writeRecords,
} from "./keystore/backup-records.ts";
import { RecordedKeys } from "./keystore/recorded-keys.ts";
import { openRoot, wayInOf } from "./keystore/slots/way-in.ts";
import { unlessDamaged } from "./keystore/stored-record.ts";
import { VaultKeys } from "./keystore/vault-keys.ts";
import { syncFolder } from "./storage/atomic-file.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { prepareHeader, publishHeader } from "./storage/header-copies.ts";
import { createVaultDirectory, databaseDirectory } from "./storage/vault-directory.ts";
import { type ObjectPlace, RestoredObjects } from "./store/backup-objects.ts";
import type { VaultEnvironment } from "./vault-opening.ts";
import {
  assertDirectory,
  assertPath,
  assertRestoreOptions,
  type RestoreVaultOptions,
} from "./vault-options.ts";

/** What a backup holds, all of it checked. */
export interface RestoredVault {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** When the backup was made. */
  readonly createdAt: Date;
  readonly recordCount: number;
  readonly keyCount: number;
  /** Files of the store that lie in objects; small ones are records. */
  readonly objectCount: number;
  /** Those of them that the backup has left out: put the `objects` folder of the vault into the restored one. */
  readonly missingObjectCount: number;
}

/** A backup whose root key is there: it can be read as often as needed. */
interface OpenBackup {
  readonly source: SourceFile;
  readonly head: BackupHead;
  readonly keys: VaultKeys;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** See `restoreVault` of vault.ts. Not exported by the package. */
export async function restoreVaultIn(
  environment: VaultEnvironment,
  file: string,
  directory: string,
  options: RestoreVaultOptions,
): Promise<RestoredVault> {
  assertPath("file", file);
  assertDirectory(directory);
  assertRestoreOptions(options);
  selfTest();
  const { verifyOnly = false } = options;
  const wayIn = wayInOf(options.unlock, "options.unlock");
  try {
    const source = await openSource(environment.fs, file);
    try {
      let checked: CheckedRecords | undefined;
      let head: BackupHead | undefined;
      let objects: ObjectCounts = { present: 0, missing: 0 };
      const work = async (sibling?: string): Promise<void> => {
        const backup = await unlock(source, options);
        try {
          head = backup.head;
          [checked, objects] = await check(environment.fs, backup);
          if (sibling !== undefined) await fill(environment, sibling, backup, checked);
          await backup.progress.finish();
        } finally {
          backup.keys.wipe();
        }
      };
      if (verifyOnly) await work();
      else await createVaultDirectory(environment.fs, directory, work);
      if (head === undefined || checked === undefined) throw damagedBackup("end");
      if (objects.missing > 0) {
        const message = `The backup was made without the contents of stored files above 4 KiB, ${objects.missing} in number. Put the objects folder of the vault that it was made of into the restored vault; until then they cannot be read.`;
        queueMicrotask(() => options.onWarning?.({ type: "warning", message }));
      }
      return {
        id: hex(head.header.vaultId),
        createdAt: new Date(head.createdAtMs),
        recordCount: checked.records,
        keyCount: checked.state.sets.get(TABLES.keys)?.count ?? 0,
        objectCount: objects.present,
        missingObjectCount: objects.missing,
      };
    } finally {
      // It was only read: what was made of it counts.
      await source.handle.close().catch(() => undefined);
    }
  } finally {
    wayIn.wipe();
  }
}

async function unlock(
  source: SourceFile,
  {
    unlock: unlocker,
    verifyOnly,
    onProgress,
    onWarning,
    signal = new AbortController().signal,
  }: RestoreVaultOptions,
): Promise<OpenBackup> {
  signal.throwIfAborted();
  const { size } = source.stats;
  const head = await readBackupHead((length, position) => readExactly(source, length, position), size);
  const { vaultId } = head.header;
  const warn = (message: string): void => queueMicrotask(() => onWarning?.({ type: "warning", message }));
  const { root } = await openRoot(head.header, wayInOf(unlocker, "options.unlock"), {
    vaultId,
    warn,
    signal,
  });
  const keys = new VaultKeys(root, vaultId);
  try {
    assertOwnBackup(head, keys);
  } catch (error) {
    keys.wipe();
    throw error;
  }
  const passes = verifyOnly === true ? 1 : 2;
  return { source, head, keys, progress: new Progress(onProgress, passes * size), signal };
}

interface ObjectCounts {
  readonly present: number;
  /** Contents whose objects the backup has left out. */
  readonly missing: number;
}

async function check(fs: FileSystem, backup: OpenBackup): Promise<[CheckedRecords, ObjectCounts]> {
  const { head, keys, source, signal } = backup;
  const reading = new BackupReading(backup, undefined);
  const checked = await checkRecords(
    reading.records(),
    keys,
    head.header,
    () => damagedBackup("records"),
    signal,
  );
  await assertUnchanged(fs, source);
  return [checked, reading.objects];
}

async function fill(
  { fs, openEngine }: VaultEnvironment,
  sibling: string,
  backup: OpenBackup,
  { state }: CheckedRecords,
): Promise<void> {
  const { head, keys, signal } = backup;
  const { vaultId, generation, database, slots } = head.header;
  const fields = { vaultId, generation: generation + 1, sequence: state.sequence, database, slots };
  const header = parseHeader(encodeHeader(fields, keys.header));
  const path = databaseDirectory(sibling, database);
  const engine = await openEngine(path, { create: true });
  try {
    await writeRecords(engine, new BackupReading(backup, { fs, directory: sibling }).records(), signal);
  } finally {
    await engine.close();
  }
  const written = await openEngine(path, { create: false });
  try {
    // Read from the files: what was checked is what is there.
    await proveDatabase(written, keys, header);
  } finally {
    await written.close();
  }
  await syncFolder(fs, path);
  await prepareHeader(fs, sibling, header.bytes);
  await publishHeader(fs, sibling);
  signal.throwIfAborted();
}

/** One reading of a backup: its records, and behind them its objects, which are checked and written on the way. */
class BackupReading {
  readonly #backup: OpenBackup;
  readonly #contents = new Map<string, ContentRecord>();
  readonly #keys: RecordedKeys;
  readonly #objects: RestoredObjects;

  constructor(backup: OpenBackup, place: ObjectPlace | undefined) {
    this.#backup = backup;
    this.#keys = new RecordedKeys(backup.keys);
    this.#objects = new RestoredObjects(this.#contents, this.#keys, place);
  }

  get objects(): ObjectCounts {
    const { count } = this.#objects;
    return { present: count, missing: this.#contents.size - count };
  }

  async *records(): AsyncGenerator<readonly BackupRecord[]> {
    const { head, keys, source, progress, signal } = this.#backup;
    const read = (lengthBytes: number, position: number): Promise<Uint8Array> => {
      signal.throwIfAborted();
      return readExactly(source, lengthBytes, position);
    };
    const items = openBackup(head, keys, read, source.stats.size, (bytes) => progress.add(bytes));
    try {
      for await (const found of items) yield await this.#take(found);
      if (head.hasObjects) await this.#objects.finish();
    } finally {
      await this.#objects.close();
      this.#keys.wipe();
    }
  }

  async #take(items: readonly BackupItem[]): Promise<BackupRecord[]> {
    const records: BackupRecord[] = [];
    for (const item of items) {
      if (item.kind !== "record") await this.#objects.take(item);
      else {
        records.push(item.record);
        this.#note(item.record);
      }
    }
    return records;
  }

  #note([key, value]: BackupRecord): void {
    // The check of all records refuses what does not open.
    const content = unlessDamaged(() => {
      this.#keys.note(key, value);
      return openContentRecord(this.#backup.keys, key, value);
    });
    if (content !== undefined) this.#contents.set(hex(content.id), content);
  }
}
