/**
 * Reads around damage: what does not verify comes as zeros, so that everything else keeps its place.
 * @module
 */
import { ReadableStream } from "node:stream/web";
import { isCofferError } from "../errors.ts";
import type { StoredFile } from "./read-content.ts";
import type { DamagedRange } from "./store-options.ts";

/** Pieces of a healthy stretch, in bytes. */
const PIECE_BYTES = 65_536;

/** Streams a range and tells of each damaged part of it, once and in order. */
export function salvageStream(
  file: StoredFile,
  { start = 0, end = file.size }: { readonly start?: number; readonly end?: number },
  onDamage: (range: DamagedRange) => void,
): ReadableStream<Uint8Array> {
  const stop = Math.min(end, file.size);
  let at = start;
  /** Where the part ends that was found to be damaged last. */
  let damagedUntil = start;
  const next = async (pieceEnd: number): Promise<Uint8Array> => {
    if (at < damagedUntil) return new Uint8Array(Math.min(damagedUntil, pieceEnd) - at);
    try {
      return await file.read(at, pieceEnd - at);
    } catch (error) {
      const range = damagedRange(error);
      if (range === undefined || range.end <= at) throw error;
      if (range.start > at) return file.read(at, range.start - at);
      damagedUntil = range.end;
      onDamage(range);
      return new Uint8Array(Math.min(damagedUntil, pieceEnd) - at);
    }
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (at < stop) {
          const piece = await next(Math.min(at - (at % PIECE_BYTES) + PIECE_BYTES, stop));
          at += piece.length;
          controller.enqueue(piece);
        }
        if (at >= stop) controller.close();
      },
    },
    { highWaterMark: 1 },
  );
}

/** Returns where a content is damaged, if the error tells. */
export function damagedRange(error: unknown): DamagedRange | undefined {
  if (!isCofferError(error, "COFFER_DAMAGED")) return undefined;
  const { start, end } = error.details;
  return typeof start === "number" && typeof end === "number" ? { start, end } : undefined;
}
