/**
 * backup, restoreVault and acceptRollback on a simulated disk, killed and without power at every step: the file or
 * the vault is there whole or not at all, and an older state is accepted or refused as before.
 */
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { isCofferError } from "../src/errors.ts";
import { recovery } from "../src/index.ts";
import { restoreVaultIn } from "../src/restore-vault.ts";
import { openVaultIn, type Vault } from "../src/vault.ts";
import { isSoak, report, TEST_TIMEOUT_MS } from "./field/scale.ts";
import { expectTyped, settled, tryAll } from "./storage/fault-trials.ts";
import { HOME, SimulatedDisk, type SyncFilter } from "./storage/simulated-disk.ts";
import {
  badCrashes,
  contentsOf as keysOf,
  crashes,
  create,
  History,
  inspect as inspectWith,
  Inspector,
  open,
  type Outcome,
  VAULT,
} from "./storage/simulated-vault.ts";
import { LARGE_BYTES, treeOf } from "./store/simulated-store.ts";
import { bytesOf } from "./store/store-ground.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

const BACKUP = `${HOME}/vault.coa`;

interface Sample {
  readonly code: string;
  /** A disk with the vault, closed, as it was when the backup was made. */
  readonly disk: SimulatedDisk;
  readonly backup: Uint8Array;
  readonly contents: string;
}

/** Keys, aliases, ways in and all stored files. */
async function contentsOf(disk: SimulatedDisk, vault: Vault): Promise<string> {
  return `${await keysOf(disk, vault)}\n${await treeOf(disk, vault)}`;
}

function inspect(disk: SimulatedDisk, code?: string): Promise<Outcome> {
  return inspectWith(disk, code, contentsOf);
}

/** A vault of two keys, with files in the index and in objects, and its backup. */
async function sample(): Promise<Sample> {
  const disk = SimulatedDisk.empty();
  const { vault, code } = await create(disk);
  await vault.kms.createKey({ alias: "alias/first", description: "first" });
  await vault.store.write("a/small", bytesOf(300));
  await vault.store.write("a/large", bytesOf(LARGE_BYTES, 2), { metadata: { kind: "large" } });
  await vault.store.write("b", bytesOf(70_000, 3));
  const contents = await contentsOf(disk, vault);
  await vault.close();
  const made = disk.killedAfter(disk.steps);
  const again = await open(made, code);
  await again.backup(BACKUP);
  await again.close();
  return { disk, code, backup: made.bytes(BACKUP) as Uint8Array, contents };
}

/** A durable file on the disk. */
async function put(disk: SimulatedDisk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.fs.open(path, "create");
  await file.write(bytes, 0);
  await file.sync();
  await file.close();
  await disk.fs.syncDirectory(HOME);
}

async function restore(disk: SimulatedDisk, code: string): Promise<void> {
  await restoreVaultIn(disk.environment, BACKUP, VAULT, { unlock: recovery(code) });
}

const copyOf = (disk: SimulatedDisk): SimulatedDisk => disk.killedAfter(disk.steps);

