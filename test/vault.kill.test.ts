// Children run the built package: `npm run build` comes first.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { isCofferError } from "../src/errors.ts";
import type { VaultNotice } from "../src/vault-events.ts";
import { createVault, openVault, restoreVault, type Vault } from "../src/vault.ts";
import {
  type Blob,
  judgeBlobs,
  judgeState,
  observe,
  type Reading,
  readLog,
  takeDue,
  type VaultModel,
  withHidden,
} from "./field/kill-model.ts";
import { type Heavy, judgeBackup, readHeavy } from "./field/kill-backup.ts";
import { addedSlots, judgeSlots, readSlots, type SlotModel } from "./field/kill-slots.ts";
import { randomOf } from "./field/random.mjs";
import { isSoak, report, SEED, TEST_TIMEOUT_MS, times } from "./field/scale.ts";
import { passphraseWith } from "../src/keystore/slots/passphrase.ts";
import { START_MS } from "./kms/kms-vault.ts";
import type { Unlocker } from "../src/keystore/slots/way-in.ts";
import { scratchDirectories } from "./storage/scratch.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

const DAY_MS = 86_400_000;
const ACTORS = ["a0", "a1", "a2"];
/** A vault is left for a new one after so many kills; automatic rotation, due after 365 days, never comes. */
const ROUNDS_PER_VAULT = 25;
const DAYS_PER_ROUND = 2;
const LANES = 2;

const scratch = scratchDirectories();
const program = fileURLToPath(new URL("field/kill-child.mjs", import.meta.url));
const restoring = fileURLToPath(new URL("field/restore-child.mjs", import.meta.url));

interface Task {
  readonly directory: string;
  readonly nowMs: number;
  readonly seed: number;
  readonly before: VaultModel;
  readonly slots: SlotModel;
  readonly isNew: boolean;
}

/** When a child is killed: so long after it was told to begin, or after its vault was open. */
interface Moment {
  readonly after: "begin" | "opened";
  readonly ms: number;
}

/** Lets a child change the vault until it is killed. @returns what its log says. */
async function killedRound(
  task: Task,
  moment: Moment,
): Promise<{ reading: Reading; slots: readonly SlotModel[]; heavy: Heavy }> {
  const { directory, nowMs, seed, before, isNew } = task;
  const logPath = `${directory}.log`;
  writeFileSync(logPath, "");
  const child: ChildProcess = fork(program, { stdio: ["ignore", "ignore", "pipe", "ipc"], execArgv: [] });
  let complaint = "";
  child.stderr?.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
  const gone = once(child, "exit");
  await Promise.race([once(child, "message"), gone]);
  const opened = new Promise<void>((resolve) => {
    child.on("message", (message: "opened" | { failed: string }) => {
      if (message !== "opened") complaint += message.failed;
      resolve();
    });
  });
  const actors = Object.fromEntries(
    ACTORS.map((actor) => {
      const { keys = {}, aliases = {} } = before[actor] ?? {};
      return [actor, { keys: Object.keys(keys), aliases: Object.keys(aliases) }];
    }),
  );
  if (child.connected)
    child.send({ directory, logPath, nowMs, seed, actors, slots: [...task.slots.keys()], isNew });
  if (moment.after === "opened") await Promise.race([opened, gone]);
  await new Promise((resolve) => setTimeout(resolve, moment.ms));
  child.kill("SIGKILL");
  await gone;
  if (complaint !== "") throw new Error(`seed ${SEED}: the child said: ${complaint}`);
  const log = readFileSync(logPath, "utf8");
  return {
    reading: readLog(log, before, nowMs),
    slots: readSlots(log, task.slots),
    heavy: readHeavy(log),
  };
}

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const unlocker = (): Unlocker => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });

async function openClean(
  directory: string,
  nowMs: number,
): Promise<{ vault: Vault; notices: VaultNotice[] }> {
  const notices: VaultNotice[] = [];
  const onWarning = (notice: VaultNotice): void => void notices.push(notice);
  const vault = await openVault(directory, {
    unlock: unlocker(),
    clock: () => nowMs,
    onWarning,
  });
  vault.on("damage", onWarning).on("warning", onWarning);
  return { vault, notices };
}

