/**
 * A vault into one file, while it is in use.
 * Source: docs/format.md#backup [F-165], [F-166].
 * @module
 */
import { basename, dirname, join, sep } from "node:path";
import { randomId } from "./crypto/random.ts";
import { DestinationFile } from "./envelope/destination-file.ts";
import { Progress } from "./envelope/progress.ts";
import { InvalidArgumentError } from "./errors.ts";
import type { FileStats } from "./storage/file-system.ts";
import { ioError } from "./storage/io-error.ts";
import { measureObjects, objectsToBackUp } from "./store/backup-objects.ts";
import { Objects } from "./store/objects.ts";
import type { VaultLocking } from "./vault-locking.ts";
import type { VaultOpening } from "./vault-opening.ts";
import { assertBackupOptions, assertPath, type BackupOptions } from "./vault-options.ts";

/** A backup that was made. */
export interface VaultBackup {
  readonly createdAt: Date;
  /** Of the database: keys, their versions and copies, aliases, tags and what else there is. */
  readonly recordCount: number;
  /** Files of the store that lie in objects; small ones are records. 0 where the files were left out. */
  readonly objectCount: number;
  /** Length of the file. */
  readonly fileBytes: number;
}

/** Performs work while every object of the store stays as it is, with its keys. */
export type ObjectKeeping = <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>;

/** See `Vault.backup`. */
export async function backupVault(
  locking: VaultLocking,
  opening: VaultOpening,
  destination: string,
  options: BackupOptions,
  keepObjects: ObjectKeeping,
): Promise<VaultBackup> {
  assertPath("destination", destination);
  assertBackupOptions(options);
  const { overwrite = false, store: hasObjects = true, onProgress } = options;
  return locking.run(async (unlocked) => {
    const { ended } = unlocked;
    const signal = options.signal === undefined ? ended : AbortSignal.any([options.signal, ended]);
    signal.throwIfAborted();
    await assertPlace(opening, destination, overwrite);
    const make = async (): Promise<VaultBackup> => {
      const snapshot = await unlocked.snapshot();
      try {
        const { records, lengthBytes } = await snapshot.check(signal);
        const wanted = hasObjects ? await snapshot.contents(signal) : undefined;
        const objects = new Objects(opening.fs, opening.directory);
        const objectBytes = wanted === undefined ? 0 : await measureObjects(objects, wanted, signal);
        const progress = new Progress(onProgress, lengthBytes + objectBytes);
        const head = { backupId: randomId(), createdAtMs: opening.clock(), hasObjects };
        const copied = wanted === undefined ? none() : objectsToBackUp(objects, wanted, signal);
        const file = await DestinationFile.create(opening.fs, destination, overwrite);
        const fileBytes = await write(file, snapshot.backup(head, copied, signal), progress, signal);
        const createdAt = new Date(head.createdAtMs);
        return { createdAt, recordCount: records, objectCount: wanted?.contents.length ?? 0, fileBytes };
      } finally {
        await snapshot.end();
      }
    };
    // What is removed meanwhile stays until it is copied; and a key that seals an object later would not be in the records.
    return hasObjects ? keepObjects(make, signal) : make();
  });
}

async function* none(): AsyncGenerator<never> {
  // A backup without files has no objects.
}

/** What is in the vault's own directory goes when that goes, and is swept or taken for its own. */
async function assertPlace(
  { fs, directory }: VaultOpening,
  destination: string,
  overwrite: boolean,
): Promise<void> {
  let folder: string;
  let source: FileStats;
  try {
    folder = await fs.realpath(dirname(destination));
    // Not a header copy: one may be lost, and a backup is what is wanted then.
    source = await fs.stat(directory);
  } catch (error) {
    throw ioError(error, "look at the backup's folder", dirname(destination));
  }
  if (join(folder, basename(destination), sep).startsWith(join(directory, sep))) {
    throw new InvalidArgumentError(
      "The backup would lie in the vault's own directory, and be lost with it. Choose another place, best on another drive.",
      { details: { reason: "inside-vault" } },
    );
  }
  await DestinationFile.check(fs, destination, { overwrite, source });
}

async function write(
  file: DestinationFile,
  backup: AsyncIterable<Uint8Array>,
  progress: Progress,
  signal: AbortSignal,
): Promise<number> {
  let at = 0;
  try {
    for await (const bytes of backup) {
      signal.throwIfAborted();
      await file.write(bytes, at);
      at += bytes.length;
      progress.add(bytes.length);
    }
    file.beginFlush();
    await progress.finish();
    signal.throwIfAborted();
    await file.publish(signal);
    return at;
  } catch (error) {
    await file.discard();
    throw error;
  }
}
