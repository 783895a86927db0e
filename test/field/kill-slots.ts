/**
 * Which ways in a vault must have after a kill: all that were acknowledged, and of the one change under way all or
 * nothing.
 * @module
 */
import type { Vault } from "../../src/vault.ts";

/** Labels by id, of the slots that were added to those that the vault was made with. */
export type SlotModel = ReadonlyMap<string, string>;

interface SlotLine {
  readonly slotStep?: number;
  readonly operation?: "add" | "setLabel" | "remove" | "rotateRoot";
  readonly id?: string;
  readonly label?: string;
  readonly done?: boolean;
}

/** The id of a slot whose adding nobody was told of. */
const UNTOLD = "untold";

/** Reads a child's log. @returns the states that are right: with the last change, if none tells of it, and without. */
export function readSlots(log: string, before: SlotModel): readonly SlotModel[] {
  let slots = before;
  let pending: SlotLine | undefined;
  for (const line of log.split("\n").filter((part) => part !== "")) {
    const entry = JSON.parse(line) as SlotLine;
    if (entry.slotStep === undefined) continue;
    if (entry.done === undefined) {
      pending = entry;
      continue;
    }
    if (entry.done && pending !== undefined) slots = changed(slots, pending, entry.id);
    pending = undefined;
  }
  return pending === undefined ? [slots] : [slots, changed(slots, pending, undefined)];
}

function changed(slots: SlotModel, { operation, id = "", label = "" }: SlotLine, newId = UNTOLD): SlotModel {
  // All ways in are given again: of those that were added none.
  if (operation === "rotateRoot") return new Map();
  const after = new Map(slots);
  if (operation === "remove") after.delete(id);
  else after.set(operation === "add" ? newId : id, label);
  return after;
}

/** The slots that were added to a vault. */
export async function addedSlots(vault: Vault): Promise<SlotModel> {
  const added = (await vault.slots.list()).filter(({ label }) => label.startsWith("slot "));
  return new Map(added.map(({ id, label }) => [id, label]));
}

/** Says what is wrong with the vault's slots, if something is. */
export async function judgeSlots(vault: Vault, possible: readonly SlotModel[]): Promise<string | undefined> {
  const found = await addedSlots(vault);
  const isRight = possible.some(
    (slots) =>
      slots.size === found.size &&
      [...slots].every(([id, label]) =>
        id === UNTOLD ? [...found.values()].includes(label) : found.get(id) === label,
      ),
  );
  const shown = (slots: SlotModel): string => JSON.stringify([...slots.values()].sort());
  return isRight ? undefined : `slots ${shown(found)}, expected ${possible.map(shown).join(" or ")}`;
}
