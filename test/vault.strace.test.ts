// The child runs the built package: `npm run build` comes first.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { parseTrace, TRACED_CALLS, type TracedCall, violationsIn } from "./field/durability.ts";
import { randomOf } from "./field/random.mjs";
import { report, sampleOf, SEED, TEST_TIMEOUT_MS } from "./field/scale.ts";
import { ensureStrace, traced } from "./field/strace.ts";
import { driveScratchDirectories } from "./storage/scratch.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

const scratch = driveScratchDirectories();

interface Trace {
  readonly calls: readonly TracedCall[];
  /** Paths of our own flushes, in order. */
  readonly flushed: readonly string[];
}

/** Traces one operation of each kind. @param skip our flush to leave out. */
async function trace(skip = -1): Promise<Trace> {
  const folder = await scratch();
  const path = join(folder, "trace");
  const options = ["-y", "-s", "64", "-e", `trace=${TRACED_CALLS}`, "-e", "signal=none", "-o", path];
  const args = [join(folder, "vault"), join(folder, "markers"), String(skip)];
  const { stdout, stderr, code } = await traced(options, "order-child.mjs", args);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return { calls: parseTrace(readFileSync(path, "utf8")), flushed: JSON.parse(stdout) as string[] };
}

const isFlush = ({ name }: TracedCall): boolean => name === "fsync" || name === "fdatasync";
const pathOf = ({ args }: TracedCall): string => /^\d+<([^>]*)>/u.exec(args)?.[1] ?? "";
/** The path that a file of a new vault has in the end. */
const finalPathOf = (call: TracedCall): string => pathOf(call).replace(/\.new-[0-9a-f]{32}/u, "");
const without = (calls: readonly TracedCall[], left: readonly TracedCall[]): string[] =>
  violationsIn(calls.filter((call) => !left.includes(call)));

/** Nothing depends on these after a power cut: our lock, LevelDB's diary, and a CURRENT that is replaced at once. */
const isOfNoImport = (path: string): boolean =>
  /\/(?:vault\.lock\.[0-9a-f]+|LOG|LOG\.old|000001\.dbtmp)$/u.test(path);

let base: Trace;
/** Flushes without which the trace is refused, alone. */
let vital: TracedCall[];

beforeAll(async () => {
  ensureStrace();
  base = await trace();
  vital = base.calls.filter((call) => isFlush(call) && without(base.calls, [call]).length > 0);
});

describe("the order of system calls", () => {
  test("has everything flushed before anything builds on it, and before it is acknowledged", () => {
    const acknowledged = base.calls.filter(({ args }) => args.includes('"ack '));
    expect(acknowledged.length).toBe(12);
    expect(violationsIn(base.calls)).toEqual([]);
  });

  test("is refused without any one flush, ours or LevelDB's, beside those that another one covers", () => {
    const flushes = base.calls.filter(isFlush);
    const spared = flushes.filter((call) => !vital.includes(call) && !isOfNoImport(pathOf(call)));
    const groups = new Set(spared.map(finalPathOf));
    report("flushes in a trace", { flushes: flushes.length, vital: vital.length, covered: spared.length });
    for (const path of groups) {
      const all = flushes.filter((call) => finalPathOf(call) === path);
      expect(without(base.calls, all), `${path}: none of its flushes is needed`).not.toEqual([]);
    }
    expect(vital.length).toBeGreaterThan(flushes.length / 2);
  });

  test("is refused when the program leaves out any one of its flushes", async () => {
    const ours = base.flushed.map((path, index) => ({ path, index }));
    const candidates = ours.filter(({ path, index }) => isVital(path, index));
    const chosen = sampleOf(candidates, 3, randomOf(SEED));
    for (const { path, index } of chosen) {
      const { calls } = await trace(index);
      expect(violationsIn(calls), `seed ${SEED}: without flush ${index}, of ${path}`).not.toEqual([]);
    }
    report("flushes left out by the program", {
      ours: ours.length,
      vital: candidates.length,
      runs: chosen.length,
    });
    expect(candidates.length).toBeGreaterThan(20);
  });
});

/** Our n-th flush of a path is its n-th `fsync`; in the database's own folder LevelDB has every other one. */
function isVital(path: string, index: number): boolean {
  const nth = base.flushed.slice(0, index).filter((other) => other === path).length;
  const flushes = base.calls.filter((call) => call.name === "fsync" && pathOf(call) === path);
  const call = flushes[path.endsWith("/db-1") ? 2 * nth + 1 : nth];
  return call !== undefined && vital.includes(call);
}
