/**
 * The body of a file, from source to destination: in this thread when it is short, else in several.
 * @module
 */
import type { FloeSegments } from "../crypto/floe-segments.ts";
import { IoError } from "../errors.ts";
import type { DestinationFile } from "./destination-file.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import { type Progress, PROGRESS_INTERVAL_MS } from "./progress.ts";
import { type BodyPlan, workOnRanges } from "./segment-ranges.ts";
import type { SourceFile } from "./source-file.ts";
import { takeTurn, TURN_BYTES } from "./turns.ts";
import { type NamedFile, SharedProgress, type WorkerJob } from "./worker-job.ts";
import { performInWorkers, WorkerUnavailableError } from "./worker-pool.ts";

/** Shorter bodies are done before a thread has started. */
const MIN_WORKER_BYTES = 16_777_216;
export interface BodyWork {
  readonly plan: BodyPlan;
  /** Segments from 0 up to and without this one are worked on. */
  readonly end: number;
  readonly source: SourceFile;
  readonly destination: Pick<DestinationFile, "handle" | "temporaryPath" | "write">;
  /** What goes before segment 0 in the destination. */
  readonly preface?: Uint8Array;
  /** Borrowed. */
  readonly segments: FloeSegments;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/**
 * Writes the preface, and seals or opens the segments; with a preface there is one at least. When it rejects, nothing of
 * it is under way any more.
 */
export async function workOnBody(ground: EnvelopeGround, work: BodyWork): Promise<void> {
  if (ground.mayUseWorkers && work.plan.plaintextBytes >= MIN_WORKER_BYTES) {
    const shared = new SharedProgress();
    try {
      await workInThreads(work, shared);
      return;
    } catch (error) {
      if (!(error instanceof WorkerUnavailableError)) throw error;
      ground.report({
        type: "warning",
        message:
          "Worker threads could not be started, so long files take longer. Say with useFileWorker where the worker's file of this release is.",
      });
    }
  }
  await workHere(work);
}

async function workHere(work: BodyWork): Promise<void> {
  const { plan, source, destination, preface, segments, progress, signal } = work;
  let rest = work.end === 0 ? undefined : { first: 0, end: work.end };
  await workOnRanges({
    plan,
    blockBytes: TURN_BYTES,
    takeTurn,
    source: source.handle,
    target: destination.handle,
    segments,
    preface,
    nextRange() {
      const range = rest;
      rest = undefined;
      return range;
    },
    onBytes(bytes) {
      signal?.throwIfAborted();
      progress.add(bytes);
    },
    isStopped: () => signal?.aborted === true,
  });
  signal?.throwIfAborted();
}

async function workInThreads(work: BodyWork, shared: SharedProgress): Promise<void> {
  const { plan, end, segments, progress, signal } = work;
  const source = identityOf(work.source.path, work.source.stats);
  const target = identityOf(work.destination.temporaryPath, work.destination.handle.opened);
  let failure: { readonly error: unknown } | undefined;
  let told = 0;
  const tell = (): void => {
    try {
      const { bytes } = shared;
      progress.add(bytes - told);
      told = bytes;
    } catch (error) {
      failure ??= { error };
      shared.stop();
    }
  };
  const stop = (): void => shared.stop();
  signal?.addEventListener("abort", stop, { once: true });
  const timer = setInterval(tell, PROGRESS_INTERVAL_MS);
  try {
    signal?.throwIfAborted();
    const newJob = (id: number): WorkerJob => ({
      id,
      plan,
      end,
      source,
      target,
      keys: segments.shareKeys(),
      shared: shared.buffer,
    });
    await performInWorkers(newJob, stop, signal);
    if (work.preface !== undefined) await work.destination.write(work.preface, 0);
  } finally {
    clearInterval(timer);
    signal?.removeEventListener("abort", stop);
  }
  signal?.throwIfAborted();
  if (failure !== undefined) throw failure.error;
  // Whatever became of the threads: a part that nobody wrote must not pass for a whole.
  if (shared.bytes !== Math.min(end * plan.segmentPlaintextBytes, plan.plaintextBytes)) {
    throw new IoError("The worker threads ended before the work was done. Try again.", {
      details: { reason: "worker-ended" },
    });
  }
}

function identityOf(path: string, { device, inode }: Pick<NamedFile, "device" | "inode">): NamedFile {
  return { path, device, inode };
}
