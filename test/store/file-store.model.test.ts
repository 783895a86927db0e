/**
 * The file store against a tree of plain maps: generated programs on real vaults, most of them in memory and a share
 * over LevelDB. Calls at once must end as they would have in some order.
 */
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { FileSystem } from "../../src/storage/file-system.ts";
import { createFileSystem, nodeFileSystem } from "../../src/storage/file-system.ts";
import { nodeCalls } from "../../src/storage/file-system-calls.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { memoryEngines } from "../../src/storage/memory-engine.ts";
import { memoryFileCalls } from "../../src/storage/memory-file-calls.ts";
import { INLINE_BYTES } from "../../src/store/write-content.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { createVaultIn, openVaultIn, type Vault } from "../../src/vault.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import type { VaultEnvironment } from "../../src/vault-opening.ts";
import { isSoak, report, SEED, TEST_TIMEOUT_MS, times } from "../field/scale.ts";
import { turns } from "../kms/kms-programs.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import {
  applyTo,
  type Call,
  callOn,
  cloneOf,
  objectsIn,
  OPERATIONS,
  type Outcome,
  textOf,
  textOfStore,
  type Tree,
} from "./store-model.ts";

const RUNS = { memory: times(20, 20_000), level: times(3, 1500) };
const scratch = scratchDirectories();
const tally = { programs: 0, calls: 0, refused: 0, batches: 0, sessions: 0 };

afterAll(() => report("store: model", { ...RUNS, ...tally }));

type Step =
  | { readonly step: "calls"; readonly calls: readonly (Call & { readonly delay: number })[] }
  | { readonly step: "lock" | "reopen" };

const part = fc.constantFrom("a", "b", "a", "b", "ä", "__proto__");
const path = fc.oneof(
  { weight: 12, arbitrary: fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")) },
  { weight: 1, arbitrary: fc.constant("") },
);
const call: fc.Arbitrary<Call> = fc.record({
  operation: fc.oneof(
    { weight: 3, arbitrary: fc.constant("write" as const) },
    { weight: 3, arbitrary: fc.constantFrom("move" as const, "copy" as const, "remove" as const) },
    { weight: 4, arbitrary: fc.constantFrom(...OPERATIONS) },
  ),
  path,
  to: path,
  size: fc.constantFrom(0, 1, 100, INLINE_BYTES, INLINE_BYTES + 1, 5000, 70_000),
  seed: fc.nat(1000),
  flag: fc.nat(3).map((number) => number > 0),
  isStream: fc.boolean(),
  metadata: fc.option(fc.constantFrom({ a: "b" }, JSON.parse('{"__proto__":"c"}') as { a: string }), {
    nil: undefined,
  }),
});
/** What takes its time looks at more than one moment of the tree: it is for its own, where all else is still. */
const SLOW: readonly string[] = ["copy", "walk", "usage", "list", "stat", "reencrypt"];
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: call.map((one): Step => ({ step: "calls", calls: [{ ...one, delay: 0 }] })) },
  {
    weight: 5,
    arbitrary: fc.array(fc.tuple(call, fc.nat(30)), { minLength: 2, maxLength: 4 }).map((calls): Step => ({
      step: "calls",
      calls: calls
        .map(([one, delay]) => ({ ...one, delay }))
        .filter(({ operation }) => !SLOW.includes(operation)),
    })),
  },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ step: "lock" }, { step: "reopen" }) },
);
const program = fc.array(step, { minLength: 3, maxLength: 30, size: "max" });

const unlock = (): ReturnType<typeof cheapPassphrase> => cheapPassphrase("a passphrase");

/** A vault, and how it is opened again. */
class Subject {
  readonly notices: VaultNotice[] = [];
  readonly #environment: VaultEnvironment;
  readonly #directory: string;
  vault: Vault;

  private constructor(environment: VaultEnvironment, directory: string, vault: Vault) {
    this.#environment = environment;
    this.#directory = directory;
    this.vault = this.#listened(vault);
  }

