/**
 * Real vaults for tests of the KMS: on disk, with a passphrase that costs next to nothing.
 * @module
 */
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Unlocker } from "../../src/keystore/slots/way-in.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { createVault, openVault, type Vault } from "../../src/vault.ts";
import { canary } from "../canary.ts";
import { scratchDirectories } from "../storage/scratch.ts";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
export const DAY_MS = 86_400_000;
/** 2026-01-01. */
export const START_MS = 1_767_225_600_000;

/** A clock that stands until it is set. */
export interface ManualClock {
  nowMs: number;
}

export interface TestVault {
  readonly vault: Vault;
  readonly directory: string;
  readonly clock: ManualClock;
  readonly notices: VaultNotice[];
  /** Opens the directory again, after a close. */
  readonly reopen: () => Promise<Vault>;
}

export function cheapPassphrase(): Unlocker {
  return passphraseWith(canary("passphrase"), { cost: CHEAP, floor: CHEAP });
}

/** Returns a function that makes vaults, all closed and removed after the file's tests. */
export function testVaults(): () => Promise<TestVault> {
  const scratch = scratchDirectories();
  const opened: Vault[] = [];
  afterAll(async () => {
    for (const vault of opened) await vault.close();
  });
  return async () => {
    const directory = join(await scratch(), "vault");
    const clock = { nowMs: START_MS };
    const notices: VaultNotice[] = [];
    const options = {
      clock: () => clock.nowMs,
      onWarning: (notice: VaultNotice) => void notices.push(notice),
    };
    const watch = (vault: Vault): Vault => {
      opened.push(vault);
      vault.on("warning", (notice) => notices.push(notice));
      vault.on("damage", (notice) => notices.push(notice));
      return vault;
    };
    const created = await createVault(directory, { ...options, unlock: cheapPassphrase() });
    return {
      vault: watch(created.vault),
      directory,
      clock,
      notices,
      reopen: async () => watch(await openVault(directory, { ...options, unlock: cheapPassphrase() })),
    };
  };
}
