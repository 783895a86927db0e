/**
 * What the pool and its workers say to each other: one job is one file's body, shared by all workers, which take
 * stretches of it until none is left.
 * @module
 */
import type { FloeKeys } from "../crypto/floe.ts";
import {
  CofferError,
  type CofferErrorCode,
  type ErrorDetails,
  InvalidCiphertextError,
  IoError,
  isCofferError,
  SourceChangedError,
} from "../errors.ts";
import { type BodyPlan, type SegmentRange, segmentsPerStretch } from "./segment-ranges.ts";

/** The package's version, which a worker's file tells: one of another release may write other bytes. */
export const RELEASE = "0.1.0";

/** Plaintext of a stretch that a worker takes at once: long enough for the system to read ahead. */
const STRETCH_BYTES = 8_388_608;

/** A file by its path, and what tells that it is still the same one. */
export interface NamedFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/** A file's body, for one worker. The keys are its own, to be wiped. */
export interface WorkerJob {
  readonly id: number;
  readonly plan: BodyPlan;
  /** Segments from 0 up to and without this one. */
  readonly end: number;
  readonly source: NamedFile;
  readonly target: NamedFile;
  readonly keys: FloeKeys;
  readonly shared: SharedArrayBuffer;
}

/** What a worker says: once that it is there, then the end of each job. */
export type WorkerAnswer =
  | { readonly type: "ready"; readonly release: string }
  | { readonly type: "done"; readonly id: number; readonly failure?: WorkerFailure };

/** An error that a thread boundary can carry. */
export interface WorkerFailure {
  readonly code: CofferErrorCode | undefined;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** What all who work on one body share: the next stretch, the bytes done, and whether to end. */
export class SharedProgress {
  readonly buffer: SharedArrayBuffer;
  readonly #words: BigInt64Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(24)) {
    this.buffer = buffer;
    this.#words = new BigInt64Array(buffer);
  }

  /** Takes the next stretch; undefined when none is left, or the work is to end. */
  take(plan: BodyPlan, end: number): SegmentRange | undefined {
    if (Atomics.load(this.#words, 2) !== 0n) return undefined;
    const stretch = segmentsPerStretch(plan, STRETCH_BYTES);
    const first = Number(Atomics.add(this.#words, 0, 1n)) * stretch;
    return first < end ? { first, end: Math.min(first + stretch, end) } : undefined;
  }

  add(bytes: number): void {
    Atomics.add(this.#words, 1, BigInt(bytes));
  }

  get bytes(): number {
    return Number(Atomics.load(this.#words, 1));
  }

  /** Lets everybody end after the block at hand. */
  stop(): void {
    Atomics.store(this.#words, 2, 1n);
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, 2) !== 0n;
  }
}

/** Returns what carries an error to another thread; its cause stays behind. */
export function toFailure(error: unknown): WorkerFailure {
  if (isCofferError(error)) return { code: error.code, message: error.message, details: error.details };
  return { code: undefined, message: String(error), details: {} };
}

/** Returns the error that was carried. */
export function fromFailure({ code, message, details }: WorkerFailure): Error {
  switch (code) {
    case undefined:
      return new Error(message);
    case "COFFER_INVALID_CIPHERTEXT":
      return new InvalidCiphertextError(message, { details });
    case "COFFER_SOURCE_CHANGED":
      return new SourceChangedError(message, { details });
    case "COFFER_IO":
      return new IoError(message, { details });
    default:
      return new CofferError(code, message, { details });
  }
}
