/**
 * Every call of a simulated disk made to fail, one after another: once, and from then on.
 *
 * Each call fails with EIO, and every second one in one of the other ways in turn; in soak, in every way.
 * @module
 */
import { expect } from "vitest";
import { isCofferError } from "../../src/errors.ts";
import { isSoak } from "../field/scale.ts";
import type { Fault, SimulatedDisk } from "./simulated-disk.ts";

const CODES = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EBUSY", "EMFILE", "ENOENT"] as const;
const FAULTS: readonly Fault[] = ["short", ...["EIO", ...CODES].map((code) => ({ code }))];

/** What was tried: the n-th call fails, alone or with all that follow. */
export interface Trial {
  readonly fault: Fault;
  readonly nth: number;
  readonly isPersistent: boolean;
}

/** Arms a disk. @returns whether the fault has come about. */
function arm(disk: SimulatedDisk, { fault, nth, isPersistent }: Trial): () => string | undefined {
  let calls = 0;
  let first: string | undefined;
  disk.faults = (call, path) => {
    // Only these can do less than asked and say so.
    if (fault === "short" && call !== "file read" && call !== "file write") return undefined;
    calls++;
    if (calls < nth || (calls > nth && !isPersistent)) return undefined;
    first ??= `${call} ${path}`;
    return fault;
  };
  return () => {
    disk.faults = () => undefined;
    return first;
  };
}

/** Every fault, alone and for good, but for the one of which every call gets its own trial. */
const COMBINATIONS = FAULTS.flatMap((fault) => [
  { fault, isPersistent: true },
  { fault, isPersistent: false },
]);

function trials(nth: number): readonly Trial[] {
  const inTurn = COMBINATIONS[
    (Math.ceil(nth / 2) * 7) % COMBINATIONS.length
  ] as (typeof COMBINATIONS)[number];
  const some = [{ fault: { code: "EIO" }, isPersistent: false }, ...(nth % 2 === 1 ? [inTurn] : [])];
  return (isSoak ? COMBINATIONS : some).map((combination) => ({ ...combination, nth }));
}

export type Settled<T> = { readonly value: T } | { readonly error: unknown };

export async function settled<T>(performed: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await performed };
  } catch (error) {
    return { error };
  }
}

/**
 * Tries an operation with every fault at the first call, the second, and so on until it has no more calls.
 * @param attempt performs it on a disk that `arm` has not armed yet, and checks what came of it.
 * @param stride how many calls further each next one lies, unless every way is tried.
 * @returns how many faults there were.
 */
export async function tryAll(
  attempt: (arm: (disk: SimulatedDisk) => () => string | undefined, trial: Trial) => Promise<void>,
  stride = 1,
): Promise<number> {
  let tried = 0;
  for (let nth = 1, isOver = false; !isOver; nth += isSoak ? 1 : stride) {
    isOver = true;
    for (const trial of trials(nth)) {
      let fired: string | undefined;
      const name = (): string =>
        `${trial.fault === "short" ? "short" : trial.fault.code} ${trial.isPersistent ? "from" : "at"} call ${nth}, ${fired}`;
      try {
        await attempt((disk) => {
          const disarm = arm(disk, trial);
          return () => (fired = disarm());
        }, trial);
      } catch (error) {
        throw new Error(`${name()}: ${String(error)}`, { cause: error });
      }
      if (fired === undefined) continue;
      isOver = false;
      tried++;
    }
  }
  return tried;
}

export function expectTyped(outcome: Settled<unknown>): void {
  if ("error" in outcome) expect(isCofferError(outcome.error), String(outcome.error)).toBe(true);
}
