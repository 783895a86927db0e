/**
 * Seals or opens stretches of a file's body, from one open file to another, by position: the same code for one thread
 * and for many. While one block is worked on, the next is read and the one before is written.
 * @module
 */
import { FLOE_SEGMENT_OVERHEAD_BYTES } from "../crypto/floe.ts";
import type { FloeSegments } from "../crypto/floe-segments.ts";
import type { FileHandle } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { fileFailure, sourceChanged } from "./file-failures.ts";
import { releaseMemory } from "../crypto/released-memory.ts";

/** Where a body lies in source and target, and how it is cut. Numbers only, so that a worker can be sent it. */
export interface BodyPlan {
  readonly direction: "seal" | "open";
  /** Offset of segment 0 in the source, in bytes. */
  readonly sourceAt: number;
  /** Offset of segment 0 in the target, in bytes. */
  readonly targetAt: number;
  /** P. */
  readonly segmentPlaintextBytes: number;
  /** Of the whole message. */
  readonly plaintextBytes: number;
  /** Segments of the whole message. */
  readonly segments: number;
}

/** Positions from `first` up to and without `end`. */
export interface SegmentRange {
  readonly first: number;
  readonly end: number;
}

export interface RangeWork {
  readonly plan: BodyPlan;
  /** Plaintext of one block, at most, but a segment at least: one read, one stretch of work, one write. In bytes. */
  readonly blockBytes: number;
  readonly source: FileHandle;
  readonly target: FileHandle;
  /** Borrowed. */
  readonly segments: FloeSegments;
  /** What goes before segment 0 in the target, written with it. */
  readonly preface?: Uint8Array | undefined;
  /** Hands out each stretch once; undefined when there is no more. */
  readonly nextRange: () => SegmentRange | undefined;
  /** Awaited before each block is worked on, where the thread has other things to do. */
  readonly takeTurn?: () => Promise<void>;
  /** Asked before each block: true ends the work early, as if there were no more. */
  readonly isStopped: () => boolean;
  /** Told the plaintext bytes of each block that was written. */
  readonly onBytes: (bytes: number) => void;
}

/** How many segments make a stretch of about this much plaintext. */
export function segmentsPerStretch({ segmentPlaintextBytes }: BodyPlan, stretchBytes: number): number {
  return Math.max(1, Math.floor(stretchBytes / segmentPlaintextBytes));
}

/**
 * Works until no range is left. When it rejects, nothing of it is under way any more.
 * @throws InvalidCiphertextError, SourceChangedError, IoError.
 */
export async function workOnRanges(work: RangeWork): Promise<void> {
  const blocks = blocksOf(work);
  const buffers = [new BlockBuffer(work.plan), new BlockBuffer(work.plan)] as const;
  let reading: Promise<SegmentRange | undefined> = readNext(work, blocks, buffers[0]);
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let turn = 0; ; turn ^= 1) {
      const block = await reading;
      if (block === undefined) break;
      const buffer = buffers[turn as 0 | 1];
      reading = readNext(work, blocks, buffers[(turn ^ 1) as 0 | 1]);
      // Awaited below, and its failure with it.
      reading.catch(() => undefined);
      if (work.takeTurn !== undefined) await work.takeTurn();
      const slices = buffer.pieces(block).flatMap(([position, piece]) => process(work, position, piece));
      await writing;
      writing = writeBlock(work, block, slices);
      writing.catch(() => undefined);
    }
    await writing;
  } finally {
    await Promise.allSettled([reading, writing]);
  }
}

function* blocksOf({ plan, blockBytes, nextRange }: RangeWork): Generator<SegmentRange> {
  const segmentsPerBlock = segmentsPerStretch(plan, blockBytes);
  for (let range = nextRange(); range !== undefined; range = nextRange()) {
    for (let { first } = range; first < range.end; first += segmentsPerBlock) {
      yield { first, end: Math.min(first + segmentsPerBlock, range.end) };
    }
  }
}

async function readNext(
  work: RangeWork,
  blocks: Generator<SegmentRange>,
  buffer: BlockBuffer,
): Promise<SegmentRange | undefined> {
  const { plan, source } = work;
  if (work.isStopped()) return undefined;
  const { value: block } = blocks.next() as IteratorResult<SegmentRange, undefined>;
  if (block === undefined) return undefined;
  const wanted = buffer.forBlock(block);
  let read: number;
  try {
    read = await source.read(wanted, plan.sourceAt + block.first * inputUnit(plan));
  } catch (error) {
    throw ioError(error, "read the source");
  }
  if (read < wanted.length) throw sourceChanged();
  return block;
}

function process({ plan, segments }: RangeWork, position: number, piece: Uint8Array): Uint8Array[] {
  const segment = { position, isLast: position === plan.segments - 1 };
  if (plan.direction === "seal") return segments.sealSlices(segment, piece);
  try {
    return segments.openSlices(segment, piece);
  } catch (error) {
    throw fileFailure(error, position);
  }
}

async function writeBlock(
  { plan, target, preface, onBytes }: RangeWork,
  block: SegmentRange,
  slices: readonly Uint8Array[],
): Promise<void> {
  try {
    if (block.first === 0 && preface !== undefined) {
      await target.writev([preface, ...slices], plan.targetAt - preface.length);
    } else {
      await target.writev(slices, plan.targetAt + block.first * outputUnit(plan));
    }
  } catch (error) {
    throw ioError(error, "write the destination");
  } finally {
    releaseMemory(slices);
  }
  onBytes(plaintextIn(plan, block));
}

/** Memory for one block of the source, used again and again. */
class BlockBuffer {
  readonly #plan: BodyPlan;
  #bytes = new Uint8Array(0);

  constructor(plan: BodyPlan) {
    this.#plan = plan;
  }

  /** Returns room for the block's bytes in the source. */
  forBlock(block: SegmentRange): Uint8Array {
    const overheadBytes =
      this.#plan.direction === "open" ? (block.end - block.first) * FLOE_SEGMENT_OVERHEAD_BYTES : 0;
    const lengthBytes = plaintextIn(this.#plan, block) + overheadBytes;
    if (this.#bytes.length < lengthBytes) this.#bytes = new Uint8Array(lengthBytes);
    return this.#bytes.subarray(0, lengthBytes);
  }

  /** Returns the block's segments with their positions. */
  pieces(block: SegmentRange): [number, Uint8Array][] {
    const bytes = this.forBlock(block);
    const unit = inputUnit(this.#plan);
    const pieces: [number, Uint8Array][] = [];
    for (let position = block.first; position < block.end; position++) {
      const at = (position - block.first) * unit;
      pieces.push([position, bytes.subarray(at, at + unit)]);
    }
    return pieces;
  }
}

function plaintextIn({ segmentPlaintextBytes, plaintextBytes }: BodyPlan, block: SegmentRange): number {
  const end = Math.min(block.end * segmentPlaintextBytes, plaintextBytes);
  return end - block.first * segmentPlaintextBytes;
}

function inputUnit({ direction, segmentPlaintextBytes }: BodyPlan): number {
  return segmentPlaintextBytes + (direction === "open" ? FLOE_SEGMENT_OVERHEAD_BYTES : 0);
}

function outputUnit({ direction, segmentPlaintextBytes }: BodyPlan): number {
  return segmentPlaintextBytes + (direction === "seal" ? FLOE_SEGMENT_OVERHEAD_BYTES : 0);
}