interface Tally {
  kills: number;
  acknowledged: number;
  onTheWay: number;
  whileOpening: number;
  deletedKeys: number;
  rootChanges: number;
  /** Cut short by the kill. */
  rootChangesCut: number;
  backups: number;
  backupsCut: number;
  readonly refusals: Record<string, number>;
}

/** Kills again and again on one path. @returns what was wrong first. */
async function lane(number: number, kills: number, tally: Tally): Promise<string | undefined> {
  const folder = await scratch();
  const directory = join(folder, "vault");
  const random = randomOf(SEED * 1000 + number);
  let model: VaultModel = {};
  let slots: SlotModel = new Map();
  let blobs: Blob[] = [];
  let hasBackup = false;
  const gone = new Set<string>();
  let nowMs = START_MS;
  for (let round = 0; round < kills; round++) {
    const isNew = round % ROUNDS_PER_VAULT === 0;
    if (isNew) {
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
      [model, slots, blobs, nowMs] = [{}, new Map(), [], START_MS];
      gone.clear();
      hasBackup = false;
    }
    nowMs += DAYS_PER_ROUND * DAY_MS;
    const seed = Math.floor(random() * 2 ** 31);
    const moment: Moment =
      !isNew && random() < 0.2
        ? { after: "begin", ms: random() * 60 }
        : { after: "opened", ms: random() * (random() < 0.5 ? 40 : 200) };
    // What falls due does so in the moment in which the child, or else the judge, opens the vault.
    for (const keyId of takeDue(model, nowMs)) gone.add(keyId);
    const task = { directory, nowMs, seed, before: model, slots, isNew };
    const { reading, slots: possible, heavy } = await killedRound(task, moment);
    hasBackup ||= heavy.backups > 0;
    const { vault, notices } = await openClean(directory, nowMs);
    const found = await observe(vault);
    blobs = [...blobs, ...reading.blobs].slice(-40);
    const wrong =
      judgeState(reading, found, nowMs) ??
      (await judgeBlobs(vault, blobs, found, gone)) ??
      (await judgeSlots(vault, possible)) ??
      (heavy.backups > 0 || heavy.cutBackup
        ? await judgeBackup(`${directory}.coa`, hasBackup, unlocker())
        : undefined) ??
      [...reading.notices, ...notices].map(({ message }) => message)[0];
    slots = await addedSlots(vault);
    await vault.close();
    const names = readdirSync(directory);
    const left = names.filter((name) => !/^(?:header\.[01]|db-\d+|objects|incoming)$/u.test(name));
    const databases = names.filter((name) => name.startsWith("db-"));
    if (databases.length !== 1) left.push(...databases);
    if (wrong !== undefined || left.length > 0) {
      return `seed ${SEED}, lane ${number}, round ${round}: ${wrong ?? `left ${left.join(", ")}`}`;
    }
    tally.kills++;
    tally.acknowledged += reading.acknowledged;
    tally.onTheWay += reading.pending.length;
    if (!reading.hasOpened) tally.whileOpening++;
    tally.rootChanges += heavy.rootChanges;
    tally.backups += heavy.backups;
    if (heavy.cutRootChange) tally.rootChangesCut++;
    if (heavy.cutBackup) tally.backupsCut++;
    for (const refusal of reading.refused) tally.refusals[refusal] = (tally.refusals[refusal] ?? 0) + 1;
    model = withHidden(found, reading.model);
  }
  tally.deletedKeys += gone.size;
  return undefined;
}

test("no kill at any moment loses or tears an acknowledged change, and every open after it is clean", async () => {
  const kills = times(8, 5000);
  const tally: Tally = {
    kills: 0,
    acknowledged: 0,
    onTheWay: 0,
    whileOpening: 0,
    deletedKeys: 0,
    rootChanges: 0,
    rootChangesCut: 0,
    backups: 0,
    backupsCut: 0,
    refusals: {},
  };
  const wrong = await Promise.all(
    Array.from({ length: LANES }, (_, number) => lane(number, Math.ceil(kills / LANES), tally)),
  );
  report("kills", { ...tally });
  expect(wrong).toEqual(Array.from({ length: LANES }));
  expect(tally.acknowledged).toBeGreaterThan(tally.kills / 4);
  // In soak alone: a busy machine gets to few of either within a sample.
  if (isSoak) expect(Math.min(tally.rootChangesCut, tally.backupsCut)).toBeGreaterThan(0);
});

