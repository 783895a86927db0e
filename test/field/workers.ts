/**
 * Child processes that take cases by message, one at a time, and are started anew when a case ends them.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What a case came to: the child's answer, or how it ended the child. */
export type CaseEnd<Verdict> =
  | { readonly kind: "verdict"; readonly verdict: Verdict }
  | { readonly kind: "died"; readonly signal: string; readonly stderr: string };

/** A case that takes longer than this hangs. */
const MAX_CASE_MS = 60_000;

export interface CaseWorkerOptions {
  /** Variables beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A command that becomes the child: `["unshare", "-m"]`. */
  readonly within?: readonly string[];
}

export class CaseWorker {
  readonly #path: string;
  readonly #args: readonly string[];
  readonly #options: CaseWorkerOptions;
  #child: ChildProcess | undefined;
  #stderr = "";

  /** @param program file in this folder. */
  constructor(program: string, args: readonly string[], options: CaseWorkerOptions = {}) {
    this.#options = options;
    this.#path = fileURLToPath(new URL(program, import.meta.url));
    this.#args = args;
  }

  /** Of the child; 0 while there is none. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async run<Verdict>(oneCase: unknown): Promise<CaseEnd<Verdict>> {
    const child = (this.#child ??= await this.#start());
    // Aborted at the end, so that no listeners are left on the child.
    const listening = new AbortController();
    const { signal } = listening;
    const answered = once(child, "message", { signal });
    const ended = once(child, "exit", { signal });
    for (const waiting of [answered, ended]) waiting.catch(() => undefined);
    const timer = setTimeout(() => child.kill("SIGKILL"), MAX_CASE_MS);
    child.send(oneCase as object);
    try {
      const end = await Promise.race([
        answered.then(([verdict]) => ({ kind: "verdict" as const, verdict: verdict as Verdict })),
        ended.then(([code, name]) => ({ kind: "died" as const, signal: String(name ?? code) })),
      ]);
      if (end.kind === "verdict") return end;
      this.#child = undefined;
      return { ...end, stderr: this.#stderr };
    } finally {
      clearTimeout(timer);
      listening.abort();
    }
  }

  end(): void {
    this.#child?.disconnect();
    this.#child = undefined;
  }

  async #start(): Promise<ChildProcess> {
    this.#stderr = "";
    const { environment = {}, within = [] } = this.#options;
    const [command = "", ...args] = [...within, process.execPath, this.#path, ...this.#args];
    const child = spawn(command, args, {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...process.env, ...environment },
    });
    child.stderr?.on(
      "data",
      (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-4096)),
    );
    await once(child, "message", { signal: AbortSignal.timeout(MAX_CASE_MS) }).catch(() => {
      throw new Error(`the child did not start: ${this.#stderr}`);
    });
    return child;
  }
}

/** Runs all cases on some workers; `judge` gets each end in the order in which they come. */
export async function runCases<Case, Verdict>(
  workers: readonly CaseWorker[],
  cases: readonly Case[],
  judge: (oneCase: Case, end: CaseEnd<Verdict>, worker: CaseWorker) => void | Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    workers.map(async (worker) => {
      while (next < cases.length) {
        const oneCase = cases[next++] as Case;
        await judge(oneCase, await worker.run<Verdict>(oneCase), worker);
      }
    }),
  );
}
