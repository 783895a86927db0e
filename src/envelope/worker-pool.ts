/**
 * Threads for long files: started with the first one, ended when idle, never what keeps the process alive.
 * @module
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { IoError } from "../errors.ts";
import { wipe } from "../secret.ts";
import { takeTurn } from "./turns.ts";
import { fromFailure, RELEASE, type WorkerAnswer, type WorkerJob } from "./worker-job.ts";

/**
 * Threads that have nothing to do are ended after this time, in milliseconds: starting them takes as long as 100 MiB of
 * a file, which those who work on one file after another should pay once.
 */
const IDLE_MS = 5000;
/** A thread that has not said by then that it is there is taken for one that never will, in milliseconds. */
const START_MS = 10_000;
/** More gain nothing: the kernel takes writes to one file one after another. */
const MAX_WORKERS = 8;

let workerUrl: URL | undefined;

/**
 * Says where the worker's file is, for an application that is bundled into one file: the built
 * `coffer/dist/envelope/file-worker.cjs`. Without this call it is looked for beside the code that
 * uses it; where it cannot be started, long files are worked on in the calling thread, which takes longer.
 * @throws TypeError unless it is a URL.
 * @example
 * useFileWorker(new URL("./file-worker.cjs", import.meta.url));
 */
export function useFileWorker(url: URL): void {
  if (!(url instanceof URL)) throw new TypeError(`url: expected a URL, got ${typeof url}`);
  if (pool.isBusy) throw new TypeError("url: files are being worked on; say it before");
  workerUrl = url;
  pool.end();
}

/** The worker could not be started: nothing was done by it. */
export class WorkerUnavailableError extends Error {
  override readonly name = "WorkerUnavailableError";
}

interface Pending {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** One thread, and the jobs that it has. */
class FileWorker {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  /** Jobs that wait for the thread to be there, and for the ones before them: it has one at a time. */
  readonly #unsent: WorkerJob[] = [];
  #current: number | undefined;
  readonly #starting: NodeJS.Timeout;
  readonly #onEnd: (worker: FileWorker) => void;
  #isReady = false;
  #isGone = false;

  constructor(url: URL, onEnd: (worker: FileWorker) => void) {
    this.#onEnd = onEnd;
    this.#worker = new Worker(url, {
      name: "coffer-file",
      execArgv: [],
      // What the cipher allocates is collected sooner: a quarter less memory at the same speed.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.unref();
    this.#worker.on("message", (answer: WorkerAnswer) => this.#take(answer));
    this.#worker.on("error", (cause: unknown) => this.#gone(cause));
    this.#worker.on("exit", () => this.#gone());
    this.#starting = setTimeout(() => {
      this.#gone();
      this.end();
    }, START_MS).unref();
  }

  /** @throws WorkerUnavailableError, or the job's own failure. */
  async perform(job: WorkerJob): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#pending.set(job.id, { resolve, reject });
      // While there is work the process waits for it.
      this.#worker.ref();
      this.#unsent.push(job);
      if (this.#isGone) this.#gone();
      else this.#sendNext();
    });
  }

  /** Takes back a job that has not begun, so that nobody waits for those before it. It counts as done. */
  drop(id: number): void {
    const at = this.#unsent.findIndex((job) => job.id === id);
    if (at < 0) return;
    for (const { keys } of this.#unsent.splice(at, 1)) wipe(keys.messageKey);
    this.#settled(id)?.resolve();
  }

  end(): void {
    void this.#worker.terminate();
  }

  #sendNext(): void {
    if (!this.#isReady || this.#current !== undefined) return;
    const job = this.#unsent.shift();
    if (job === undefined) return;
    this.#current = job.id;
    this.#worker.postMessage(job, [job.keys.messageKey.buffer]);
  }

  #settled(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    return pending;
  }

  #take(answer: WorkerAnswer): void {
    if (answer.type === "ready") {
      if (answer.release !== RELEASE) {
        this.#gone(new Error(`the worker's file is of release ${answer.release}, this is ${RELEASE}`));
        this.end();
        return;
      }
      clearTimeout(this.#starting);
      this.#isReady = true;
      this.#sendNext();
      return;
    }
    const pending = this.#settled(answer.id);
    this.#current = undefined;
    this.#sendNext();
    if (answer.failure === undefined) pending?.resolve();
    else pending?.reject(fromFailure(answer.failure));
  }

  /** However a thread ends, nobody waits for it for ever. */
  #gone(cause?: unknown): void {
    this.#isGone = true;
    clearTimeout(this.#starting);
    this.#onEnd(this);
    for (const { keys } of this.#unsent.splice(0)) wipe(keys.messageKey);
    for (const { reject } of this.#pending.values()) {
      reject(
        this.#isReady
          ? new IoError("A worker thread ended before its work was done. Try again.", {
              cause,
              details: { reason: "worker-ended" },
            })
          : new WorkerUnavailableError("the worker could not be started", { cause }),
      );
    }
    this.#pending.clear();
  }
}

