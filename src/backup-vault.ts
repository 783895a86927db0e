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
import type { VaultSnapshot } from "./keystore/vault-snapshot.ts";
import type { FileStats } from "./storage/file-system.ts";
import { ioError } from "./storage/io-error.ts";
import type { VaultLocking } from "./vault-locking.ts";
import type { VaultOpening } from "./vault-opening.ts";
import { assertBackupOptions, assertPath, type BackupOptions } from "./vault-options.ts";

/** A backup that was made. */
export interface VaultBackup {
  readonly createdAt: Date;
  /** Of the database: keys, their versions and copies, aliases, tags and what else there is. */
  readonly recordCount: number;
  /** Length of the file. */
  readonly fileBytes: number;
}

/** See `Vault.backup`. */
export async function backupVault(
  locking: VaultLocking,
  opening: VaultOpening,
  destination: string,
  options: BackupOptions,
): Promise<VaultBackup> {
  assertPath("destination", destination);
  assertBackupOptions(options);
  const { overwrite = false, onProgress } = options;
  return locking.run(async (unlocked) => {
    const { ended } = unlocked;
    const signal = options.signal === undefined ? ended : AbortSignal.any([options.signal, ended]);
    signal.throwIfAborted();
    await assertPlace(opening, destination, overwrite);
    const snapshot = await unlocked.snapshot();
    try {
      const { records, lengthBytes } = await snapshot.check(signal);
      const progress = new Progress(onProgress, lengthBytes);
      const createdAtMs = opening.clock();
      const file = await DestinationFile.create(opening.fs, destination, overwrite);
      const fileBytes = await write(file, snapshot, createdAtMs, progress, signal);
      await progress.finish();
      return { createdAt: new Date(createdAtMs), recordCount: records, fileBytes };
    } finally {
      await snapshot.end();
    }
  });
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
  snapshot: VaultSnapshot,
  createdAtMs: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<number> {
  let at = 0;
  try {
    for await (const bytes of snapshot.backup(randomId(), createdAtMs, signal)) {
      signal.throwIfAborted();
      await file.write(bytes, at);
      at += bytes.length;
      progress.add(bytes.length);
    }
    await file.publish();
    return at;
  } catch (error) {
    await file.discard();
    throw error;
  }
}
