/**
 * What becomes of the file tables when a repair takes what is left of them for all that there is.
 * Source: docs/format.md#store-verification [F-243], [F-246], [F-248].
 * @module
 */
import { addToSum, subtractFromSum } from "../formats/records/set-sum.ts";
import { TABLES, type TableSum } from "../formats/records/tables.ts";
import type { DatabaseSession } from "./database-session.ts";
import type { FileTableCheck } from "./file-tables.ts";
import { keptBySum } from "./kept-by-sum.ts";

/** What a repair has found out about the records before. */
export interface AcceptOptions {
  /** Empties the list of what is to be removed also where all sums are right. */
  readonly isListWrong: boolean;
  /** LevelDB keys of entries of which one may stay, group by group; the first where nothing tells which. */
  readonly doubles: readonly (readonly Uint8Array[])[];
}

/** What a repair of the file tables deletes. */
export interface AcceptedFileTables {
  /** Records that do not open. */
  readonly lost: number;
  /** Records of the list of what is to be removed. */
  readonly unlisted: number;
  /** Entries of which another one stays. */
  readonly doubled: number;
  /** True when the sum has told which of them stay. */
  readonly areStayingProven: boolean;
}

export interface Acceptance {
  readonly accepted: AcceptedFileTables;
  readonly deleted: readonly Uint8Array[];
  readonly sets: ReadonlyMap<number, TableSum>;
}

/** Plans it. @returns undefined when there is nothing to do. @throws IoError. */
export async function planAcceptance(
  session: DatabaseSession,
  { isListWrong, doubles }: AcceptOptions,
): Promise<Acceptance | undefined> {
  const checks = await session.fileTableCheck()(session.store.inner);
  const isSound = (table: number): boolean => checks.every((check) => check.table !== table || check.isSound);
  // Without the names of the last moment, or its list, nobody knows what is to be removed.
  const dropsList = isListWrong || !isSound(TABLES.entries) || !isSound(TABLES.garbage);
  if (!dropsList && doubles.length === 0 && checks.every((check) => check.isSound)) return undefined;
  const stated = session.state.sets;
  const sets = new Map(stated);
  for (const { table, readable } of checks) setOrDelete(sets, table, readable);
  const kept = keptOf(session, doubles, checks, stated.get(TABLES.entries));
  const stale = doubles.flatMap((keys, group) => keys.filter((_, index) => index !== (kept?.[group] ?? 0)));
  const entries = sets.get(TABLES.entries);
  if (entries !== undefined) setOrDelete(sets, TABLES.entries, without(session, entries, stale));
  const unlisted: Uint8Array[] = [];
  if (dropsList) {
    sets.delete(TABLES.garbage);
    const range = { gte: Uint8Array.of(TABLES.garbage), lt: Uint8Array.of(TABLES.garbage + 1) };
    for await (const [key] of session.store.inner.entries(range)) unlisted.push(key);
  }
  const lost = checks.flatMap(({ unreadable }) => unreadable);
  return {
    accepted: {
      lost: lost.length,
      unlisted: unlisted.length,
      doubled: stale.length,
      areStayingProven: kept !== undefined,
    },
    deleted: [...lost, ...stale, ...unlisted],
    sets,
  };
}

/** The one that stays of each group, where nothing but the others is too much in the table. */
function keptOf(
  session: DatabaseSession,
  doubles: AcceptOptions["doubles"],
  checks: readonly FileTableCheck[],
  stated: TableSum | undefined,
): readonly number[] | undefined {
  const check = checks.find(({ table }) => table === TABLES.entries);
  if (check === undefined || stated === undefined || check.unreadable.length > 0) return undefined;
  const groups = doubles.map((keys) => keys.map((key) => session.termOf(key)));
  const tooMany = doubles.reduce((sum, keys) => sum + keys.length - 1, 0);
  if (check.found - stated.count !== tooMany) return undefined;
  // Of all that is there, what is not the others' is the sum of what stays.
  const sum = stated.sum.slice();
  subtractFromSum(sum, check.readable.sum);
  for (const term of groups.flat()) addToSum(sum, term);
  return keptBySum(sum, groups);
}

function without(session: DatabaseSession, set: TableSum, keys: readonly Uint8Array[]): TableSum {
  const sum = set.sum.slice();
  for (const key of keys) subtractFromSum(sum, session.termOf(key));
  return { count: set.count - keys.length, sum };
}

function setOrDelete(sets: Map<number, TableSum>, table: number, set: TableSum): void {
  if (set.count === 0) sets.delete(table);
  else sets.set(table, set);
}
