// The child runs the built package: `npm run build` comes first.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { randomOf } from "./field/random.mjs";
import { isSoak, report, sampleOf, SEED, TEST_TIMEOUT_MS, times } from "./field/scale.ts";
import { onSmallDrive } from "./field/small-drive.ts";
import { ensureStrace } from "./field/strace.ts";
import { CaseWorker, type CaseWorkerOptions } from "./field/workers.ts";
import { scratchDirectories } from "./storage/scratch.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS, hookTimeout: 120_000 });

const scratch = scratchDirectories();

interface Answer {
  readonly ok?: unknown;
  readonly code?: string;
  readonly reason?: string;
  readonly errno?: string;
  readonly bad?: string;
  readonly notices: readonly { readonly type: string; readonly message: string }[];
}

/** A child with one vault, and what must be in it. */
class FaultyVault {
  readonly directory: string;
  readonly #worker: CaseWorker;
  /** Changes that were acknowledged. */
  readonly names = new Set<string>();
  #count = 0;

  constructor(directory: string, options: CaseWorkerOptions) {
    this.directory = directory;
    this.#worker = new CaseWorker("fault-child.mjs", [directory], options);
  }

  async tell(command: Readonly<Record<string, unknown>>): Promise<Answer> {
    const end = await this.#worker.run<Answer>(command);
    if (end.kind === "died") throw new Error(`the child died: ${end.signal} ${end.stderr}`);
    if (end.verdict.bad !== undefined) throw new Error(end.verdict.bad);
    return end.verdict;
  }

  /** @returns what was answered to a change, and its name. */
  async change(description = ""): Promise<{ name: string; answer: Answer }> {
    const name = `n${++this.#count}`;
    const answer = await this.tell({ do: "change", name, description });
    if (answer.ok !== undefined) this.names.add(name);
    return { name, answer };
  }

  /** Looks that everything acknowledged is there and nothing refused is; what may be either is settled. */
  async settle(...unknown: readonly string[]): Promise<string | undefined> {
    const { ok, code } = await this.tell({ do: "observe" });
    if (ok === undefined) return `cannot be read: ${code}`;
    const found = new Set(ok as string[]);
    for (const name of unknown) if (found.has(name)) this.names.add(name);
    const lost = [...this.names].filter((name) => !found.has(name));
    const extra = [...found].filter((name) => !this.names.has(name));
    return lost.length + extra.length === 0 ? undefined : `lost ${lost.join()}, came back ${extra.join()}`;
  }

  get pid(): number {
    return this.#worker.pid;
  }

  end(): void {
    this.#worker.end();
  }
}

interface FaultCase {
  readonly operation: "change" | "open" | "close";
  readonly calls: string;
  readonly errno: string;
  readonly isPersistent: boolean;
}

describe("a call of the database that fails", () => {
  let vault: FaultyVault;
  let trace: string;

  beforeAll(async () => {
    ensureStrace();
    const folder = await scratch();
    trace = join(folder, "trace");
    // One thread for all of LevelDB's calls and ours, so that the n-th call is the same one each time.
    vault = new FaultyVault(join(folder, "vault"), { environment: { UV_THREADPOOL_SIZE: "1" } });
    await vault.tell({ do: "create" });
    // A compaction's thread is there from now on.
    for (let session = 0; session < 3; session++) {
      await vault.change();
      await vault.tell({ do: "close" });
      await vault.tell({ do: "open" });
    }
  });
  afterAll(() => vault.end());

  /** Fails the n-th of these calls, and all after it if asked, from now until the answer is called. */
  async function inject(
    { calls, errno, isPersistent }: FaultCase,
    n: number,
  ): Promise<() => Promise<boolean>> {
    writeFileSync(trace, "");
    const threads = otherThreads(vault.pid).flatMap((tid) => ["-p", tid]);
    const paths = pathsOf(vault.directory).flatMap((path) => ["-P", path]);
    const fault = `inject=${calls}:error=${errno}:when=${n}${isPersistent ? "+" : ""}`;
    const args = [
      ...threads,
      ...paths,
      "-e",
      `trace=${calls}`,
      "-e",
      fault,
      "-e",
      "signal=none",
      "-o",
      trace,
    ];
    const strace = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
    await attached(strace, threads.length / 2);
    return async () => {
      const gone = once(strace, "exit");
      strace.kill("SIGINT");
      await gone;
      return readFileSync(trace, "utf8").includes("(INJECTED)");
    };
  }

  /** @returns whether the fault was met, and what was wrong. */
  async function run(oneCase: FaultCase, n: number): Promise<{ isHit: boolean; wrong?: string | undefined }> {
    if (oneCase.operation === "open") await vault.tell({ do: "close" });
    const stop = await inject(oneCase, n);
    const unknown: string[] = [];
    let isOpen = true;
    if (oneCase.operation === "change") {
      const { name, answer } = await vault.change();
      if (answer.reason === "outcome-unknown") unknown.push(name);
    } else {
      const answer = await vault.tell({ do: oneCase.operation });
      isOpen = oneCase.operation === "open" && answer.ok !== undefined;
    }
    const isHit = await stop();
    const again = isOpen ? undefined : (await vault.tell({ do: "open" })).code;
    if (again !== undefined) return { isHit, wrong: `cannot be opened again: ${again}` };
    const afterwards = await vault.change();
    if (afterwards.answer.ok === undefined)
      return { isHit, wrong: `the handle stays broken: ${afterwards.answer.code}` };
    const wrong = await vault.settle(...unknown);
    if (wrong !== undefined) return { isHit, wrong };
    await vault.tell({ do: "close" });
    const { code, notices } = await vault.tell({ do: "open" });
    if (code !== undefined || notices.length > 0) return { isHit, wrong: code ?? notices[0]?.message };
    return { isHit, wrong: await vault.settle() };
  }

  const cases = (["change", "open", "close"] as const).flatMap((operation) =>
    [false, true].flatMap((isPersistent) =>
      (
        [
          ["write,pwrite64", ["ENOSPC", "EIO", "EDQUOT"]],
          ["fdatasync", ["EIO", "ENOSPC"]],
          ["fsync", ["EIO"]],
          ["openat", ["EMFILE", "EACCES", "ENOSPC"]],
          ["rename", ["EIO", "EACCES"]],
          ["unlink", ["EACCES", "EIO"]],
          ["read,pread64", ["EIO"]],
        ] as const
      ).flatMap(([calls, errnos]) =>
        errnos.map((errno): FaultCase => ({ operation, calls, errno, isPersistent })),
      ),
    ),
  );
  const MAX_CALLS = 60;

  test("gives a typed error and the old state, or the whole change, and the same handle works again", async () => {
    const tally = { faults: 0, runs: 0 };
    const random = randomOf(SEED);
    const bad: string[] = [];
    const first: FaultCase[] = [
      { operation: "change", calls: "fdatasync", errno: "EIO", isPersistent: false },
      { operation: "change", calls: "write,pwrite64", errno: "ENOSPC", isPersistent: true },
    ];
    for (const oneCase of [...first, ...sampleOf(cases, 4, random)]) {
      for (let n = 1; n <= MAX_CALLS; n++) {
        const { isHit, wrong } = await run(oneCase, n);
        tally.runs++;
        if (isHit) tally.faults++;
        if (wrong !== undefined) bad.push(`seed ${SEED}: ${JSON.stringify(oneCase)}, call ${n}: ${wrong}`);
        if (!isHit || (!isSoak && n === 3)) break;
      }
    }
    report("faults under LevelDB", { ...tally, bad: bad.length });
    expect(bad).toEqual([]);
    expect(tally.faults).toBeGreaterThan(6);
  });
});

