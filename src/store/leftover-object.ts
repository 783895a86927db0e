/**
 * Objects that were left in `incoming/` and that a record names. Mostly a crash has left them, and their place is free.
 * A copy program that ran during a write and once more after it leaves a part of an object there, beside the whole one
 * in its place. Source: docs/format.md#store-objects [F-238].
 * @module
 */
import type { ContentRecord } from "../formats/records/tables.ts";
import { UnexpectedFileError } from "../storage/file-system.ts";
import { judgeObject } from "./object-check.ts";
import type { Objects } from "./objects.ts";

/**
 * Puts the object into its place. Where something lies there already, the one that the record means stays, and the
 * other goes.
 * @returns false where that is neither of them: both are left as they are. @throws IoError, SourceChangedError.
 */
export async function settleLeftover(objects: Objects, content: ContentRecord): Promise<boolean> {
  const { id } = content;
  if (await objects.isPlaceTaken(id)) {
    if (await isMeantIn("objects", objects, content)) {
      await objects.removeIncoming(id);
      return true;
    }
    if (!(await isMeantIn("incoming", objects, content))) return false;
  }
  await objects.settle(id);
  return true;
}

async function isMeantIn(
  place: "objects" | "incoming",
  objects: Objects,
  content: ContentRecord,
): Promise<boolean> {
  try {
    const source = await objects.openIn(place, content.id);
    if (source === undefined) return false;
    try {
      return (await judgeObject(source, content)) === "meant";
    } finally {
      await source.handle.close().catch(() => undefined);
    }
  } catch (error) {
    // A link or a folder is no object.
    if (error instanceof Error && error.cause instanceof UnexpectedFileError) return false;
    throw error;
  }
}