class WorkerPool {
  readonly #workers = new Set<FileWorker>();
  #running = 0;
  #idle: NodeJS.Timeout | undefined;

  get isBusy(): boolean {
    return this.#running > 0;
  }

  /** Lends the workers for one body. Starts what is missing of them. */
  async use(work: (workers: readonly FileWorker[]) => Promise<void>): Promise<void> {
    clearTimeout(this.#idle);
    this.#running += 1;
    try {
      const url = workerUrl ?? ownWorkerUrl();
      for (let missing = poolSize() - this.#workers.size; missing > 0; missing--) {
        // Each start holds the caller's thread for a millisecond.
        await takeTurn();
        // Another file may have started them meanwhile.
        if (this.#workers.size === poolSize()) break;
        this.#workers.add(new FileWorker(url, (worker) => this.#workers.delete(worker)));
      }
      await work([...this.#workers]);
    } finally {
      this.#running -= 1;
      if (!this.isBusy) this.#idle = setTimeout(() => this.end(), IDLE_MS).unref();
    }
  }

  end(): void {
    clearTimeout(this.#idle);
    for (const worker of this.#workers) worker.end();
    this.#workers.clear();
  }
}

function ownWorkerUrl(): URL {
  try {
    return new URL("./file-worker.cjs", import.meta.url);
  } catch (cause) {
    // Some bundlers leave no address.
    throw new WorkerUnavailableError("where this code lies is not known", { cause });
  }
}

/** One thread for each core. */
function poolSize(): number {
  return Math.min(availableParallelism(), MAX_WORKERS);
}

const pool: WorkerPool = /* @__PURE__ */ new WorkerPool();
let lastJob = 0;

/**
 * Lets all workers work on one body, each with a job of its own making. When it rejects, none of them works on it any
 * more. Jobs that have not begun when `signal` aborts count as done.
 * @throws WorkerUnavailableError when none could be started; else the first failure.
 */
export async function performInWorkers(
  newJob: (id: number) => WorkerJob,
  onFailure: () => void,
  signal?: AbortSignal,
): Promise<void> {
  await pool.use(async (workers) => {
    if (workers.length === 0) throw new WorkerUnavailableError("no worker could be started");
    const jobs = workers.map((worker) => {
      lastJob += 1;
      return { worker, id: lastJob };
    });
    const dropWaiting = (): void => {
      for (const { worker, id } of jobs) worker.drop(id);
    };
    const working = jobs.map(async ({ worker, id }) => {
      try {
        await worker.perform(newJob(id));
      } catch (error) {
        if (!(error instanceof WorkerUnavailableError)) {
          onFailure();
          dropWaiting();
        }
        throw error;
      }
    });
    signal?.addEventListener("abort", dropWaiting, { once: true });
    // Starting threads took a few turns.
    if (signal?.aborted === true) dropWaiting();
    const results = await Promise.allSettled(working);
    signal?.removeEventListener("abort", dropWaiting);
    const failures = results
      .filter((result) => result.status === "rejected")
      .map(({ reason }): unknown => reason);
    const failure = failures.find((error) => !(error instanceof WorkerUnavailableError));
    if (failure !== undefined) throw failure as Error;
    // What one could not begin, the others have done.
    if (failures.length === workers.length) throw failures[0] as Error;
  });
}
