import { expect, test } from "vitest";
import { CommitQueue, type QueuedChange } from "../../src/storage/commit-queue.ts";
import { createVault } from "../../src/index.ts";
import { parseHeader } from "../../src/formats/header.ts";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cheapPassphrase } from "../vault-files.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

test("many changes at once go into few batches, each change whole in one [F-111]", async () => {
  const directory = join(await scratch(), "v");
  const { vault } = await createVault(directory, { unlock: cheapPassphrase(), recoveryCode: false });
  try {
    const sequence = async (): Promise<number> =>
      parseHeader(await readFile(join(directory, "header.0"))).sequence;
    const before = await sequence();
    const total = 600;
    const made = Array.from({ length: total }, (_, n) => vault.kms.createKey({ alias: `alias/key-${n}` }));
    const ids = new Set((await Promise.all(made)).map(({ keyMetadata }) => keyMetadata.keyId));
    expect(ids.size).toBe(total);
    // 600 changes of at most 256 a batch, and perhaps one batch for the first of them alone.
    expect((await sequence()) - before).toBeGreaterThanOrEqual(3);
    expect((await sequence()) - before).toBeLessThanOrEqual(6);
    for (const n of [0, 255, 256, 599]) {
      const { keyMetadata } = await vault.kms.describeKey({ keyId: `alias/key-${n}` });
      expect(ids.has(keyMetadata.keyId)).toBe(true);
    }
  } finally {
    await vault.close();
  }
});

/** A change that notes in `log` what happens to it. */
function noted(name: string, log: string[]): QueuedChange<string[]> {
  return {
    run: (group) => void group.push(name),
    settle: (outcome) => void log.push(`${name} ${outcome.committed ? "done" : String(outcome.reason)}`),
  };
}

test("a group that fails fails whole, and the next one starts afresh", async () => {
  const log: string[] = [];
  const groups: string[][] = [];
  const queue = new CommitQueue<string[]>(async (next) => {
    const group: string[] = [];
    for (let change = next(); change !== undefined; change = next()) change.run(group);
    groups.push(group);
    await Promise.resolve();
    if (groups.length === 1) throw new Error("disk");
  });
  queue.add(noted("a", log));
  queue.add(noted("b", log));
  while (log.length < 2) await Promise.resolve();
  queue.add(noted("c", log));
  while (log.length < 3) await Promise.resolve();
  expect(groups).toEqual([["a", "b"], ["c"]]);
  expect(log).toEqual(["a Error: disk", "b Error: disk", "c done"]);
});

test("a commit that fails before it takes a change fails all that wait, and does not loop", async () => {
  const log: string[] = [];
  const queue = new CommitQueue<string[]>(async () => {
    throw new Error("closed");
  });
  queue.add(noted("a", log));
  queue.add(noted("b", log));
  while (log.length < 2) await Promise.resolve();
  expect(log).toEqual(["a Error: closed", "b Error: closed"]);
});

test("once stopped, everything that waits or comes is refused with the reason", async () => {
  const log: string[] = [];
  const queue = new CommitQueue<string[]>(async (next) => void next());
  queue.add(noted("a", log));
  await queue.stop(new Error("locked"));
  queue.add(noted("b", log));
  expect(log).toEqual(["a Error: locked", "b Error: locked"]);
});
