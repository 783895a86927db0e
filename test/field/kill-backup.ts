/**
 * What a killed process may leave of a backup: the last whole file, or a newer one, never a part.
 * @module
 */
import { existsSync } from "node:fs";
import type { Unlocker } from "../../src/keystore/slots/way-in.ts";
import { restoreVault } from "../../src/vault.ts";

/** How often a log says that the root key was changed and a backup made, and what was cut short. */
export interface Heavy {
  readonly rootChanges: number;
  readonly backups: number;
  readonly cutRootChange: boolean;
  readonly cutBackup: boolean;
}

interface HeavyLine {
  readonly backup?: "begun" | "made" | "refused";
  readonly slotStep?: number;
  readonly operation?: string;
  readonly done?: boolean;
}

/** Reads a child's log. */
export function readHeavy(log: string): Heavy {
  let [rootChanges, backups] = [0, 0];
  let [cutRootChange, cutBackup] = [false, false];
  for (const line of log.split("\n").filter((part) => part !== "")) {
    const entry = JSON.parse(line) as HeavyLine;
    if (entry.backup !== undefined) cutBackup = entry.backup === "begun";
    if (entry.backup === "made") backups++;
    if (entry.slotStep === undefined) continue;
    if (entry.done === undefined) cutRootChange = entry.operation === "rotateRoot";
    else {
      if (entry.done && cutRootChange) rootChanges++;
      cutRootChange = false;
    }
  }
  return { rootChanges, backups, cutRootChange, cutBackup };
}

/** Says what is wrong with the backup; undefined when it is whole, or when none was ever made. */
export async function judgeBackup(
  file: string,
  wasMade: boolean,
  unlock: Unlocker,
): Promise<string | undefined> {
  if (!existsSync(file)) return wasMade ? "a backup that was made is gone" : undefined;
  try {
    await restoreVault(file, "unused", { unlock, verifyOnly: true });
    return undefined;
  } catch (error) {
    return `the backup: ${String(error)}`;
  }
}
