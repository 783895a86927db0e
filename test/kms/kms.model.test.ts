/**
 * The KMS against a model of it: generated programs on real vaults, most of them over a store in memory and a tenth
 * over LevelDB. Calls at once must end as they would have in some order.
 */
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { isSoak, report, SEED, times } from "../field/scale.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import {
  type Call,
  close,
  flushUses,
  isDue,
  newWorld,
  type Outcome,
  perform,
  settle,
  SETTLED,
  unlock,
  type World,
} from "./kms-model.ts";
import {
  atOnce,
  type Draft,
  draftOf,
  passes,
  type Program,
  program,
  resolve,
  type Step,
  turns,
} from "./kms-programs.ts";
import { type Engine, Subject } from "./kms-subject.ts";
import { START_MS } from "./kms-vault.ts";

const RUNS = { memory: times(40, 90_000), level: times(4, 10_000) };
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const SOAK_TIMEOUT_MS = 36 * 3_600_000;

const scratch = scratchDirectories();
const tally = { programs: 0, calls: 0, refused: 0, batches: 0, orders: 0, sessions: 0, years: 0 };

afterAll(() => report("kms.model", { ...RUNS, ...tally }));

/** One program on one vault, and all worlds that it may be in. */
class Run {
  readonly #subject: Subject;
  #worlds: World[] = [newWorld(START_MS)];
  #nextKey = 1;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** Rejects when the vault does what the model does not. @returns notices that no program gives a reason for. */
  async perform(steps: Program): Promise<string[]> {
    tally.programs++;
    await this.#subject.begin();
    for (const step of steps) await this.#step(step);
    await this.#step({ step: "unlock" });
    await this.#inspect();
    await this.#step({ step: "reopen" });
    await this.#inspect();
    return this.#subject.notices
      .filter(({ type, message }) => type === "damage" || !message.startsWith("The clock is "))
      .map(({ message }) => message);
  }

  async #step(step: Step): Promise<void> {
    const subject = this.#subject;
    if (step.step === "calls") return this.#calls(step.calls);
    if (step.step === "clock") {
      tally.years += Math.abs(step.byMs) / (365 * DAY_MS);
      subject.clockMs += step.byMs;
      return;
    }
    tally.sessions++;
    if (step.step === "reopen") await subject.reopen();
    else await subject.unlock();
    for (const world of this.#worlds) {
      if (step.step === "reopen") close(world, subject.clockMs);
      unlock(world, subject.clockMs);
    }
  }

  async #calls(drafts: readonly Draft[]): Promise<void> {
    const { keys, blobs } = this.#subject;
    const delays: number[] = [];
    const calls: Call[] = [];
    for (const draft of drafts) {
      const call = resolve(draft, keys, blobs, -1);
      if (call === undefined) continue;
      calls.push(call);
      delays.push(drafts.length === 1 ? 0 : draft.delay);
    }
    if (calls.length === 0) return;
    const firstKey = this.#nextKey;
    this.#nextKey += calls.length;
    const outcomes = await Promise.all(
      calls.map(async (call, index) => {
        await turns(delays[index] ?? 0);
        return this.#subject.perform(call, firstKey + index);
      }),
    );
    tally.calls += calls.length;
    tally.refused += outcomes.filter((outcome) => "refused" in outcome).length;
    if (calls.length > 1) tally.batches++;
    const batch = new Batch(calls, outcomes.map(canonical), firstKey, this.#subject.clockMs);
    this.#worlds = batch.worldsAfter(this.#worlds);
    if (batch.hasBegunWriting) await this.#quiet();
    tally.orders += this.#worlds.length;
    if (this.#worlds.length > 0) return;
    throw new Error(
      `no order of these calls has these outcomes:\n${JSON.stringify(calls.map(shown))}\n${JSON.stringify(outcomes)}`,
    );
  }

  /** Waits for writes that no call waits for: a clock that moves or a lock meanwhile would leave it to chance. */
  async #quiet(): Promise<void> {
    const { clockMs } = this.#subject;
    await this.#subject.quiet();
    for (const world of this.#worlds) if (!world.isLocked) settle(world, clockMs);
  }

  /** Looks at everything, and opens every blob. */
  async #inspect(): Promise<void> {
    const { keys, blobs } = this.#subject;
    await this.#calls([draftOf("listKeys")]);
    await this.#calls([draftOf("listAliases")]);
    for (const key of keys.keys()) {
      for (const operation of [
        "describeKey",
        "listResourceTags",
        "listKeyRotations",
        "getKeyRotationStatus",
        "getKeyLastUsage",
      ] as const) {
        await this.#calls([draftOf(operation, { key })]);
      }
    }
    for (const blob of blobs.keys()) await this.#calls([draftOf("decrypt", { blob })]);
  }
}

