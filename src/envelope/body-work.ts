/**
 * The body of a file, from source to destination: in this thread when it is short, else in several.
 * @module
 */
import type { FloeSegments } from "../crypto/floe-segments.ts";
import type { DestinationFile } from "./destination-file.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import type { Progress } from "./progress.ts";
import { type BodyPlan, workOnRanges } from "./segment-ranges.ts";
import type { SourceFile } from "./source-file.ts";

export interface BodyWork {
  readonly plan: BodyPlan;
  /** Segments from 0 up to and without this one are worked on. */
  readonly end: number;
  readonly source: SourceFile;
  readonly destination: DestinationFile;
  /** Borrowed. */
  readonly segments: FloeSegments;
  readonly progress: Progress;
  readonly signal: AbortSignal | undefined;
}

/** Seals or opens all segments. When it rejects, nothing of it is under way any more. */
export async function workOnBody(_ground: EnvelopeGround, work: BodyWork): Promise<void> {
  const { plan, end, source, destination, segments, progress, signal } = work;
  let isHandedOut = false;
  await workOnRanges({
    plan,
    source: source.handle,
    target: destination.handle,
    segments,
    nextRange() {
      signal?.throwIfAborted();
      if (isHandedOut) return undefined;
      isHandedOut = true;
      return end === 0 ? undefined : { first: 0, end };
    },
    onBytes(bytes) {
      signal?.throwIfAborted();
      progress.add(bytes);
    },
  });
}
