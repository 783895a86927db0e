/**
 * Opens an encrypted file that can be read by position: its beginning, then its last segment, and only then anything
 * that depends on its length. Source: docs/format.md#file [F-206].
 * @module
 */
import { FLOE_SEGMENT_OVERHEAD_BYTES, floeLayout } from "../crypto/floe.ts";
import { MalformedError } from "../crypto/failures.ts";
import { cut, fileBeginningLength, parseFileHead } from "../formats/file.ts";
import { wipe } from "../secret.ts";
import { type OpenedBeginning, openBeginning, type OpenFields } from "./beginning.ts";
import { fileFailure } from "./file-failures.ts";
import type { BodyPlan } from "./segment-ranges.ts";
import { readExactly, type SourceFile } from "./source-file.ts";

/** What is read at first: nearly always the whole beginning. */
const FIRST_READ_BYTES = 8192;
/** Files up to this length are read in one step: a second one costs more than their bytes. */
const SHORT_FILE_BYTES = 131_072;

/** A file whose length somebody else has proven; of its body nothing was opened. Who holds it wipes `dek` and closes `segments`. */
export interface KnownEnvelope extends OpenedBeginning {
  /** Where its segments lie, and how much plaintext there is. The target begins at 0. */
  readonly plan: BodyPlan;
}

/** A file whose length is proven. */
export interface OpenedEnvelope extends KnownEnvelope {
  /** Plaintext of the last segment, which had to be opened. */
  readonly lastPlaintext: Uint8Array;
}

/** Reads a file's beginning, whatever it says. @throws InvalidCiphertextError, UnsupportedFormatError, IoError. */
export async function readBeginning(source: SourceFile): Promise<Uint8Array> {
  return beginningOf(source, await readExactly(source, Math.min(source.stats.size, FIRST_READ_BYTES), 0));
}

/** @param first of the file, as much as was read. */
async function beginningOf(source: SourceFile, first: Uint8Array): Promise<Uint8Array> {
  const { size } = source.stats;
  const lengthBytes = fileBeginningLength(first);
  if (size < lengthBytes) throw cut();
  return lengthBytes <= first.length ? first.subarray(0, lengthBytes) : readExactly(source, lengthBytes, 0);
}

/**
 * Opens a file.
 * @throws InvalidCiphertextError, UnsupportedFormatError, WrongSecretError, IoError, and what the key's owner answers.
 */
export async function openEnvelope(source: SourceFile, fields: OpenFields): Promise<OpenedEnvelope> {
  const { size } = source.stats;
  const first = await readExactly(source, size <= SHORT_FILE_BYTES ? size : FIRST_READ_BYTES, 0);
  const bytes = await beginningOf(source, first);
  const layout = layoutOf(size - bytes.length, bytes);
  const opened = await openBeginning(bytes, fields);
  try {
    const plan = planOf(opened, layout);
    const last = plan.segments - 1;
    const at = plan.sourceAt + last * opened.segments.segmentBytes;
    const sealed =
      first.length === size ? first.subarray(at) : await readExactly(source, layout.lastSegmentBytes, at);
    return { ...opened, plan, lastPlaintext: openLast(opened, last, sealed) };
  } catch (error) {
    wipe(opened.dek);
    opened.segments.close();
    throw error;
  }
}

/**
 * Opens a file of which a sealed record says how long it is, so that its last segment may be damaged like any other, or
 * be gone.
 * @throws as {@link openEnvelope}.
 */
export async function openKnownEnvelope(
  source: SourceFile,
  plaintextBytes: number,
  fields: OpenFields,
): Promise<KnownEnvelope> {
  const opened = await openBeginning(await readBeginning(source), fields);
  const segments = Math.max(1, Math.ceil(plaintextBytes / opened.segments.plaintextBytes));
  return { ...opened, plan: planOf(opened, { plaintextBytes, segments }) };
}

function planOf(
  { offsets, segments }: OpenedBeginning,
  layout: Pick<BodyPlan, "plaintextBytes" | "segments">,
): BodyPlan {
  return {
    direction: "open",
    sourceAt: offsets.segments,
    targetAt: 0,
    segmentPlaintextBytes: segments.plaintextBytes,
    plaintextBytes: layout.plaintextBytes,
    segments: layout.segments,
  };
}

function layoutOf(bodyBytes: number, beginning: Uint8Array): ReturnType<typeof floeLayout> {
  try {
    return floeLayout(
      bodyBytes,
      parseFileHead(beginning).segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES,
    );
  } catch (error) {
    if (error instanceof MalformedError) throw cut();
    throw error;
  }
}

function openLast({ segments }: OpenedBeginning, position: number, sealed: Uint8Array): Uint8Array {
  try {
    return segments.open({ position, isLast: true }, sealed);
  } catch (error) {
    throw fileFailure(error, position);
  }
}
