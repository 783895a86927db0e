// Children run the built package: `npm run build` comes first.
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { fileBeginningLength } from "../../src/formats/file.ts";
import { randomOf } from "../field/random.mjs";
import { report, sampleOf, SEED, TEST_TIMEOUT_MS } from "../field/scale.ts";
import { makeStoreSample, STORE_SESSIONS, type StoreSample } from "../field/store-damage-sample.ts";
import { readTree, type Tree, type TreeDamage } from "../field/trees.mjs";
import { type CaseEnd, CaseWorker, runCases } from "../field/workers.ts";
import { scratchDirectories } from "../storage/scratch.ts";

interface DamageCase extends TreeDamage {
  /** Writes, reads and removes a file beside the damage. */
  readonly isChanging?: boolean;
}

interface Verdict {
  readonly outcome: "right" | "told" | "refused" | "bad";
  readonly code?: string;
  readonly why?: string;
  /** True when all was judged and a later change failed. */
  readonly hasOpened?: boolean;
  readonly files?: number;
  readonly lost?: number;
  readonly bytesLost?: number;
  /** Names that led to what they had led to once, which verify had told. */
  readonly older?: number;
  readonly salvaged?: number;
}

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

const NEWEST = `vault-${STORE_SESSIONS}`;
const SEGMENT_BYTES = 65_536;
const scratch = scratchDirectories();
let samples: string;
let sample: StoreSample;
let tree: Tree;
let workers: CaseWorker[];

beforeAll(async () => {
  samples = await scratch();
  sample = await makeStoreSample(samples);
  tree = readTree(join(samples, NEWEST));
  workers = await Promise.all(
    [0, 1].map(async () => new CaseWorker("store-damage-child.mjs", [samples, await scratch()])),
  );
});
afterAll(() => {
  for (const worker of workers) worker.end();
});

const isObject = (file: string): boolean => file.endsWith(".cof");
const isData = (file: string): boolean => /^db-1\/(?:CURRENT|MANIFEST-\d+|\d+\.(?:log|ldb))$/u.test(file);

function filesThat(isWanted: (file: string) => boolean): { file: string; size: number }[] {
  return [...tree]
    .filter(([file, { kind }]) => kind === "file" && isWanted(file))
    .map(([file, { bytes }]) => ({ file, size: bytes?.length ?? 0 }));
}

/** Where the first segment of an object lies. */
function beginningBytes(file: string): number {
  return fileBeginningLength(tree.get(file)?.bytes ?? new Uint8Array());
}

type Judge = (oneCase: DamageCase, verdict: Verdict) => string | undefined;

async function expectAll(title: string, cases: readonly DamageCase[], judge: Judge): Promise<void> {
  const tally = { cases: cases.length, right: 0, told: 0, refused: 0, aborts: 0 };
  const sums = { files: 0, lost: 0, bytesLost: 0, older: 0, salvaged: 0 };
  const codes: Record<string, number> = {};
  const bad: string[] = [];
  await runCases<DamageCase, Verdict>(workers, cases, async (oneCase, end, worker) => {
    const verdict = await verdictOf(oneCase, end, worker);
    if (end.kind === "died") tally.aborts += 1;
    else if (verdict.outcome !== "bad") tally[verdict.outcome] += 1;
    if (verdict.code !== undefined) codes[verdict.code] = (codes[verdict.code] ?? 0) + 1;
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += verdict[name] ?? 0;
    const why = verdict.outcome === "bad" ? verdict.why : judge(oneCase, verdict);
    if (why !== undefined) bad.push(`seed ${SEED}: ${JSON.stringify(oneCase)}: ${why}`);
  });
  report(`store: ${title}`, { ...tally, codes, ...sums, bad: bad.length, first: bad.slice(0, 3) });
  expect(bad).toEqual([]);
}

async function verdictOf(oneCase: DamageCase, end: CaseEnd<Verdict>, worker: CaseWorker): Promise<Verdict> {
  if (end.kind === "verdict") return end.verdict;
  // A damaged table may trip LevelDB's assertions; what a salvage gives afterwards is right all the same.
  if (!["SIGABRT", "SIGSEGV", "SIGBUS"].includes(end.signal)) {
    return { outcome: "bad", why: `${end.signal} ${end.stderr}` };
  }
  const after = await worker.run<Verdict>({ ...oneCase, hasDied: true });
  return after.kind === "verdict" ? after.verdict : { outcome: "bad", why: `salvage died: ${after.signal}` };
}

/** The index is damaged: the vault opens, and what is wrong is told, or it is refused as damaged. */
function rightOrTyped(
  _case: DamageCase,
  { outcome, code = "", hasOpened = false }: Verdict,
): string | undefined {
  if (outcome !== "refused") return undefined;
  const typed = ["COFFER_DAMAGED", "COFFER_ROLLED_BACK", ...(hasOpened ? ["COFFER_IO"] : [])];
  return typed.includes(code) ? undefined : `answered ${code}`;
}

