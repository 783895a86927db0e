/**
 * Starts a token helper for one task and talks to it. One helper per module runs at a time: the end of one can reset
 * the card under another. Time limit, abort and a bad answer end the process, whatever its module is doing.
 * @module
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { CofferError } from "../../../errors.ts";
import { helperEnvironment } from "./helper-environment.ts";
import {
  type HelperMessage,
  type HelperReply,
  type HelperRequest,
  type HelperTask,
  type PinQuestion,
  type TokenCriteria,
  type TokenFacts,
} from "./helper-protocol.ts";
import { helperMessage } from "./helper-message.ts";
import { findModule } from "./module-path.ts";
import { errorOf, tokenError } from "./token-errors.ts";

/** A process that runs the token helper. Messages are structured clones. */
export interface SpawnedHelper {
  readonly send: (message: unknown) => void;
  readonly onMessage: (listener: (message: unknown) => void) => void;
  /** Called once, when the process is gone or could not be started; with its exit code or signal, if it is known. */
  readonly onExit: (listener: (end?: number | string | null) => void) => void;
  /** Ends the process whatever it is doing. */
  readonly kill: () => void;
}

/** Starts the helper's script as a process of its own, with exactly this environment and no arguments. */
export type SpawnHelper = (start: {
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
}) => SpawnedHelper;

/** How a helper is started, and for what token. */
export interface HelperSettings {
  readonly module: string;
  readonly moduleParameters?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly criteria: TokenCriteria;
  readonly timeoutMs: number;
  readonly spawnHelper?: SpawnHelper | undefined;
  /** The built script, for tests. @defaultValue the one beside this file */
  readonly script?: string | undefined;
}

/** The caller's side of a task. */
export interface HelperTalk {
  /** Returns the PIN, which is wiped. What it throws ends the task. @param signal aborts when nobody needs it any more. */
  readonly pin: (question: PinQuestion, signal: AbortSignal) => Promise<Uint8Array>;
  /** Returns the exchange to try, or nothing where it shall not be tried: the task then ends with this message. */
  readonly found?: (found: FoundMessage) => Uint8Array | undefined;
  readonly operating?: (token: TokenFacts) => void;
  readonly waiting?: (token: TokenFacts) => void;
}

export type FoundMessage = Extract<HelperMessage, { kind: "found" }>;
/** How a task ends well. */
export type HelperResult = Extract<
  HelperMessage,
  { kind: "secret" | "wrapped" | "absent" | "tokens" | "found" }
>;

/** A token that takes longer wants to be touched. */
const TOUCH_MS = 700;
/** Log out, finalize, exit: what is left after the answer. */
const END_MS = 2000;
/** A hook that never tells of the end must not hold everything up. */
const GONE_MS = 5000;
const MS_PER_SECOND = 1000;

const MALFORMED = { kind: "failed", stage: "find", problem: "malformed" } as const;

const turns = new Map<string, Promise<void>>();

/**
 * Performs a task in a new helper.
 * @throws TokenError for what the helper reports. @throws CofferError `COFFER_TIMEOUT`; `signal.reason`.
 */
export async function runHelper(
  settings: HelperSettings,
  task: HelperTask,
  talk: HelperTalk,
  signal?: AbortSignal,
): Promise<HelperResult> {
  signal?.throwIfAborted();
  const canonical = await findModule(settings.module);
  return inTurn(canonical, signal, () => {
    signal?.throwIfAborted();
    return converse(settings, task, talk, signal);
  });
}

async function inTurn<T>(
  module: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const before = turns.get(module) ?? Promise.resolve();
  let end = (): void => undefined;
  const mine = new Promise<void>((resolve) => (end = resolve));
  const after = before.then(() => mine);
  turns.set(module, after);
  try {
    await untilAborted(before, signal);
    return await work();
  } finally {
    end();
    if (turns.get(module) === after) turns.delete(module);
  }
}

async function untilAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  const settled = new AbortController();
  const aborted = new Promise<void>((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true, signal: settled.signal }),
  );
  try {
    await Promise.race([promise, aborted]);
  } finally {
    settled.abort();
  }
  signal.throwIfAborted();
}