/** How often one drive of 12 MiB is filled. */
const RUNS_A_DRIVE = 40;

test("a full disk costs nothing that was acknowledged, and the handle works again once there is space", async () => {
  const drive = join(await scratch(), "drive");
  mkdirSync(drive, { mode: 0o700 });
  const within = onSmallDrive(drive);
  if (within === undefined) {
    report("full disk", { notRun: "neither root nor a user namespace may mount a small drive here" });
    return;
  }
  const random = randomOf(SEED);
  let vault: FaultyVault | undefined;
  const tally = { runs: times(10, 500), full: 0, acknowledged: 0, unknown: 0 };
  for (let run = 0; run < tally.runs; run++) {
    const where = `seed ${SEED}, run ${run}`;
    // Else what was acknowledged would fill the drive by itself.
    if (vault === undefined || run % RUNS_A_DRIVE === 0) {
      tally.acknowledged += vault?.names.size ?? 0;
      vault?.end();
      vault = new FaultyVault(join(drive, "vault"), { within });
      await vault.tell({ do: "create" });
    }
    const leave = Math.floor(random() * (random() < 0.5 ? 20_000 : 200_000));
    await vault.tell({ do: "fill", leave });
    const unknown: string[] = [];
    for (let change = 0; change < 40; change++) {
      const { name, answer } = await vault.change("x".repeat(Math.floor(random() * 8000)));
      if (answer.ok !== undefined) continue;
      expect(answer, where).toMatchObject({ code: "COFFER_IO" });
      if (answer.reason === "outcome-unknown") unknown.push(name);
      else expect(answer.errno, where).toBe("ENOSPC");
      tally.full++;
      if (random() < 0.5) break;
    }
    tally.unknown += unknown.length;
    await vault.tell({ do: "free" });
    const { answer } = await vault.change();
    expect(answer, where).toHaveProperty("ok");
    expect(await vault.settle(...unknown), where).toBeUndefined();
    if (run % 5 === 4) {
      await vault.tell({ do: "close" });
      expect((await vault.tell({ do: "open" })).notices, where).toEqual([]);
      expect(await vault.settle(), where).toBeUndefined();
    }
  }
  tally.acknowledged += vault?.names.size ?? 0;
  vault?.end();
  report("full disk", tally);
  expect(tally.full).toBeGreaterThanOrEqual(tally.runs / 2);
});

/** Threads of the child beside its first one, which runs JavaScript. */
function otherThreads(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).filter((tid) => tid !== String(pid));
}

/**
 * Every path that the next calls may name: faults are for these only, as the same threads also wake up the first
 * one by writing to a descriptor.
 */
function pathsOf(directory: string): string[] {
  const database = join(directory, "db-1");
  const numbers = readdirSync(database).map((name) => Number(/\d+/u.exec(name)?.[0] ?? 0));
  const newest = Math.max(...numbers);
  const names = Array.from({ length: newest + 12 }, (_, number) => String(number).padStart(6, "0")).flatMap(
    (number) => [`${number}.log`, `${number}.ldb`, `${number}.dbtmp`, `MANIFEST-${number}`],
  );
  const headers = ["header.0", "header.1"].flatMap((name) => [name, `${name}.tmp`]);
  const folders = ["db-1", "db-1.keep", "db-1.keep-new", "db-1.keep-old", "db-1.failed"];
  return [
    directory,
    ...[...headers, ...folders].map((name) => join(directory, name)),
    ...["CURRENT", ...names.slice(-160)].map((name) => join(database, name)),
  ];
}

async function attached(strace: ChildProcess, threads: number): Promise<void> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    strace.stderr?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.split("attached").length > threads) resolve();
    });
    strace.on("exit", () => reject(new Error(`strace ended: ${text}`)));
  });
}
