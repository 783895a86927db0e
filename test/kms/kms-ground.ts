/**
 * A KMS on its keystore, without the vault around it, for tests that put a key into a state which no call reaches.
 * @module
 */
import { join } from "node:path";
import { afterAll } from "vitest";
import { makeVault } from "../../src/keystore/new-vault.ts";
import type { Keystore } from "../../src/keystore/keystore.ts";
import { wayInOf } from "../../src/keystore/slots/way-in.ts";
import { UnlockedVault } from "../../src/keystore/unlocked-vault.ts";
import { Kms } from "../../src/kms/kms.ts";
import { LockedError } from "../../src/errors.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { readHeaderCopies } from "../../src/storage/header-copies.ts";
import { openMemoryStore } from "../../src/storage/memory-store.ts";
import { ReopenableStore } from "../../src/storage/reopenable-store.ts";
import { type Store, StoreFailedError } from "../../src/storage/store.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { cheapPassphrase, type ManualClock, START_MS } from "./kms-vault.ts";

export interface Ground {
  readonly kms: Kms;
  readonly keystore: Keystore;
  readonly clock: ManualClock;
  readonly notices: string[];
  /** While true, the engine refuses to compact. */
  compactionFails: boolean;
  /** How often it has compacted. */
  compactions: number;
}

/** Returns a function that makes grounds in memory; only their headers are on disk. */
export function grounds(): () => Promise<Ground> {
  const scratch = scratchDirectories();
  const begun: UnlockedVault[] = [];
  afterAll(async () => {
    for (const unlocked of begun) await unlocked.end(new LockedError("The test is over."));
  });
  return async () => {
    const directory = join(await scratch(), "vault");
    const clock = { nowMs: START_MS };
    const store = openMemoryStore();
    const notices: string[] = [];
    const engineState = { compactionFails: false, compactions: 0 };
    // The maker closes the engine, which would empty it.
    const kept: Store = {
      get: (key) => store.get(key),
      entries: (range) => store.entries(range),
      write: (batch) => store.write(batch),
      snapshot: () => store.snapshot(),
      close: () => Promise.resolve(),
      compact: async (start, end) => {
        if (engineState.compactionFails) throw new StoreFailedError("no space left");
        engineState.compactions++;
        await store.compact(start, end);
      },
    };
    const engine = new ReopenableStore(() => Promise.resolve(kept));
    const fs = nodeFileSystem;
    const { root } = await makeVault({
      fs,
      directory,
      openEngine: () => Promise.resolve(kept),
      wayIn: wayInOf(cheapPassphrase(), "unlock"),
      label: "test",
      withRecovery: false,
      nowMs: clock.nowMs,
      warn: () => undefined,
    });
    const unlocked = await UnlockedVault.begin(root, {
      fs,
      directory,
      engine,
      copies: await readHeaderCopies(fs, directory),
      clock: () => clock.nowMs,
      report: ({ message }) => void notices.push(message),
      openDatabase: () => Promise.reject(new Error("no root change here")),
      beforeCommit: () => Promise.resolve(),
    });
    begun.push(unlocked);
    const { keystore } = unlocked;
    const kms = new Kms({
      keystore: () => keystore,
      ready: () => unlocked.database.ready(),
      mayWrite: true,
      clock: () => clock.nowMs,
    });
    return Object.assign(engineState, { kms, keystore, clock, notices });
  };
}