test("a kill while a vault is being made leaves a vault or none, and createVault works again", async () => {
  const random = randomOf(SEED);
  const rounds = times(3, 300);
  const tally = { kills: 0, none: 0, vaults: 0 };
  const folder = await scratch();
  for (let round = 0; round < rounds; round++) {
    const directory = join(folder, `vault-${round}`);
    const task = {
      directory,
      nowMs: START_MS,
      seed: SEED + round,
      before: {},
      slots: new Map(),
      isNew: true,
    };
    const { reading } = await killedRound(task, { after: "begin", ms: random() * 250 });
    tally.kills++;
    const opening = await openClean(directory, START_MS).catch((error: unknown) => error);
    if (opening instanceof Error) {
      expect(
        isCofferError(opening, "COFFER_VAULT_NOT_FOUND"),
        `seed ${SEED}, round ${round}: ${opening.message}`,
      ).toBe(true);
      expect(reading.hasOpened).toBe(false);
      tally.none++;
      const siblings = (): string[] =>
        readdirSync(folder).filter((name) => name.startsWith(`vault-${round}.new-`));
      // One that is not locked stays for a minute, as its maker may be alive: let that pass.
      for (const name of siblings()) utimesSync(join(folder, name), 0, 0);
      const again = await killedRound(task, { after: "opened", ms: 0 });
      expect(again.reading.hasOpened).toBe(true);
      expect(siblings()).toEqual([]);
    } else {
      const { vault, notices } = opening as { vault: Vault; notices: VaultNotice[] };
      const { keyMetadata } = await vault.kms.describeKey({ keyId: "alias/default" });
      expect(keyMetadata.keyState).toBe("Enabled");
      expect(notices).toEqual([]);
      await vault.close();
      tally.vaults++;
    }
  }
  report("kills while a vault is made", tally);
});

test("a kill while a backup is restored leaves the whole vault or none, and restoreVault works again", async () => {
  const random = randomOf(SEED);
  const rounds = times(2, 300);
  const tally = { kills: 0, none: 0, vaults: 0 };
  const folder = await scratch();
  const file = join(folder, "vault.coa");
  const { vault: original } = await createVault(join(folder, "original"), {
    unlock: unlocker(),
    clock: () => START_MS,
  });
  await original.kms.createKey({ alias: "alias/kept" });
  await original.backup(file);
  await original.close();
  for (let round = 0; round < rounds; round++) {
    const directory = join(folder, `restored-${round}`);
    const child = fork(restoring, { stdio: "ignore", execArgv: [] });
    const gone = once(child, "exit");
    await once(child, "message");
    const restored = once(child, "message").then(([message]) => message as unknown);
    child.send({ file, directory });
    const acknowledged = await Promise.race([
      restored,
      new Promise((resolve) => setTimeout(resolve, random() ** 2 * 200)),
    ]);
    child.kill("SIGKILL");
    await gone;
    tally.kills++;
    const where = `seed ${SEED}, round ${round}`;
    const siblings = (): string[] =>
      readdirSync(folder).filter((name) => name.startsWith(`restored-${round}.new-`));
    if (!existsSync(directory)) {
      expect(acknowledged, where).toBeUndefined();
      tally.none++;
      // One that is not locked stays for a minute, as its maker may be alive: let that pass.
      for (const name of siblings()) utimesSync(join(folder, name), 0, 0);
      await restoreVault(file, directory, { unlock: unlocker() });
    } else tally.vaults++;
    expect(siblings(), where).toEqual([]);
    const { vault, notices } = await openClean(directory, START_MS);
    expect((await vault.kms.describeKey({ keyId: "alias/kept" })).keyMetadata.keyState, where).toBe(
      "Enabled",
    );
    expect(notices, where).toEqual([]);
    await vault.close();
  }
  report("kills while a backup is restored", tally);
  expect(tally.none + tally.vaults).toBe(rounds);
});
