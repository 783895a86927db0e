/**
 * Operations of the file store, each cut at every step: what a killed process and what power cuts leave opens, with
 * every acknowledged file as it was, none half there, and nothing left over. And the other way round: without any one
 * of the flushes something is lost.
 *
 * In `npm test` a seeded sample of the states, in soak all.
 */
import { expect, test, vi } from "vitest";
import type { Vault } from "../../src/vault.ts";
import { randomOf } from "../field/random.mjs";
import { isSoak, report, sampleOf, SEED, TEST_TIMEOUT_MS } from "../field/scale.ts";
import type { SimulatedDisk, SyncFilter } from "../storage/simulated-disk.ts";
import type { DiskStep } from "../storage/simulated-files.ts";
import {
  crashes,
  History,
  Inspector,
  judge,
  open,
  type Outcome,
  secret,
} from "../storage/simulated-vault.ts";
import {
  inspectStore,
  LARGE_BYTES,
  type StoreFoundation,
  storeFoundation,
  treeOf,
} from "./simulated-store.ts";
import { bytesOf } from "./store-ground.ts";

vi.setConfig({ testTimeout: isSoak ? TEST_TIMEOUT_MS : 180_000 });

/** Of each operation, in `npm test`. */
const STATES = 5;

/** A disk on which one operation is performed, and the steps that are its own. */
class Stage {
  readonly code: string;
  readonly #ignored: SyncFilter;
  history: History;
  #begun = 0;
  /** Steps in which the file `relaxed`, and no other, may be damaged by a power cut. */
  #relaxed: { readonly from: number; readonly to: number } | undefined;

