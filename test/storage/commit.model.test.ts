/**
 * The model of docs/format.md#commit, on the real code over a simulated disk: two rules, of which each names only
 * what was durable before, so that no crash makes a false alarm and no single older part is taken for the truth.
 */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test, vi } from "vitest";
import type { Vault } from "../../src/vault.ts";
import { randomOf } from "../field/random.mjs";
import { report, sampleOf, SEED, TEST_TIMEOUT_MS } from "../field/scale.ts";
import { HOME, SimulatedDisk } from "./simulated-disk.ts";
import {
  badCrashes,
  crashes,
  create,
  History,
  inspect,
  Inspector,
  open,
  secret,
  VAULT,
} from "./simulated-vault.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

/** One kind of change. What an unlocked vault can do that is committed belongs into this list. */
type Change = (vault: Vault, round: number) => Promise<unknown>;

const CHANGES: Readonly<Record<string, Change>> = {
  "new key": (vault, round) =>
    vault.kms.createKey({
      alias: `alias/${round}`,
      description: `made in round ${round}`,
      tags: [{ tagKey: "round", tagValue: String(round) }],
    }),
  "group of changes": async (vault, round) => {
    const { keyMetadata } = await vault.kms.describeKey();
    await Promise.all([
      vault.kms.createKey({ description: `first of round ${round}` }),
      vault.kms.createKey({ alias: `alias/second-of-${round}` }),
      vault.kms.createAlias({ aliasName: `alias/third-of-${round}`, targetKeyId: keyMetadata.keyId }),
    ]);
  },
  "alias pointed elsewhere": async (vault) => {
    const { keys } = await vault.kms.listKeys();
    const { aliases } = await vault.kms.listAliases();
    const [alias] = aliases;
    const target = keys.find(({ keyId }) => keyId !== alias?.targetKeyId);
    if (alias === undefined || target === undefined) throw new Error("expected an alias and another key");
    await vault.kms.updateAlias({ aliasName: alias.aliasName, targetKeyId: target.keyId });
  },
  "alias deleted": async (vault) => {
    const { aliases } = await vault.kms.listAliases();
    const alias = aliases.find(({ aliasName }) => aliasName !== "alias/default");
    if (alias === undefined) throw new Error("expected an alias");
    await vault.kms.deleteAlias({ aliasName: alias.aliasName });
  },
  "slot added": (vault, round) => vault.slots.add(secret(`of round ${round}`), { label: `made in ${round}` }),
  "slot labelled": async (vault, round) => {
    const [slot] = await vault.slots.list();
    await vault.slots.setLabel(slot?.id ?? "", `labelled in ${round}`);
  },
  "slot replaced": async (vault) => {
    const [slot] = await vault.slots.list();
    await vault.slots.replace(slot?.id ?? "", secret());
  },
  "slot removed": async (vault) => {
    await vault.slots.remove((await vault.slots.list()).at(-1)?.id ?? "");
  },
  "root changed": (vault) =>
    vault.rotateRootKey({ slots: [{ unlocker: secret(), label: "of the new root" }], recoveryCode: false }),
};

/** A vault with every kind of change made once, in two sessions, and everything that is between sessions. */
async function longHistory(names: readonly string[] = Object.keys(CHANGES)): Promise<History> {
  const history = new History(SimulatedDisk.empty());
  const { disk } = history;
  let vault = await history.pass("createVault", async () => (await create(disk)).vault);
  for (const [round, name] of names.entries()) {
    await history.pass(name, async () => (await CHANGES[name]?.(vault, round), vault));
    if (round !== 1) continue;
    await history.pass("lock", () => vault.lock());
    await history.pass("unlock", async () => (await vault.unlock(secret()), vault));
    await history.pass("close", () => vault.close());
    vault = await history.pass("openVault", () => open(disk));
  }
  await history.pass("close", () => vault.close());
  return history;
}

/** Of what a first crash leaves, so many are followed to a second one in `npm test`. */
const SECOND_CRASHES = 8;

/** Returns a filter that passes each disk once, by what is on it now and after a power cut. */
function filterOfNew(): (disk: SimulatedDisk) => boolean {
  const seen = new Set<string>();
  return (disk) => {
    const before = seen.size;
    return seen.add(disk.fingerprint({ withDurable: true })).size > before;
  };
}

describe("a crash at any step", () => {
  test("leaves a vault that opens with all that was acknowledged, and at most the change under way, whole [F-110]", async () => {
    const history = await longHistory();
    const inspector = new Inspector();
    expect(await badCrashes(history, inspector)).toEqual([]);
    expect(inspector.asked).toBeGreaterThan(500);
  });

  // All changes of records take the same steps, and so do all of slots.
  test.each(["new key", "slot labelled", "root changed"])(
    "of a change, and then at any step of the next session, does so too: %s",
    async (change) => {
      const first = new History(SimulatedDisk.empty());
      const { vault } = await create(first.disk);
      await first.pass("begin", async () => vault);
      const begun = first.disk.steps;
      await first.pass("change", async () => (await CHANGES[change]?.(vault, 1), vault));
      const inspector = new Inspector();
      const bad: string[] = [];
      const isLeft = filterOfNew();
      const left = [...crashes(first.disk, begun, first.disk.steps)].filter(({ disk }) => isLeft(disk));
      const isReopened = filterOfNew();
      const chosen = sampleOf(left, SECOND_CRASHES, randomOf(SEED));
      for (const { steps, kind, disk } of chosen) {
        const found: string[] = [];
        const next = new History(disk, first.possibleAfter(steps));
        const reopened = await next.pass("openVault", () => open(disk));
        const opened = disk.steps;
        found.push(...(await badCrashes(next, inspector)));
        // Opening tidies up, and makes most of what a crash leaves the same.
        if (isReopened(disk.killedAfter(opened))) {
          const ending = new History(disk.killedAfter(opened), new Set([next.passages[0]?.contents]));
          await next.pass("change", async () => (await CHANGES["new key"]?.(reopened, 2), reopened));
          found.push(...(await badCrashes(next, inspector, opened)));
          const again = await ending.pass("openVault", () => open(ending.disk));
          await ending.pass("close", () => again.close());
          found.push(...(await badCrashes(ending, inspector)));
        }
        bad.push(...found.map((line) => `${first.nameAt(steps)}, ${kind}; then ${line}`));
      }
      const { asked, opened } = inspector;
      report(`two crashes: ${change}`, {
        left: left.length,
        chosen: chosen.length,
        asked,
        opened,
        bad: bad.length,
      });
      expect(bad).toEqual([]);
      expect(left.length).toBeGreaterThan(15);
      expect(asked).toBeGreaterThan(chosen.length * 100);
    },
  );
});

