/**
 * Whether the records of a vault fit each other: what one names is there, in both directions, and the material of
 * every version opens. Sums prove that records are the ones that were written; this proves that they make sense.
 * @module
 */
import { hex } from "../bytes.ts";
import { isCofferError } from "../errors.ts";
import { type DueRecord, type KeyRecord, type TableRecords, TABLES } from "../formats/records/tables.ts";
import type { VersionRecord } from "../formats/records/tables.ts";
import { wipe } from "../secret.ts";
import { openMaterial } from "./key-material.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** The records of each table that open. */
export type RecordsByTable = {
  readonly [T in keyof TableRecords]?: readonly TableRecords[T][];
};

/** What may be wrong between records. */
export type ReferenceProblem =
  | "alias-without-key"
  | "version-without-key"
  | "tag-without-key"
  | "due-without-key"
  | "due-not-as-planned"
  | "plan-without-due"
  | "key-without-version"
  | "material-sealed-otherwise"
  | "deleted-key-present"
  | "setting-missing";

/** Returns how often each problem was found; those that were not are absent. Borrows everything. */
export function checkReferences(
  keys: VaultKeys,
  records: RecordsByTable,
): ReadonlyMap<ReferenceProblem, number> {
  const problems = new Map<ReferenceProblem, number>();
  const count = (problem: ReferenceProblem, isFound: boolean): void => {
    if (isFound) problems.set(problem, (problems.get(problem) ?? 0) + 1);
  };
  const cmks = new Map((records[TABLES.keys] ?? []).map((key) => [hex(key.id), key]));
  const versions = byOwner(records[TABLES.versions]);
  const due = byOwner(records[TABLES.due]);

  for (const { keyId } of records[TABLES.aliases] ?? []) count("alias-without-key", !cmks.has(hex(keyId)));
  for (const { id } of records[TABLES.tags] ?? []) count("tag-without-key", !cmks.has(hex(id)));
  for (const { id } of records[TABLES.tombstones] ?? []) count("deleted-key-present", cmks.has(hex(id)));
  for (const version of records[TABLES.versions] ?? []) {
    const owner = cmks.get(hex(version.id));
    count("version-without-key", owner === undefined);
    if (owner !== undefined) count("material-sealed-otherwise", !materialOpens(keys, owner, version));
  }
  const deleted = new Set((records[TABLES.tombstones] ?? []).map(({ id }) => hex(id)));
  for (const entry of records[TABLES.due] ?? []) {
    const key = cmks.get(hex(entry.id));
    // After a deletion it stands for the bytes that are still to be removed from the files.
    const isRemoval = entry.what === "delete" && deleted.has(hex(entry.id));
    count("due-without-key", key === undefined && !isRemoval);
    if (key === undefined) continue;
    count(
      "due-not-as-planned",
      !plansOf(key, versions.get(hex(entry.id))).some((plan) => isSame(plan, entry)),
    );
  }
  for (const [id, key] of cmks) {
    const own = versions.get(id) ?? [];
    count("key-without-version", key.version > 0 && !own.some(({ version }) => version === key.version));
    const planned = new Set(plansOf(key, own).map(({ what }) => what));
    for (const what of planned) {
      count("plan-without-due", !(due.get(id) ?? []).some((entry) => entry.what === what));
    }
  }
  count("setting-missing", !(records[TABLES.settings] ?? []).some(({ name }) => name === "vault"));
  return problems;
}

function byOwner<T extends { readonly id: Uint8Array }>(records: readonly T[] = []): Map<string, T[]> {
  const owned = new Map<string, T[]>();
  for (const record of records) {
    const id = hex(record.id);
    owned.set(id, [...(owned.get(id) ?? []), record]);
  }
  return owned;
}

type Plan = Pick<DueRecord, "what" | "at">;

/** What a key's own records say will happen to it: a key that is not enabled keeps its schedule and does not rotate. */
function plansOf(
  { state, deleteAt, rotateAt }: KeyRecord,
  versions: readonly VersionRecord[] = [],
): readonly Plan[] {
  const plans: Plan[] = [];
  if (deleteAt !== undefined) plans.push({ what: "delete", at: deleteAt });
  if (rotateAt !== undefined && state === "Enabled") plans.push({ what: "rotate", at: rotateAt });
  for (const { expires, sealed } of versions) {
    if (expires !== undefined && sealed !== undefined) plans.push({ what: "expire", at: expires });
  }
  return plans;
}

function isSame(plan: Plan, { what, at }: DueRecord): boolean {
  return plan.what === what && plan.at === at;
}

/** Material that was deleted, or has not been imported yet, is in order too. */
function materialOpens(keys: VaultKeys, owner: KeyRecord, { version, sealed }: VersionRecord): boolean {
  if (sealed === undefined) return true;
  try {
    wipe(openMaterial(keys, owner, version, sealed));
    return true;
  } catch (error) {
    if (isCofferError(error, "COFFER_DAMAGED")) return false;
    throw error;
  }
}
