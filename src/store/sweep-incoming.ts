/**
 * What a crash has left in `incoming/`: what a record names goes to its place, and the rest is removed, where it is
 * certain that no record of it was lost. Source: docs/format.md#store-objects [F-238].
 * @module
 */
import { isCofferError } from "../errors.ts";
import { type ContentRecord, TABLES } from "../formats/records/tables.ts";
import type { FileTableCheck } from "../storage/file-tables.ts";
import type { GarbageGround } from "./garbage.ts";
import { settleLeftover } from "./leftover-object.ts";
import { gatherNamedIds } from "./name-check.ts";

/** What sweeping needs of the session that it belongs to. */
export type SweepGround = Omit<GarbageGround, "change">;

/** Moves what a record names to its place. @returns ids of all others that nobody writes: of those no
 * record is found, or none that opens. @throws IoError. */
export async function settleIncoming(session: SweepGround): Promise<readonly Uint8Array[]> {
  const unnamed: Uint8Array[] = [];
  const { objects } = await session.objects.incoming();
  for (const { id } of objects) {
    if (session.ended.aborted) return [];
    // A write that began meanwhile is no leftover.
    if (session.use.isWriting(id)) continue;
    const content = recordOf(session, id);
    if (content === undefined || content === "damaged") unnamed.push(id);
    else if (!(await settleLeftover(session.objects, content))) {
      const name = session.objects.nameOf(session.objects.pathOf(id));
      const message = `A file of the store lies in two places (${name}, and the same name in incoming), and neither is the one that was written. Both were left: put the right one back from a copy, or restore a backup.`;
      session.host.report({ type: "damage", message });
    }
  }
  return unnamed;
}

/**
 * Removes what no record names. Where records were lost, and what an entry names, stays: it may be the only copy.
 * @param checks of the file tables, made after it was found.
 * @throws IoError.
 */
export async function removeLeftovers(
  session: SweepGround,
  unnamed: readonly Uint8Array[],
  checks: readonly FileTableCheck[],
): Promise<void> {
  if (unnamed.length === 0) return;
  const { database, ended, objects, use } = session;
  const isCertain = checks.every(({ table, isSound }) => isSound || !NAMING_TABLES.has(table));
  const names = isCertain ? await gatherNamedIds(database, ended) : undefined;
  let left = 0;
  for (const id of unnamed) {
    if (ended.aborted) return;
    if (names === undefined || names.has(id)) left += 1;
    else if (!use.isWriting(id) && recordOf(session, id) === undefined) await objects.removeIncoming(id);
  }
  if (left === 0) return;
  const what = left === 1 ? "A file of the store was" : `${left} files of the store were`;
  const message = `${what} left in the folder incoming, as records were lost or altered on disk that may have named them. Run coffer doctor --repair, or restore a backup.`;
  session.host.report({ type: "damage", message });
}

const NAMING_TABLES: ReadonlySet<number> = new Set([TABLES.entries, TABLES.contents]);

function recordOf({ catalog, database }: SweepGround, id: Uint8Array): ContentRecord | "damaged" | undefined {
  try {
    return catalog.content(database, id);
  } catch (error) {
    if (isCofferError(error, "COFFER_DAMAGED")) return "damaged";
    throw error;
  }
}