/** A part of the vault as it was at some moment: the bytes of a header copy, or the files of the database. */
type Part = ReadonlyMap<string, Uint8Array> | Uint8Array | undefined;

interface Moment {
  readonly contents: string;
  readonly parts: readonly [header0: Part, header1: Part, database: ReadonlyMap<string, Uint8Array>];
}

/** The parts after each passage of a history. */
function momentsOf({ disk, passages }: History): Moment[] {
  return passages.map(({ ended, contents }) => {
    const then = disk.killedAfter(ended);
    const database = new Map<string, Uint8Array>();
    for (const folder of then.names(VAULT).filter((name) => /^db-\d+$/u.test(name))) {
      for (const name of then.names(join(VAULT, folder))) {
        const path = join(VAULT, folder, name);
        database.set(path, then.bytes(path) ?? new Uint8Array(0));
      }
    }
    const header = (copy: number): Part => then.bytes(join(VAULT, `header.${copy}`));
    return { contents, parts: [header(0), header(1), database] };
  });
}

/** A disk with these parts, of which the database says when. */
function mix(
  history: History,
  moments: readonly Moment[],
  [first, second, database]: readonly Part[],
): SimulatedDisk {
  const then = moments.findIndex(({ parts }) => isSamePart(parts[2], database));
  const disk = history.disk.killedAfter(history.passages[then]?.ended ?? 0);
  disk.put(join(VAULT, "header.0"), first as Uint8Array | undefined);
  disk.put(join(VAULT, "header.1"), second as Uint8Array | undefined);
  return disk;
}

function isSamePart(a: Part, b: Part): boolean {
  return isDeepStrictEqual(a, b);
}

describe("older parts put back", () => {
  test("in every mix with newer ones are refused, and only all of them together pass for the vault", async () => {
    const history = await longHistory([
      "new key",
      "slot labelled",
      "alias deleted",
      "root changed",
      "slot labelled",
    ]);
    const moments = momentsOf(history);
    const headers: Part[] = [undefined];
    const databases: Part[] = [];
    for (const { parts } of moments) {
      const [first, , database] = parts;
      if (!headers.some((part) => isSamePart(part, first))) headers.push(first);
      if (!databases.some((part) => isSamePart(part, database))) databases.push(database);
    }
    let refused = 0;
    for (const first of headers) {
      for (const second of headers) {
        for (const database of databases) {
          const mixed: readonly Part[] = [first, second, database];
          const outcome = await inspect(mix(history, moments, mixed));
          const name = [headers.indexOf(first), headers.indexOf(second), databases.indexOf(database)].join(
            " ",
          );
          if ("refused" in outcome) {
            refused++;
            expect(outcome.refused, name).toMatch(/^COFFER_(?:DAMAGED|ROLLED_BACK (?:database|header))$/u);
          }
          for (const [index, now] of moments.entries()) {
            // Only what there was by then can be put back then.
            const past = moments.slice(0, index + 1);
            const isPast = mixed.every(
              (part, place) => part === undefined || past.some(({ parts }) => isSamePart(parts[place], part)),
            );
            if (!isPast) continue;
            const current = mixed.filter((part, place) => isSamePart(part, now.parts[place]));
            if (current.length === mixed.length) expect(outcome, name).toEqual({ contents: now.contents });
            else if ("contents" in outcome && outcome.contents !== now.contents) {
              expect(current, `${name} passes for the vault after ${index}`).toEqual([]);
            }
          }
        }
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

describe("createVault, cut at any step", () => {
  test("leaves no vault, and can be called again, or leaves the whole vault", async () => {
    const history = new History(SimulatedDisk.empty());
    await history.pass("createVault", async () => (await create(history.disk)).vault);
    const inspector = new Inspector();
    expect(await badCrashes(history, inspector)).toEqual([]);
    let created = 0;
    for (const { steps, kind, disk } of crashes(history.disk, 0, history.disk.steps)) {
      const outcome = await inspector.inspect(disk.killedAfter(0));
      const name = `step ${steps}, ${kind}`;
      if ("contents" in outcome) continue;
      const { vault } = await create(disk);
      await vault.kms.createKey({ alias: "alias/first" });
      created++;
      // What the dead one has left beside it is swept: its lock is stale, or it never had one and is long past.
      expect(disk.names(HOME), name).toEqual(["vault"]);
    }
    expect(created).toBeGreaterThan(50);
  });
});
