/**
 * Reads a database that may be rotten or made to do harm: LevelDB runs in a process of its own, which holds no key,
 * on a copy. LevelDB reads without checking its checksums, and some damaged tables end the process that reads them.
 * @module
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { DatabaseAnswer, DatabaseStep, DatabaseTask } from "./database-child.ts";
import type { StoreEntry } from "./store.ts";

/** How reading a database ended. */
export type DatabaseOutcome =
  | { readonly outcome: "read" }
  | { readonly outcome: "refused"; readonly step: DatabaseStep }
  /** The process ended by itself: by a signal such as `SIGABRT`, or with this exit code. */
  | { readonly outcome: "crashed"; readonly step: DatabaseStep; readonly end: string }
  /** The process said nothing for the time limit, and was ended. */
  | { readonly outcome: "silent"; readonly step: DatabaseStep }
  /** This runtime does not start processes. */
  | { readonly outcome: "not-started" };

export interface UntrustedDatabaseOptions {
  /** Given raw records in key order, a bounded batch at a time. What it throws ends the process and is passed on. */
  readonly take: (entries: readonly StoreEntry[]) => void;
  /** The built child script. @defaultValue the one of this package */
  readonly script?: URL;
  /** How long the process may say nothing, in milliseconds. @defaultValue 60,000 */
  readonly timeLimitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const TIME_LIMIT_MS = 60_000;
const MAX_ENTRIES = 1024;
const MAX_ENTRY_BYTES = 65_536;

/** What a process needs of its environment, and nothing that an application may keep there. */
const ENVIRONMENT = ["PATH", "SystemRoot", "windir", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH"] as const;

/**
 * Reads all records of the database in `directory`, a copy that LevelDB may rewrite.
 * @throws whatever `take` throws, and `signal.reason` of an abort; the process is ended then.
 */
export async function readUntrustedDatabase(
  directory: string,
  options: UntrustedDatabaseOptions,
): Promise<DatabaseOutcome> {
  options.signal?.throwIfAborted();
  const script = options.script ?? new URL("./database-child.js", import.meta.url);
  const timeLimitMs = options.timeLimitMs ?? TIME_LIMIT_MS;
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(script), [], {
      serialization: "advanced",
      execArgv: [],
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      env: environment(),
    });
    let step: DatabaseStep = "load";
    let timer: NodeJS.Timeout | undefined;
    const finish = (settle: () => void, isGone = false): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      child.removeAllListeners("message").removeAllListeners("close");
      if (isGone) return settle();
      // Whoever waits for the answer removes the copy next: nobody may be at it any more.
      child.once("close", settle);
      child.kill("SIGKILL");
    };
    const end = (outcome: DatabaseOutcome, isGone = false): void => finish(() => resolve(outcome), isGone);
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => end({ outcome: "silent", step }), timeLimitMs);
    };
    const abort = (): void => finish(() => reject(options.signal?.reason as Error));
    options.signal?.addEventListener("abort", abort);
    child.once("error", () => end({ outcome: "not-started" }, true));
    // Comes after every message that the process has sent.
    child.once("close", (code, signal) =>
      end({ outcome: "crashed", step, end: signal ?? `exit code ${String(code)}` }, true),
    );
    child.on("message", (message) => {
      try {
        wait();
        if (!isAnswer(message)) return end({ outcome: "crashed", step, end: "a malformed answer" });
        const answer = message;
        if (answer.kind === "loaded") {
          step = "open";
        } else if (answer.kind === "entries") {
          step = "read";
          const entries = entriesOf(answer.entries);
          if (entries === undefined) return end({ outcome: "crashed", step, end: "a malformed answer" });
          options.take(entries);
          child.send("next", ignore);
        } else {
          end(
            answer.kind === "end" ? { outcome: "read" } : { outcome: "refused", step: stepOf(answer.step) },
          );
        }
      } catch (error) {
        finish(() => reject(error));
      }
    });
    wait();
    const task: DatabaseTask = { directory };
    child.send(task, ignore);
  });
}

/** A process that has ended before it reads a message says so by "close". */
function ignore(): void {}

function environment(): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = {};
  for (const name of ENVIRONMENT) if (process.env[name] !== undefined) kept[name] = process.env[name];
  return kept;
}

/** A process that LevelDB was taken over in may say anything: nothing but bounded byte arrays passes. */
function isAnswer(message: unknown): message is DatabaseAnswer {
  if (typeof message !== "object" || message === null) return false;
  return ["loaded", "entries", "end", "refused"].includes(String((message as { kind?: unknown }).kind));
}

function entriesOf(value: unknown): StoreEntry[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) return undefined;
  const entries: StoreEntry[] = [];
  for (const entry of value as readonly unknown[]) {
    const [key, bytes] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (!isBounded(key) || !isBounded(bytes)) return undefined;
    entries.push([new Uint8Array(key), new Uint8Array(bytes)]);
  }
  return entries;
}

function isBounded(bytes: unknown): bytes is Uint8Array {
  return bytes instanceof Uint8Array && bytes.length <= MAX_ENTRY_BYTES;
}

function stepOf(step: unknown): DatabaseStep {
  return step === "load" || step === "open" ? step : "read";
}
