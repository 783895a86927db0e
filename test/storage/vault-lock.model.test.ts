import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  createFileSystem,
  type FileSystemCalls,
  nodeCalls,
  nodeFileSystem,
} from "../../src/storage/file-system.ts";
import { encodeLockRecord } from "../../src/storage/lock-record.ts";
import type { ProcessProbe } from "../../src/storage/process-probe.ts";
import { acquireVaultLock } from "../../src/storage/vault-lock.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

/** Runs something before each call that reaches the disk. */
function watched(before: () => Promise<void>): FileSystemCalls {
  return {
    ...nodeCalls,
    open: async (...args) => before().then(() => nodeCalls.open(...args)),
    rename: async (...args) => before().then(() => nodeCalls.rename(...args)),
    unlink: async (...args) => before().then(() => nodeCalls.unlink(...args)),
    link: async (...args) => before().then(() => nodeCalls.link(...args)),
    readDirectory: async (...args) => before().then(() => nodeCalls.readDirectory(...args)),
    lstat: async (...args) => before().then(() => nodeCalls.lstat(...args)),
  };
}

/** Processes that live or not as the test says; each starts once. */
function probeFor(pid: number, living: ReadonlySet<number>): ProcessProbe {
  return {
    pid,
    host: "here",
    bootedAtMs: 0,
    startOf: async (asked) => (living.has(asked) ? `start/${asked}`.replaceAll(/[a-z]/gu, "a") : undefined),
  };
}

const stale = encodeLockRecord({
  pid: 99,
  host: "here",
  started: "aa/99",
  instance: "ab".repeat(16),
  since: 1,
});

test("for every interleaving of takers, stale lock or not, one wins and the others are told who", async () => {
  const delays = fc.array(fc.nat(4), { minLength: 30, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(delays, { minLength: 2, maxLength: 5 }),
      async (isStale, plans) => {
        const directory = await scratch();
        if (isStale) await writeFile(join(directory, "vault.lock"), stale);
        const living = new Set(plans.map((_, index) => index + 1));
        const takers = plans.map(async (plan, index) => {
          let call = 0;
          const wait = async (): Promise<void> => {
            const turns = plan[call++ % plan.length] ?? 0;
            for (let i = 0; i < turns; i++) await new Promise(setImmediate);
          };
          const fs = createFileSystem(watched(wait));
          return acquireVaultLock(fs, directory, { probe: probeFor(index + 1, living) });
        });
        const results = await Promise.allSettled(takers);
        const winners = results.filter((result) => result.status === "fulfilled");
        expect(winners).toHaveLength(1);
        expect(await winners[0]?.value.isHeld()).toBe(true);
        expect(winners[0]?.value.wasUnclean).toBe(isStale);
        for (const result of results) {
          if (result.status === "rejected")
            expect(result.reason).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
        }
        expect(await readdir(directory)).toEqual(["vault.lock"]);
      },
    ),
    { numRuns: 60 },
  );
});

test("wherever a taker is killed, and its heir too, the next one gets the lock and leaves nothing else", async () => {
  for (const isStale of [false, true]) {
    for (let died = 1, hasFinished = false; !hasFinished; died++) {
      for (const heirDied of [1, 3, 5, 8, Number.POSITIVE_INFINITY]) {
        const directory = await scratch();
        if (isStale) await writeFile(join(directory, "vault.lock"), stale);
        // A killed process does nothing from its n-th call on: neither its work nor its tidying up.
        const killedAt = async (pid: number, fatal: number): Promise<boolean> => {
          let calls = 0;
          const fs = createFileSystem(
            watched(async () => {
              if (++calls >= fatal) throw Object.assign(new Error("killed"), { code: "EIO" });
            }),
          );
          const taking = acquireVaultLock(fs, directory, {
            probe: probeFor(pid, new Set([pid])),
            sleep: async () => undefined,
          });
          return taking.then(
            () => true,
            () => false,
          );
        };
        hasFinished = await killedAt(1, died);
        await killedAt(2, heirDied);
        const lock = await acquireVaultLock(nodeFileSystem, directory, {
          probe: probeFor(3, new Set([3])),
          sleep: async () => undefined,
        });
        expect(await lock.isHeld()).toBe(true);
        expect(await readdir(directory)).toEqual(["vault.lock"]);
      }
    }
  }
});