/** Calls that were made at once, and what came of them. */
class Batch {
  readonly #calls: readonly Call[];
  readonly #outcomes: readonly string[];
  readonly #firstKey: number;
  readonly #clockMs: number;
  readonly #hasLock: boolean;
  /** True when uses may be written now that no call waits for. */
  hasBegunWriting = false;
  #found = new Map<string, World>();

  constructor(calls: readonly Call[], outcomes: readonly string[], firstKey: number, clockMs: number) {
    this.#calls = calls;
    this.#outcomes = outcomes;
    this.#firstKey = firstKey;
    this.#clockMs = clockMs;
    this.#hasLock = calls.length > 1 && calls.some(({ operation }) => operation === "lock");
  }

  /** The worlds after some order of the calls in which each ends as it did. */
  worldsAfter(worlds: readonly World[]): World[] {
    this.#found = new Map();
    for (const world of worlds) this.#search(world, new Set(this.#calls.keys()), true);
    return [...this.#found.values()];
  }

  #search(world: World, waiting: ReadonlySet<number>, isFirst: boolean): void {
    if (world.uses.isBegun) {
      this.hasBegunWriting = true;
      // Uses are written at some moment from now on, at the latest after the last call.
      const written = structuredClone(world);
      flushUses(written, this.#clockMs);
      this.#search(written, waiting, isFirst);
    }
    if (waiting.size === 0) {
      if (!world.uses.isBegun) this.#found.set(JSON.stringify(world), world);
      return;
    }
    for (const index of waiting) {
      const call = this.#calls[index] as Call;
      const rest = new Set(waiting);
      rest.delete(index);
      for (const until of this.#settling(world, call, isFirst)) {
        const next = structuredClone(world);
        settle(next, this.#clockMs, until);
        const outcome = perform(next, call, { clockMs: this.#clockMs, newKey: this.#firstKey + index });
        if (canonical(outcome) === this.#outcomes[index]) this.#search(next, rest, false);
      }
    }
  }

  /** What is due happens before a call; one that began before it was due, or a lock, need not wait for it. */
  #settling(world: World, { operation }: Call, isFirst: boolean): readonly (typeof SETTLED)[number][] {
    if (world.isLocked || !isDue(world, this.#clockMs)) return ["nothing"];
    if (operation === "lock") return this.#hasLock ? SETTLED : ["nothing"];
    return isFirst ? ["all"] : ["all", "nothing"];
  }
}

function shown({ blob, ...call }: Call): unknown {
  return { ...call, blob: blob && { ...blob, bytes: undefined } };
}

/** An outcome as text: members and lists sorted, as their order means nothing. */
function canonical(outcome: Outcome): string {
  return JSON.stringify(sorted(outcome));
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((each) => JSON.stringify(sorted(each))).sort();
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

async function runOn(engine: Engine, steps: Program): Promise<string[]> {
  const subject = new Subject(await scratch(), engine, START_MS);
  try {
    return await new Run(subject).perform(steps);
  } finally {
    await subject.end();
  }
}

/** Programs that once ended otherwise than the model, or that must stay in the list whatever is generated. */
const KEPT: Readonly<Record<string, Program>> = {
  "rotates while it encrypts": [
    atOnce(
      draftOf("rotateKeyOnDemand"),
      draftOf("encrypt"),
      draftOf("rotateKeyOnDemand"),
      draftOf("encrypt"),
    ),
    atOnce(draftOf("decrypt"), draftOf("rotateKeyOnDemand"), draftOf("decrypt", { blob: 1 })),
  ],
  "schedules a deletion while it decrypts": [
    atOnce(draftOf("createKey", { byAlias: true }), draftOf("encrypt")),
    atOnce(draftOf("encrypt", { byAlias: true, text: "another" })),
    atOnce(
      draftOf("decrypt", { blob: 1 }),
      draftOf("scheduleKeyDeletion", { key: 1, flag: true }),
      draftOf("decrypt", { blob: 1, isConstrained: true, byAlias: true }),
      draftOf("reEncrypt", { blob: 1 }),
    ),
    passes(7 * DAY_MS),
    atOnce(draftOf("decrypt", { blob: 1 }), draftOf("createAlias"), draftOf("describeKey", { key: 1 })),
  ],
  "moves an alias meanwhile": [
    atOnce(draftOf("createKey", { byAlias: true }), draftOf("createKey")),
    atOnce(draftOf("encrypt", { byAlias: true })),
    atOnce(
      draftOf("updateAlias"),
      draftOf("encrypt", { byAlias: true }),
      draftOf("decrypt", { byAlias: true, isConstrained: true }),
      draftOf("updateAlias", { key: 1 }),
    ),
  ],
  "deletes while it is locked": [
    atOnce(draftOf("createKey"), draftOf("createKey")),
    atOnce(draftOf("scheduleKeyDeletion", { key: 1, flag: true }), draftOf("encrypt", { key: 1 })),
    passes(8 * DAY_MS),
    atOnce(
      draftOf("decrypt"),
      draftOf("lock", { delay: 3 }),
      draftOf("encrypt"),
      draftOf("describeKey", { key: 1 }),
    ),
    passes(-4 * DAY_MS),
    { step: "unlock" },
    atOnce(draftOf("createKey")),
  ],
  "asks for a key's last use while uses are being written": [
    atOnce(draftOf("encrypt")),
    passes(91 * DAY_MS),
    atOnce(draftOf("encrypt")),
    atOnce(draftOf("getKeyLastUsage")),
  ],
  "asks for a last use that came too soon to be written": [
    atOnce(draftOf("createKey"), draftOf("encrypt")),
    passes(HOUR_MS),
    atOnce(draftOf("encrypt", { key: 1 })),
    passes(HOUR_MS - 1),
    atOnce(draftOf("decrypt")),
    passes(1),
    atOnce(draftOf("encrypt", { key: 1 })),
    passes(1),
    atOnce(draftOf("getKeyLastUsage")),
  ],
  "writes uses that were noted while the write began": [
    atOnce(draftOf("generateDataKey")),
    passes(HOUR_MS),
    atOnce(draftOf("decrypt"), draftOf("createKey"), draftOf("encrypt")),
  ],
  "rotates what was overdue while it was disabled": [
    atOnce(draftOf("createKey")),
    atOnce(draftOf("enableKeyRotation", { key: 1 })),
    atOnce(draftOf("disableKey", { key: 1 })),
    passes(200 * DAY_MS),
    atOnce(draftOf("enableKey", { key: 1 }), draftOf("rotateKeyOnDemand", { key: 1 })),
    atOnce(draftOf("encrypt", { key: 1 })),
  ],
  "meets a clock years ahead, and believes it a day and a session later": [
    atOnce(draftOf("createKey"), draftOf("createKey")),
    atOnce(draftOf("scheduleKeyDeletion", { key: 1, flag: true }), draftOf("enableKeyRotation", { key: 2 })),
    passes(3 * 366 * DAY_MS),
    atOnce(draftOf("encrypt", { key: 2 })),
    { step: "reopen" },
    passes(DAY_MS),
    atOnce(draftOf("encrypt", { key: 2 })),
    { step: "reopen" },
  ],
};

const timeoutMs = isSoak ? SOAK_TIMEOUT_MS : 240_000;

describe("a vault that", () => {
  test.each(Object.keys(KEPT))("%s does what the model does", async (name) => {
    for (const engine of ["memory", "level"] as const)
      expect(await runOn(engine, KEPT[name] ?? [])).toEqual([]);
  });
});

describe("a lock", () => {
  test("at any moment of a deletion that is due is no reason for a warning, and the rest is done later", async () => {
    for (let delay = 0; delay < 24; delay++) {
      const steps = [
        atOnce(draftOf("createKey")),
        atOnce(draftOf("scheduleKeyDeletion", { key: 1, flag: true })),
        passes(8 * DAY_MS),
        atOnce(draftOf("describeKey"), draftOf("lock", { delay })),
      ];
      expect(await runOn("memory", steps), `a lock ${delay} turns later`).toEqual([]);
    }
  });
});

describe("any program", () => {
  test.each(["memory", "level"] as const)(
    "does on a vault over the engine %s what it does on the model",
    async (engine) => {
      const property = fc.asyncProperty(program, async (steps) => {
        expect(await runOn(engine, steps)).toEqual([]);
      });
      await fc.assert(property, { seed: SEED, numRuns: RUNS[engine] });
    },
    timeoutMs,
  );
});