  constructor({ disk, code, contents }: StoreFoundation, ignored: SyncFilter = () => false) {
    this.code = code;
    this.#ignored = ignored;
    this.history = new History(this.#copyOf(disk), new Set([contents]), treeOf);
  }

  get disk(): SimulatedDisk {
    return this.history.disk;
  }

  async open(): Promise<Vault> {
    return this.history.pass("openVault", () => open(this.disk, this.code));
  }

  async change(vault: Vault, change: Change): Promise<void> {
    await this.history.pass("change", async () => (await change(vault), vault));
  }

  close(vault: Vault): Promise<void> {
    return this.history.pass("close", () => vault.close());
  }

  /** Makes a change, and is killed at the step of it that `at` picks, or else after it. */
  async killed(change: Change, at?: (step: DiskStep) => boolean): Promise<void> {
    const vault = await this.open();
    let steps = this.disk.steps;
    await this.change(vault, change);
    if (at === undefined) steps = this.disk.steps;
    else while (!at(this.disk.step(steps) as DiskStep)) steps++;
    const possible = this.history.possibleAfter(steps);
    this.history = new History(this.#copyOf(this.disk.killedAfter(steps)), possible, treeOf);
  }

  /** Marks the beginning of what is tested. */
  begin(): void {
    this.#begun = this.disk.steps;
  }

  /** Writes the file `relaxed`, and performs what makes it durable. */
  async relaxed(vault: Vault, flush: () => Promise<void>): Promise<void> {
    await this.change(vault, write("relaxed", LARGE, "relaxed"));
    const from = this.history.passages.at(-1)?.begun ?? 0;
    await flush();
    this.#relaxed = { from, to: this.history.passages.at(-1)?.ended ?? 0 };
  }

  /** @returns a line for each crash state that is bad. */
  async bad(inspector: Inspector, states: number): Promise<string[]> {
    const bad: string[] = [];
    for await (const line of this.#badOf(inspector, states)) bad.push(line);
    return bad;
  }

  /** @returns true when there is a crash state that is bad. */
  async isBad(inspector: Inspector): Promise<boolean> {
    for await (const _ of this.#badOf(inspector, Number.POSITIVE_INFINITY)) return true;
    return false;
  }

  async *#badOf(inspector: Inspector, states: number): AsyncGenerator<string> {
    const all = [...crashes(this.disk, this.#begun, this.disk.steps)];
    // In an order that has nothing to do with the steps: the first bad one comes soon.
    const chosen = shuffled(sampleOf(all, states, randomOf(SEED)));
    for (const { steps, kind, disk } of chosen) {
      let outcome = await inspector.inspect(disk);
      let possible = this.history.possibleAfter(steps);
      const { from, to } = this.#relaxed ?? { from: 0, to: 0 };
      if (kind !== "killed" && from < steps && steps < to) {
        if ("contents" in outcome) outcome = { contents: withoutRelaxed(outcome.contents) };
        possible = new Set([...possible].map((contents) => withoutRelaxed(contents ?? "")));
      }
      const verdict = judge(outcome, possible);
      if (verdict === undefined) continue;
      yield `${this.history.nameAt(steps)}, ${kind}: ${verdict}\n${shown(outcome)}`;
    }
  }

  #copyOf(disk: SimulatedDisk): SimulatedDisk {
    const copy = disk.killedAfter(disk.steps);
    copy.ignoredSyncs = this.#ignored;
    return copy;
  }
}

/** What is said of the file `relaxed`, left out. */
function withoutRelaxed(contents: string): string {
  const isOther = (line: string): boolean => !/^relaxed |"path":"relaxed"|^\d+ objects of/u.test(line);
  return contents.split("\n").filter(isOther).join("\n");
}

function shown(outcome: Outcome): string {
  return "contents" in outcome ? outcome.contents : String(outcome.error);
}

function shuffled<T>(items: readonly T[]): T[] {
  const random = randomOf(SEED + 1);
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

type Change = (vault: Vault) => Promise<unknown>;

const LARGE = bytesOf(LARGE_BYTES, 9);

const write =
  (name: string, content: Uint8Array = LARGE, durability: "durable" | "relaxed" = "durable"): Change =>
  ({ store }) =>
    store.write(name, content, { overwrite: true, durability, metadata: { by: "change" } });

/** Each change on an open vault, and the end of the session, in which garbage is collected at the latest. */
const changed =
  (...changes: readonly Change[]) =>
  async (stage: Stage): Promise<void> => {
    const vault = await stage.open();
    stage.begin();
    for (const change of changes) await stage.change(vault, change);
    await stage.close(vault);
  };

/** A session over what a killed one has left, which opens the vault, and changes something. */
const afterKill =
  (change: Change, at?: (step: DiskStep) => boolean, next: Change = write("next")) =>
  async (stage: Stage): Promise<void> => {
    await stage.killed(change, at);
    stage.begin();
    const vault = await stage.open();
    await stage.change(vault, next);
    await stage.close(vault);
  };

const isObject = (name: string): boolean => name.endsWith(".cof");

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < LARGE.length; at += 1000) yield LARGE.subarray(at, at + 1000);
}

const OPERATIONS: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  "write of an object": changed(write("new/large")),
  "write into the index": changed(write("new/small", bytesOf(50))),
  "write of a stream": changed(({ store }) => store.write("stream", pieces())),
  "two writes of objects": changed(write("first"), write("second", bytesOf(LARGE_BYTES, 5))),
  "object over object": changed(write("large")),
  "object over index": changed(write("small")),
  "index over object": changed(write("large", bytesOf(7))),
  "nothing over object": changed(write("large", new Uint8Array())),
  "move of a file": changed(({ store }) => store.move("large", "elsewhere/large")),
  "move of a file over another": changed(({ store }) =>
    store.move("large", "folder/large", { overwrite: true }),
  ),
  "move of a directory": changed(({ store }) => store.move("folder", "elsewhere/folder")),
  createDirectory: changed(({ store }) => store.createDirectory("one/two/three")),
  "removal of a file in an object": changed(({ store }) => store.remove("large")),
  "removal of a file in the index": changed(({ store }) => store.remove("small")),
  "removal of a directory": changed(({ store }) => store.remove("folder", { recursive: true })),
  "copy of a file": changed(({ store }) => store.copy("large", "elsewhere/large")),
  "copy of a directory": changed(({ store }) => store.copy("folder", "elsewhere/copy")),
  "encryption anew": changed(({ store }) => store.reencrypt("")),
  "relaxed write and flush": async (stage) => {
    const vault = await stage.open();
    stage.begin();
    await stage.relaxed(vault, () => stage.change(vault, ({ store }) => store.flush()));
    await stage.close(vault);
  },
  "relaxed write and close": async (stage) => {
    const vault = await stage.open();
    stage.begin();
    await stage.relaxed(vault, () => stage.close(vault));
    await stage.open();
  },
  "relaxed write, lock and close": async (stage) => {
    const vault = await stage.open();
    stage.begin();
    await stage.relaxed(vault, async () => {
      await stage.history.pass("lock", () => vault.lock());
      await stage.close(vault);
    });
    await stage.open();
  },
  "write after a session": async (stage) => {
    const vault = await stage.open();
    await stage.change(vault, write("first"));
    await stage.close(vault);
    await changed(write("second"))(stage);
  },
  "close after lock": async (stage) => {
    const vault = await stage.open();
    stage.begin();
    await stage.change(vault, write("first"));
    await stage.history.pass("lock", () => vault.lock());
    await stage.close(vault);
    const again = await stage.open();
    await stage.change(again, write("second"));
  },
  "unlock after a write": async (stage) => {
    const vault = await stage.open();
    await stage.change(vault, write("first"));
    stage.begin();
    await stage.history.pass("lock", () => vault.lock());
    await stage.history.pass("unlock", async () => (await vault.unlock(secret()), vault));
    await stage.change(vault, write("second"));
    await stage.close(vault);
  },
  "session after a kill in a write": afterKill(
    write("new"),
    (step) => step.type === "write" && step.bytes !== undefined && step.bytes.length > LARGE_BYTES,
  ),
  "session after a kill before the move": afterKill(
    write("new"),
    (step) => step.type === "rename" && isObject(step.name),
  ),
  "session after a kill after the move": afterKill(write("new")),
  "session after a kill before a collection": afterKill(({ store }) => store.remove("large")),
  "session after a kill in a copy": afterKill(
    ({ store }) => store.copy("folder", "copy"),
    (step) => step.type === "rename" && isObject(step.name),
    ({ store }) => store.remove("large"),
  ),
};

test("every operation, cut at every step, leaves what was acknowledged, nothing torn and nothing over", async () => {
  const base = await storeFoundation();
  const bad: string[] = [];
  let [asked, opened] = [0, 0];
  for (const [name, perform] of Object.entries(OPERATIONS)) {
    const stage = new Stage(base);
    await perform(stage);
    const inspector = new Inspector(base.code, inspectStore);
    bad.push(...(await stage.bad(inspector, STATES)).map((line) => `${name}: ${line}`));
    asked += inspector.asked;
    opened += inspector.opened;
  }
  const operations = Object.keys(OPERATIONS).length;
  report("store: crash states", { operations, asked, opened, bad: bad.length });
  expect(bad).toEqual([]);
  expect(asked).toBeGreaterThan(operations * 4);
});

/** Every fsync of the file store, by what it flushes, and operations in which its loss shows. */
const FLUSHES: readonly (readonly [string, SyncFilter, readonly string[]])[] = [
  [
    "content of an object",
    (call, path) => call === "file sync" && path.endsWith(".cof"),
    ["write of an object", "relaxed write and flush", "relaxed write and close", "copy of a directory"],
  ],
  [
    "names in incoming",
    (call, path) => call === "folder sync" && path.endsWith("/incoming"),
    ["write of an object", "write of a stream"],
  ],
  [
    "names of objects in their places",
    (call, path) => call === "folder sync" && /objects\/[0-9a-f]{2}$/u.test(path),
    [
      "two writes of objects",
      "write after a session",
      "unlock after a write",
      "close after lock",
      "removal of a file in an object",
      "relaxed write and flush",
      "session after a kill after the move",
    ],
  ],
  [
    "names of the folders of objects",
    (call, path) => call === "folder sync" && path.endsWith("/objects"),
    ["two writes of objects"],
  ],
];

test.each(
  FLUSHES.flatMap(([name, isIt, operations]) => operations.map((operation) => ({ name, isIt, operation }))),
)("without the flush of the $name, some cut leaves a bad state: $operation", async ({ isIt, operation }) => {
  const base = await storeFoundation();
  const stage = new Stage(base, isIt);
  await OPERATIONS[operation]?.(stage);
  expect(await stage.isBad(new Inspector(base.code, inspectStore))).toBe(true);
});

test("there is no other flush in the store's folders", async () => {
  const base = await storeFoundation();
  const others = new Set<string>();
  const note: SyncFilter = (call, path, isOurs) => {
    const isStore = /\/(?:objects|incoming)(?:\/|$)/u.test(path);
    if (isStore && !FLUSHES.some(([, isIt]) => isIt(call, path, isOurs))) others.add(`${call} ${path}`);
    return false;
  };
  for (const perform of Object.values(OPERATIONS)) await perform(new Stage(base, note));
  expect([...others]).toEqual([]);
});
