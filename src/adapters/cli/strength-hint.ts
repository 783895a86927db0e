/**
 * Says how long somebody with a copy of a vault or file would guess at a new passphrase. Told once, on the terminal
 * where it was typed, and refuses nothing.
 * @module
 */
import { Worker } from "node:worker_threads";

/** What a vault's passphrase is calibrated to on the machine that makes it. */
const GUESS_SECONDS = 0.5;
/** Machines of somebody who means it: what they need decides about the word. */
const MACHINES = 1000;
/** After which it is not waited for any longer. */
const MAX_WAIT_MS = 5000;

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;
const UNITS: readonly (readonly [seconds: number, name: string])[] = [
  [YEAR, "years"],
  [DAY, "days"],
  [HOUR, "hours"],
  [MINUTE, "minutes"],
];
/** Beyond it a number says nothing any more. */
const MANY_YEARS = 1000;

const BANDS: readonly (readonly [seconds: number, word: string])[] = [
  [DAY, "very weak"],
  [YEAR, "weak"],
  [100 * YEAR, "fair"],
];

/** Rates one passphrase. Begins to load its word lists when it is made: while the passphrase is being typed. */
export class StrengthEstimator {
  readonly #worker: Worker | undefined = startWorker();
  readonly #ended: Promise<undefined>;

  constructor() {
    this.#ended = new Promise((resolve) => {
      if (this.#worker === undefined) return resolve(undefined);
      this.#worker.once("error", () => resolve(undefined));
      this.#worker.once("exit", () => resolve(undefined));
    });
  }

  /**
   * Returns the hint, once. Takes the passphrase's memory over; the thread wipes it. Says so where there is no
   * estimator, or no answer in five seconds. @throws the signal's reason.
   */
  async hint(passphrase: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<string> {
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(MAX_WAIT_MS)]);
    const answered = new Promise<number | undefined>((resolve) => {
      this.#worker?.once("message", resolve);
      timeout.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    this.#worker?.postMessage(passphrase, [passphrase.buffer]);
    const guessesLog10 = await Promise.race([answered, this.#ended]);
    // Still here where there is no thread to take it.
    if (passphrase.length > 0) passphrase.fill(0);
    signal.throwIfAborted();
    return guessesLog10 === undefined ? NOT_RATED : hintOf(guessesLog10);
  }

  /** Ends the thread, and with it all that it knows. */
  async end(): Promise<void> {
    await this.#worker?.terminate();
  }
}

/** Undefined where a process may have no threads, as under Node's permission model: that must refuse no passphrase. */
function startWorker(): Worker | undefined {
  try {
    // What it would print may hold a part of the passphrase.
    const output = { stdout: true, stderr: true };
    const url = new URL("./strength-worker.js", import.meta.url);
    return new Worker(url, { name: "coffer-strength", execArgv: [], ...output });
  } catch {
    return undefined;
  }
}

const NOT_RATED = "The passphrase's strength could not be estimated here; it is used as it is.";

/** Returns what so many guesses, as a power of ten, mean for a person. */
export function hintOf(guessesLog10: number): string {
  const seconds = 10 ** guessesLog10 * GUESS_SECONDS;
  const word = BANDS.find(([limit]) => seconds / MACHINES < limit)?.[1];
  if (word === undefined) {
    return `Estimated strength: strong. A thousand machines like this guess at it for ${timeOf(seconds / MACHINES)}.`;
  }
  return `Estimated strength: ${word}. From a copy, one machine like this guesses it in ${timeOf(seconds)}, a thousand in ${timeOf(seconds / MACHINES)}. It is used all the same; more words, drawn at random, make it strong.`;
}

function timeOf(seconds: number): string {
  if (seconds > MANY_YEARS * YEAR) return `more than ${MANY_YEARS.toLocaleString("en")} years`;
  for (const [unit, name] of UNITS) {
    const count = Math.round(seconds / unit);
    if (seconds >= unit) return count === 1 ? `about 1 ${name.slice(0, -1)}` : `about ${count} ${name}`;
  }
  return "less than a minute";
}