describe("restoreVault", () => {
  /** A disk with nothing but the backup. */
  async function backedUp({ backup }: Sample, ignored: SyncFilter = () => false): Promise<SimulatedDisk> {
    const disk = SimulatedDisk.empty();
    await put(disk, BACKUP, backup);
    const copy = copyOf(disk);
    copy.ignoredSyncs = ignored;
    return copy;
  }

  /** Restores, and records it. The vault that is there until then is none. */
  async function restored(
    base: Sample,
    disk: SimulatedDisk,
    before: ReadonlySet<string | undefined> = new Set([undefined]),
  ): Promise<History> {
    const history = new History(disk, before);
    const begun = disk.steps;
    await restore(disk, base.code);
    history.passages.push({ name: "restoreVault", begun, ended: disk.steps, contents: base.contents });
    return history;
  }

  test("cut at any step leaves no vault, and can be called again, or the whole one; the backup stays [F-167]", async () => {
    const base = await sample();
    const history = await restored(base, await backedUp(base));
    const inspector = new Inspector(base.code, inspect);
    expect(await badCrashes(history, inspector)).toEqual([]);
    expect(inspector.asked).toBeGreaterThan(200);
    let again = 0;
    const seen = new Set<string>();
    for (const { steps, kind, disk } of crashes(history.disk, 0, history.disk.steps)) {
      const name = `step ${steps}, ${kind}`;
      const before = seen.size;
      if (seen.add(disk.fingerprint()).size === before) continue;
      expect(Buffer.compare(disk.bytes(BACKUP) ?? new Uint8Array(0), base.backup), name).toBe(0);
      if ("contents" in (await inspector.inspect(copyOf(disk)))) continue;
      if (!isSoak && seen.size % 10 !== 0) continue;
      const next = await restored(base, disk);
      // What the dead one has left beside it is swept.
      expect(next.disk.names(HOME), name).toEqual(["vault", "vault.coa"]);
      // Killed a second time, it is no worse.
      const bad = await badCrashes(next, inspector, isSoak ? 0 : next.disk.steps - 3);
      expect(bad, name).toEqual([]);
      again++;
    }
    report("restore, cut at every step", { states: inspector.asked, restoredAgain: again });
    expect(again).toBeGreaterThan(5);
  });

  test.each([
    ["names in the new vault's folder", /vault\.new-[0-9a-f]+$/u],
    ["names in its database's folder", /vault\.new-[0-9a-f]+\/db-1$/u],
    ["content of its header", /header\.\d\.tmp$/u],
    ["its batches", /\.log$/u],
    ["a file of its store", /objects\/..\/[0-9a-f]+\.cof$/u],
    ["names of its files", /objects\/..$/u],
    ["its name", new RegExp(`^${HOME}$`, "u")],
  ])("without the flush of %s some cut leaves a vault that is lost or torn", async (_, path) => {
    const base = await sample();
    const inspector = new Inspector(base.code, inspect);
    const history = await restored(base, await backedUp(base, (_call, at) => path.test(at)));
    expect(await badCrashes(history, inspector)).not.toEqual([]);
  });

  test("that fails at any call says so and makes nothing, or makes the whole vault", async () => {
    const base = await sample();
    const clean = await backedUp(base);
    const tried = await tryAll(async (armed, { isPersistent }) => {
      const disk = copyOf(clean);
      const disarm = armed(disk);
      const outcome = await settled(restore(disk, base.code));
      disarm();
      expectTyped(outcome);
      const found = await inspect(copyOf(disk), base.code);
      if ("value" in outcome) return expect(found).toEqual({ contents: base.contents });
      // Where nothing works any more, a vault that is made already cannot be taken back.
      if ("contents" in found && isPersistent) return;
      expect(found).toMatchObject({ refused: "COFFER_VAULT_NOT_FOUND" });
      await restore(disk, base.code);
      expect(await inspect(copyOf(disk), base.code)).toEqual({ contents: base.contents });
    }, 12);
    report("restore, every call failing", { faults: tried });
    expect(tried).toBeGreaterThan(12);
  });
});

describe("backup", () => {
  /** What is at the backup's place: nothing, what was there, or a backup that is whole. */
  async function foundAt(disk: SimulatedDisk, { code, contents }: Sample): Promise<string> {
    const bytes = disk.bytes(BACKUP);
    if (bytes === undefined) return "nothing";
    if (Buffer.from(bytes).toString() === "old") return "old";
    const other = SimulatedDisk.empty();
    await put(other, BACKUP, bytes);
    await restore(other, code);
    return (await contentsOf(other, await open(other, code))) === contents ? "whole" : "another";
  }

  test.each([
    ["nothing", false],
    ["old", true],
  ])("over %s, cut at any step, leaves that or the whole file [F-166]", async (there, overwrite) => {
    const base = await sample();
    const disk = copyOf(base.disk);
    if (overwrite) await put(disk, BACKUP, Buffer.from("old"));
    const vault = await open(disk, base.code);
    const begun = disk.steps;
    await vault.backup(BACKUP, { overwrite });
    const seen = new Map<string, Promise<string>>();
    const bad: string[] = [];
    for (const { steps, kind, disk: cut } of crashes(disk, begun, disk.steps)) {
      const key = Buffer.from(cut.bytes(BACKUP) ?? []).toString("base64");
      const found = seen.get(key) ?? foundAt(cut, base);
      seen.set(key, found);
      const allowed = steps === disk.steps ? ["whole"] : [there, "whole"];
      if (!allowed.includes(await found)) bad.push(`step ${steps - begun}, ${kind}: ${await found}`);
    }
    expect(bad).toEqual([]);
    expect(disk.steps - begun).toBeGreaterThan(5);
  });

  test("that fails at any call leaves what was there, and the vault goes on", async () => {
    const base = await sample();
    const clean = copyOf(base.disk);
    await put(clean, BACKUP, Buffer.from("old"));
    const tried = await tryAll(async (armed) => {
      const disk = copyOf(clean);
      const vault = await open(disk, base.code);
      const disarm = armed(disk);
      const outcome = await settled(vault.backup(BACKUP, { overwrite: true }));
      disarm();
      expectTyped(outcome);
      const found = await foundAt(disk, base);
      if ("value" in outcome) expect(found).toBe("whole");
      else expect(["old", "whole"]).toContain(found);
      await vault.kms.createKey({ alias: "alias/after" });
      expect(disk.names(HOME).filter((name) => !name.endsWith(".tmp"))).toEqual(["vault", "vault.coa"]);
    });
    report("backup, every call failing", { faults: tried });
    expect(tried).toBeGreaterThan(10);
  });
});

