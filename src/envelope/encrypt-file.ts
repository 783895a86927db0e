/**
 * From a file to an encrypted file. Source: docs/format.md#file.
 * @module
 */
import { FLOE_HEADER_BYTES, FLOE_SEGMENT_OVERHEAD_BYTES, floeMessageBytes } from "../crypto/floe.ts";
import { makeBeginning } from "./beginning.ts";
import { workOnBody } from "./body-work.ts";
import { DestinationFile, lookAt } from "./destination-file.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import { DEFAULT_SEGMENT_BYTES, type FileToFileOptions, type NewFileOptions } from "./file-options.ts";
import type { KeyAccess } from "./key-access.ts";
import { Progress } from "./progress.ts";
import type { BodyPlan } from "./segment-ranges.ts";
import { assertUnchanged, closeMeanwhile, openSource, type SourceFile } from "./source-file.ts";

/** What was written. */
export interface EncryptedFile {
  /** Length of the source, in bytes. */
  readonly plaintextBytes: number;
  /** Length of the encrypted file, in bytes. */
  readonly encryptedBytes: number;
}

export type EncryptOptions = NewFileOptions & FileToFileOptions;

/**
 * Encrypts one file into another, which is durable when the promise resolves. When it rejects, nothing is left, and
 * what was there before is as it was; unless the reason is `outcome-unknown`, when only the name may not be durable.
 * @throws AlreadyExistsError, InvalidArgumentError, SourceChangedError, IoError, and what the key's owner answers.
 */
export async function encryptFileWith(
  ground: EnvelopeGround,
  access: KeyAccess,
  paths: { readonly source: string; readonly destination: string },
  options: EncryptOptions,
): Promise<EncryptedFile> {
  const { signal, overwrite = false } = options;
  signal?.throwIfAborted();
  const looking = lookAt(ground.fs, paths.destination);
  looking.catch(() => undefined);
  const source = await openSource(ground.fs, paths.source);
  try {
    await DestinationFile.check(ground.fs, paths.destination, { overwrite, source: source.stats }, looking);
    // Meanwhile the data key is made.
    const creating = DestinationFile.create(ground.fs, paths.destination, overwrite);
    creating.catch(() => undefined);
    try {
      const { bytes, segments } = await makeBeginning(access, {
        context: options.encryptionContext ?? {},
        storeContext: options.storeContext ?? true,
        segmentPlaintextBytes: options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
        createdAtMs: ground.clock(),
        signal,
      });
      try {
        const destination = await creating;
        const plan = sealPlan(bytes.length, source, segments.plaintextBytes);
        const progress = new Progress(options.onProgress, plan.plaintextBytes);
        const work = { plan, end: plan.segments, source, destination, segments, progress, signal };
        await workOnBody(ground, { ...work, preface: bytes });
        destination.beginFlush();
        await progress.finish();
        await assertUnchanged(ground.fs, source);
        signal?.throwIfAborted();
        closeMeanwhile(source);
        await destination.publish(signal);
        return { plaintextBytes: plan.plaintextBytes, encryptedBytes: encryptedBytes(bytes.length, plan) };
      } finally {
        segments.close();
      }
    } catch (error) {
      await creating.then(
        (destination) => destination.discard(),
        () => undefined,
      );
      throw error;
    }
  } finally {
    await source.handle.close().catch(() => undefined);
  }
}

/** How a whole source is sealed into a file whose beginning has this length. */
export function sealPlan(
  beginningBytes: number,
  source: SourceFile,
  segmentPlaintextBytes: number,
): BodyPlan {
  const plaintextBytes = source.stats.size;
  return {
    direction: "seal",
    sourceAt: 0,
    targetAt: beginningBytes,
    segmentPlaintextBytes,
    plaintextBytes,
    // A file that is not empty does not end in an empty segment.
    segments: Math.max(1, Math.ceil(plaintextBytes / segmentPlaintextBytes)),
  };
}

function encryptedBytes(beginningBytes: number, plan: BodyPlan): number {
  const segmentBytes = plan.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES;
  return beginningBytes - FLOE_HEADER_BYTES + floeMessageBytes(plan.plaintextBytes, segmentBytes);
}
