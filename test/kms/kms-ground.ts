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
import type { Store } from "../../src/storage/store.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { cheapPassphrase, type ManualClock, START_MS } from "./kms-vault.ts";

export interface Ground {
  readonly kms: Kms;
  readonly keystore: Keystore;
  readonly clock: ManualClock;
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
    // The maker closes the engine, which would empty it.
    const kept: Store = new Proxy(store, {
      get: (target, name) => {
        if (name === "close") return () => Promise.resolve();
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    });
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
      report: () => undefined,
      beforeCommit: () => Promise.resolve(),
    });
    begun.push(unlocked);
    const { keystore } = unlocked;
    const kms = new Kms({
      keystore: () => keystore,
      ready: () => unlocked.database.ready(),
      clock: () => clock.nowMs,
    });
    return { kms, keystore, clock };
  };
}