describe("acceptRollback", () => {
  const ANCHORED = ["header", "database", "anchor"] as const;
  type Reason = (typeof ANCHORED)[number];

  interface Older {
    /** Holds the older state of what the reason names. */
    readonly disk: SimulatedDisk;
    readonly code: string;
    readonly anchor: string;
    readonly contents: string;
  }

  /** A vault of which something is older, and what it holds once that is accepted. */
  async function older(reason: Reason): Promise<Older> {
    const { disk, code, contents: before } = await sample();
    const newer = copyOf(disk);
    const vault = await open(newer, code);
    await vault.kms.createKey({ alias: "alias/second" });
    await vault.kms.createKey({ alias: "alias/third" });
    const anchor = await vault.anchor();
    const after = await contentsOf(newer, vault);
    await vault.close();
    // What is not older is as it was in the end.
    const mixed = copyOf(reason === "header" ? newer : disk);
    const headers = reason === "header" ? disk : newer;
    if (reason !== "anchor") {
      for (const name of ["header.0", "header.1"].map((copy) => join(VAULT, copy))) {
        mixed.put(name, headers.bytes(name));
        const file = await mixed.fs.open(name, "read");
        await file.sync();
        await file.close();
      }
      await mixed.fs.syncDirectory(VAULT);
    }
    return { disk: copyOf(mixed), code, anchor, contents: reason === "header" ? after : before };
  }

  function accept(disk: SimulatedDisk, { code, anchor }: Older): Promise<Vault> {
    const unlock = recovery(code);
    const clock = (): number => 1_800_000_000_000;
    return openVaultIn(disk.environment, VAULT, { unlock, clock, anchor, acceptRollback: true });
  }

  /** What an open with the anchor comes to: the reason of its refusal, or the contents. */
  async function found(disk: SimulatedDisk, { code, anchor }: Older): Promise<string> {
    try {
      const vault = await openVaultIn(disk.environment, VAULT, { unlock: recovery(code), anchor });
      return await contentsOf(disk, vault);
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return error.code === "COFFER_ROLLED_BACK" ? String(error.reason) : error.code;
    }
  }

  /** Accepted again, it holds what it should, and is newer than its anchor from then on. */
  async function expectAcceptable(disk: SimulatedDisk, base: Older, name: string): Promise<void> {
    const vault = await accept(disk, base);
    expect(await contentsOf(disk, vault), name).toBe(base.contents);
    await vault.kms.createKey({ alias: "alias/after" });
    await vault.close();
    expect(await found(disk, base), name).toContain("alias/after");
  }

  test.each(ANCHORED)(
    "of an older %s, cut at any step, is done or is not, and can be called again [F-154]",
    async (reason) => {
      const base = await older(reason);
      expect(await found(copyOf(base.disk), base)).toBe(reason);
      const disk = copyOf(base.disk);
      const begun = disk.steps;
      const vault = await accept(disk, base);
      expect(await contentsOf(disk, vault)).toBe(base.contents);
      const seen = new Map<string, Promise<string>>();
      const bad: string[] = [];
      const outcomes = new Set<string>();
      let last = begun;
      for (const { steps, kind, disk: cut } of crashes(disk, begun, disk.steps)) {
        const key = cut.fingerprint();
        const isNew = !seen.has(key);
        const outcome = seen.get(key) ?? found(copyOf(cut), base);
        seen.set(key, outcome);
        const what = await outcome;
        outcomes.add(what === base.contents ? "done" : what);
        const isDone = what === base.contents;
        // Half of it, with one of the older parts renewed, is the anchor's to refuse.
        const allowed = steps === disk.steps ? isDone : isDone || what === reason || what === "anchor";
        if (!allowed) bad.push(`step ${steps - begun}, ${kind}: ${what}`);
        if (isNew && (isSoak || steps - last >= 12)) {
          last = steps;
          await expectAcceptable(cut, base, `step ${steps - begun}, ${kind}`);
        }
      }
      expect(bad).toEqual([]);
      expect([...outcomes]).toEqual(expect.arrayContaining(["done", reason]));
      expect(seen.size).toBeGreaterThan(20);
    },
  );

  test.each(ANCHORED)(
    "of an older %s that fails at any call says so, and can be called again",
    async (reason) => {
      const base = await older(reason);
      const tried = await tryAll(async (armed) => {
        const disk = copyOf(base.disk);
        const disarm = armed(disk);
        const outcome = await settled(accept(disk, base));
        disarm();
        expectTyped(outcome);
        if ("value" in outcome) {
          expect(await contentsOf(disk, outcome.value)).toBe(base.contents);
          await outcome.value.close();
        }
        const what = await found(copyOf(disk), base);
        if ("error" in outcome) expect([base.contents, reason, "anchor"]).toContain(what);
        await expectAcceptable(disk, base, "again");
      }, 40);
      report(`accepting an older ${reason}, every call failing`, { faults: tried });
      expect(tried).toBeGreaterThan(5);
    },
  );
});
