/**
 * From an encrypted file to a file. Nothing appears under the destination's name before all of it was verified.
 * @module
 */
import { wipe } from "../secret.ts";
import { workOnBody } from "./body-work.ts";
import { DestinationFile, lookAt } from "./destination-file.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import type { FileToFileOptions } from "./file-options.ts";
import type { KeyAccess } from "./key-access.ts";
import { type OpenedEnvelope, openEnvelope } from "./open-envelope.ts";
import { Progress } from "./progress.ts";
import { closeMeanwhile, openSource, type SourceFile } from "./source-file.ts";
import { StaleTemporaries } from "./temporary-names.ts";

/** What was written. */
export interface DecryptedFile {
  /** Length of the destination, in bytes. */
  readonly plaintextBytes: number;
}

/**
 * Decrypts one file into another, of mode 0600, which is durable when the promise resolves. When it rejects, nothing
 * is left, and what was there before is as it was; unless the reason is `outcome-unknown`, when only the name may not be
 * durable. Plaintext that a killed process left for this destination is removed
 * where that is certain.
 * @throws InvalidCiphertextError, one answer for whatever is wrong once a key is involved. @throws AlreadyExistsError,
 *   InvalidArgumentError, UnsupportedFormatError, WrongSecretError, SourceChangedError, IoError.
 */
export async function decryptFileWith(
  ground: EnvelopeGround,
  access: KeyAccess,
  paths: { readonly source: string; readonly destination: string },
  options: FileToFileOptions,
): Promise<DecryptedFile> {
  const { signal, overwrite = false, encryptionContext: context } = options;
  signal?.throwIfAborted();
  const looking = lookAt(ground.fs, paths.destination);
  looking.catch(() => undefined);
  const source = await openSource(ground.fs, paths.source);
  try {
    await DestinationFile.check(ground.fs, paths.destination, { overwrite, source: source.stats }, looking);
    const opened = await openEnvelope(source, { access, context, report: ground.report, signal });
    wipe(opened.dek);
    try {
      // Plaintext that a killed process has left.
      await new StaleTemporaries(ground.fs).remove(paths.destination);
      const destination = await DestinationFile.create(ground.fs, paths.destination, overwrite);
      try {
        const progress = new Progress(options.onProgress, opened.plan.plaintextBytes);
        await decryptBody(ground, { source, opened, destination, progress, signal });
        destination.beginFlush();
        await progress.finish();
        signal?.throwIfAborted();
        closeMeanwhile(source);
        await destination.publish(signal);
        return { plaintextBytes: opened.plan.plaintextBytes };
      } catch (error) {
        await destination.discard();
        throw error;
      }
    } finally {
      opened.segments.close();
    }
  } finally {
    await source.handle.close().catch(() => undefined);
  }
}

/** What goes from an opened file to a destination, which is not published yet. */
export interface BodyToDecrypt {
  readonly source: SourceFile;
  readonly opened: OpenedEnvelope;
  readonly destination: DestinationFile;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Writes all plaintext. Each inner segment is verified by its own place; the last one was, before the length was believed. */
export async function decryptBody(
  ground: EnvelopeGround,
  { source, opened, destination, progress, signal }: BodyToDecrypt,
): Promise<void> {
  const { plan, segments } = opened;
  await workOnBody(ground, { plan, end: plan.segments - 1, source, destination, segments, progress, signal });
  await writeLast(destination, opened);
  signal?.throwIfAborted();
}

async function writeLast(
  destination: DestinationFile,
  { plan, lastPlaintext }: OpenedEnvelope,
): Promise<void> {
  await destination.write(lastPlaintext, (plan.segments - 1) * plan.segmentPlaintextBytes);
}