function converse(
  settings: HelperSettings,
  task: HelperTask,
  talk: HelperTalk,
  signal: AbortSignal | undefined,
): Promise<HelperResult> {
  const { module, moduleParameters, criteria, timeoutMs } = settings;
  return new Promise((resolve, reject) => {
    const helper = start(settings);
    const over = new AbortController();
    let isGone = false;
    let isOver = false;
    let limit: NodeJS.Timeout | undefined;
    let touch: NodeJS.Timeout | undefined;
    let whenGone = (): void => undefined;

    /** The promise settles when the process is gone: the next one may use the module then. */
    const finish = (settle: () => void, graceMs: number): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(limit);
      clearTimeout(touch);
      signal?.removeEventListener("abort", abort);
      over.abort();
      if (isGone) return settle();
      const kill = setTimeout(() => helper.kill(), graceMs);
      const giveUp = setTimeout(() => whenGone(), graceMs + GONE_MS);
      whenGone = () => {
        clearTimeout(kill);
        clearTimeout(giveUp);
        whenGone = () => undefined;
        settle();
      };
    };
    const fail = (error: unknown, graceMs = 0): void => finish(() => reject(error), graceMs);
    const abort = (): void => fail(signal?.reason);
    const wait = (): void => {
      clearTimeout(limit);
      limit = setTimeout(() => fail(timeoutError(timeoutMs)), timeoutMs);
    };
    const post = (message: HelperRequest | HelperReply): void => {
      try {
        helper.send(message);
      } catch {
        // One that has ended says so by its exit.
      }
    };

    const answer = async (message: HelperMessage): Promise<void> => {
      switch (message.kind) {
        case "pin": {
          // A person's time is their own.
          clearTimeout(limit);
          const pin = await talk.pin(message, over.signal);
          if (!isOver) {
            post({ kind: "pin", pin });
            wait();
          }
          pin.fill(0);
          return;
        }
        case "found": {
          const exchange = talk.found?.(message);
          if (exchange === undefined) return finish(() => resolve(message), 0);
          return post({ kind: "exchange", exchange });
        }
        case "operating":
          tell(talk.operating, message.token);
          clearTimeout(touch);
          touch = setTimeout(() => tell(talk.waiting, message.token), TOUCH_MS);
          return;
        case "failed":
          return fail(tokenError(message), END_MS);
        case "ended":
          return fail(tokenError(MALFORMED));
        default:
          return finish(() => resolve(message), END_MS);
      }
    };

    helper.onExit((end) => {
      isGone = true;
      if (isOver) whenGone();
      else fail(crashError(end));
    });
    helper.onMessage((value) => {
      const message = helperMessage(value);
      // Electron's processes do not end by themselves.
      if (isOver && message?.kind === "ended") helper.kill();
      if (isOver) return;
      if (message === undefined) return fail(tokenError(MALFORMED));
      wait();
      answer(message).catch(fail);
    });
    signal?.addEventListener("abort", abort);
    wait();
    post({ module, moduleParameters, criteria, task });
  });
}

function start({ spawnHelper = forkHelper, script, env }: HelperSettings): SpawnedHelper {
  return spawnHelper({
    script: script ?? fileURLToPath(new URL("./token-helper-child.js", import.meta.url)),
    env: helperEnvironment(env),
  });
}

const forkHelper: SpawnHelper = ({ script, env }) => {
  const child = fork(script, [], {
    serialization: "advanced",
    execArgv: [],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    env,
  });
  return {
    send: (message) => void child.send(message as object, () => undefined),
    onMessage: (listener) => void child.on("message", listener),
    onExit: (listener) => {
      child.once("error", () => listener("not started"));
      // Comes after every message that the process has sent.
      child.once("close", (code, signal) => listener(signal ?? code));
    },
    kill: () => void child.kill("SIGKILL"),
  };
};

/** What an application does with an event must not fail the unlock. */
function tell(listener: ((token: TokenFacts) => void) | undefined, token: TokenFacts): void {
  if (listener !== undefined) queueMicrotask(() => listener(token));
}

function crashError(end: number | string | null | undefined): CofferError {
  return errorOf(
    "COFFER_PKCS11_MODULE_CRASHED",
    "The PKCS#11 module, or the process that it ran in, ended without an answer. Try again; if it happens again, update the module, and use another way in.",
    { end: String(end ?? "unknown") },
  );
}

function timeoutError(timeoutMs: number): CofferError {
  const seconds = Math.round(timeoutMs / MS_PER_SECOND);
  return errorOf(
    "COFFER_TIMEOUT",
    `The token did not answer within ${seconds} s. It may stay busy for some seconds more; then try again, or use another way in.`,
    { timeoutMs },
  );
}