  static async create(engine: "memory" | "level"): Promise<Subject> {
    let [fs, directory]: [FileSystem, string] = [nodeFileSystem, ""];
    if (engine === "level") directory = join(await scratch(), "vault");
    else {
      fs = createFileSystem(memoryFileCalls("/coffer-model", nodeCalls));
      directory = "/coffer-model/vault";
    }
    const environment = { fs, openEngine: engine === "level" ? openLevelStore : memoryEngines(fs) };
    const { vault } = await createVaultIn(environment, directory, { unlock: unlock() });
    return new Subject(environment, directory, vault);
  }

  async reopen(): Promise<void> {
    await this.vault.close();
    const onWarning = (notice: VaultNotice): void => void this.notices.push(notice);
    const options = { unlock: unlock(), onWarning };
    this.vault = this.#listened(await openVaultIn(this.#environment, this.#directory, options));
  }

  /** What lies in the store's folders. */
  async objects(): Promise<{ readonly stored: number; readonly incoming: readonly string[] }> {
    const { fs } = this.#environment;
    const folder = join(this.#directory, "objects");
    let stored = 0;
    for (const { name } of await fs.readDirectory(folder)) {
      stored += (await fs.readDirectory(join(folder, name))).length;
    }
    const incoming = await fs.readDirectory(join(this.#directory, "incoming"));
    return { stored, incoming: incoming.map(({ name }) => name) };
  }

  #listened(vault: Vault): Vault {
    const note = (notice: VaultNotice): void => void this.notices.push(notice);
    return vault.on("warning", note).on("damage", note);
  }
}

/** @returns the tree after the calls, in an order in which they would have had these outcomes. */
function orderOf(
  tree: Tree,
  calls: readonly Call[],
  outcomes: readonly Outcome[],
  found: string,
): Tree | undefined {
  const search = (at: Tree, left: readonly number[]): Tree | undefined => {
    if (left.length === 0) return textOf(at) === found ? at : undefined;
    for (const index of left) {
      const next = cloneOf(at);
      if (applyTo(next, calls[index] as Call) !== outcomes[index]) continue;
      const rest = left.filter((other) => other !== index);
      const end = search(next, rest);
      if (end !== undefined) return end;
    }
    return undefined;
  };
  return search(
    tree,
    calls.map((_, index) => index),
  );
}

async function run(engine: "memory" | "level", steps: readonly Step[]): Promise<void> {
  tally.programs++;
  const subject = await Subject.create(engine);
  let tree: Tree = new Map();
  for (const one of steps) {
    if (one.step === "calls") tree = await performed(subject.vault, tree, one.calls);
    else {
      tally.sessions++;
      if (one.step === "reopen") await subject.reopen();
      else {
        await subject.vault.lock();
        await subject.vault.unlock(unlock());
      }
    }
  }
  for (let session = 0; session < 2; session++) {
    expect(await textOfStore(subject.vault)).toBe(textOf(tree));
    expect((await subject.vault.store.verify()).problems).toEqual([]);
    if (session === 0) await subject.reopen();
  }
  await subject.vault.close();
  expect(await subject.objects()).toEqual({ stored: objectsIn(tree, INLINE_BYTES), incoming: [] });
  expect(subject.notices).toEqual([]);
}

async function performed(
  vault: Vault,
  tree: Tree,
  calls: readonly (Call & { readonly delay: number })[],
): Promise<Tree> {
  const outcomes = await Promise.all(
    calls.map(async (one) => {
      await turns(one.delay);
      return callOn(vault, one);
    }),
  );
  tally.calls += calls.length;
  if (calls.length > 1) tally.batches++;
  tally.refused += outcomes.filter((outcome) => outcome.startsWith("!")).length;
  const found = await textOfStore(vault);
  const after = orderOf(tree, calls, outcomes, found);
  expect(after, `no order explains ${JSON.stringify(outcomes)} and\n${found}`).toBeDefined();
  return after as Tree;
}

test.each(["memory", "level"] as const)(
  "programs of all operations do what the model does, and leave nothing over: %s",
  async (engine) => {
    await fc.assert(
      fc.asyncProperty(program, (steps) => run(engine, steps)),
      { numRuns: RUNS[engine], seed: SEED },
    );
  },
  isSoak ? TEST_TIMEOUT_MS : 120_000,
);