/** One object is damaged: the vault opens, and no more than that one file is touched. */
function oneFileAtMost({ kind, file = "", at = 0 }: DamageCase, verdict: Verdict): string | undefined {
  const { outcome, code, files = 0, lost = 0, bytesLost = 0 } = verdict;
  if (outcome === "refused") return `answered ${code}`;
  const all = Object.keys(sample.files).length;
  if (lost > 1 || files + lost !== all) return `${files} of ${all} files, ${lost} lost`;
  // A changed bit costs its segment. Before the first segment it may cost the file, or nothing.
  if (kind === "flip" && at >= beginningBytes(file) && (lost !== 1 || bytesLost > SEGMENT_BYTES)) {
    return `${lost} lost, ${bytesLost} bytes of it`;
  }
  return kind === "flip" || lost === 1 || kind === "zero" ? undefined : "nothing was lost";
}

function flips(isWanted: (file: string) => boolean): DamageCase[] {
  const random = randomOf(SEED);
  return filesThat(isWanted).flatMap(({ file, size }) =>
    Array.from({ length: size }, (_, at): DamageCase => {
      const bit = Math.floor(random() * 8);
      return { tree: NEWEST, kind: "flip", file, at, bit, isChanging: at % 8 === 0 };
    }),
  );
}

/** Every place of the beginnings and the last segments' ends, and one in each 997 of what lies between. */
function telling(cases: DamageCase[]): DamageCase[] {
  return cases.filter(({ file = "", at = 0 }) => {
    const size = tree.get(file)?.bytes?.length ?? 0;
    return at < beginningBytes(file) + 64 || at > size - 64 || at % 997 === 0;
  });
}

test("the sample has contents in the index and in objects, and tables of LevelDB", async () => {
  expect(filesThat(isObject).length).toBeGreaterThan(10);
  expect(filesThat(isData).filter(({ file }) => file.endsWith(".ldb")).length).toBeGreaterThan(0);
  for (const { file } of filesThat(isObject)) expect(beginningBytes(file)).toBeGreaterThan(500);
  await expectAll("nothing damaged", [{ tree: NEWEST, kind: "whole", isChanging: true }], (_case, verdict) =>
    verdict.outcome === "right" ? undefined : JSON.stringify(verdict),
  );
});

test("one changed bit in any byte of an object costs at most a segment of that file", async () => {
  await expectAll("flips in objects", sampleOf(telling(flips(isObject)), 24, randomOf(SEED)), oneFileAtMost);
});

test("one changed bit in any byte of the database gives the right files, or is told", async () => {
  await expectAll("flips in the database", sampleOf(flips(isData), 40, randomOf(SEED)), rightOrTyped);
});

test("an object that ends early, has a hole, or is gone costs that file alone", async () => {
  const objects = filesThat(isObject);
  const cuts = objects.flatMap(({ file, size }) =>
    Array.from({ length: size }, (_, at): DamageCase => ({ tree: NEWEST, kind: "cut", file, at })),
  );
  const zeros = objects.flatMap(({ file, size }) =>
    Array.from({ length: Math.ceil(size / 4096) }, (_, index): DamageCase => ({
      tree: NEWEST,
      kind: "zero",
      file,
      at: index * 4096,
      length: 4096,
    })),
  );
  const gone = objects.flatMap(({ file }): DamageCase[] => [
    { tree: NEWEST, kind: "delete", file },
    { tree: NEWEST, kind: "empty", file },
  ]);
  const random = randomOf(SEED);
  await expectAll("cut objects", sampleOf(telling(cuts), 12, random), oneFileAtMost);
  await expectAll("zeroed sectors in objects", sampleOf(zeros, 12, random), oneFileAtMost);
  await expectAll("objects deleted or emptied", sampleOf(gone, 8, random), oneFileAtMost);
});

test("a file of the database that ends early, has a hole, or is gone gives the right files, or is told", async () => {
  const files = filesThat(isData);
  const cuts = files.flatMap(({ file, size }) =>
    Array.from({ length: size }, (_, at): DamageCase => ({ tree: NEWEST, kind: "cut", file, at })),
  );
  const zeros = files.flatMap(({ file, size }) =>
    Array.from({ length: Math.ceil(size / 512) }, (_, index): DamageCase => ({
      tree: NEWEST,
      kind: "zero",
      file,
      at: index * 512,
      length: 512,
    })),
  );
  const random = randomOf(SEED);
  await expectAll("cut database files", sampleOf(cuts, 20, random), rightOrTyped);
  await expectAll("zeroed sectors in the database", sampleOf(zeros, 20, random), rightOrTyped);
});

test("objects of an earlier moment are the right ones, or are told", async () => {
  const cases = [];
  for (let session = 1; session < STORE_SESSIONS; session++) {
    const name = `objects-${session}`;
    const directory = join(samples, name);
    cpSync(join(samples, NEWEST), directory, { recursive: true });
    rmSync(join(directory, "objects"), { recursive: true });
    cpSync(join(samples, `vault-${session}`, "objects"), join(directory, "objects"), { recursive: true });
    cases.push({ tree: name, kind: "whole", isChanging: true } as const);
  }
  await expectAll("older objects", cases, (_case, { outcome, older = 0, lost = 0, code }) =>
    outcome === "told" && older === 0 && lost > 0 ? undefined : `${outcome} ${code} ${older} ${lost}`,
  );
});
