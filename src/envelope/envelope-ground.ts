/**
 * What encrypted files stand on: the file system, the time, and where to say what was found.
 * @module
 */
import type { FileSystem } from "../storage/file-system.ts";

/** Something found and worked around, in a sentence that says what to do. */
export interface EnvelopeNotice {
  readonly type: "damage" | "warning";
  readonly message: string;
}

export interface EnvelopeGround {
  readonly fs: FileSystem;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly report: (notice: EnvelopeNotice) => void;
  /** Whether other threads may take a part. They reach files through the system's own calls alone. */
  readonly mayUseWorkers: boolean;
}

/** Joins signals: the first that is aborted ends the work, with its reason. */
export function anySignal(...signals: readonly (AbortSignal | undefined)[]): AbortSignal | undefined {
  const given = signals.filter((signal) => signal !== undefined);
  return given.length < 2 ? given[0] : AbortSignal.any(given);
}
