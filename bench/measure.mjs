/**
 * How the benches measure: medians, and two things to be compared in turns.
 * @module
 */
import { performance } from "node:perf_hooks";

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Runs two works in turns, so that what disturbs the machine disturbs both, and times each turn as a whole.
 * The ratio is the median of each round's own ratio.
 * @param {{ rounds: number, callsPerRound: number }} counts
 * @param {() => unknown} work one call; may return a promise
 * @param {() => unknown} baseline one call
 * @returns {Promise<{ microseconds: number, baselineMicroseconds: number, ratio: number }>} medians of one call each
 */
export async function inTurns({ rounds, callsPerRound }, work, baseline) {
  const own = [];
  const other = [];
  // The first round warms both up.
  for (let round = 0; round <= rounds; round += 1) {
    const otherTook = await timeCalls(callsPerRound, baseline);
    const ownTook = await timeCalls(callsPerRound, work);
    if (round === 0) continue;
    own.push(ownTook);
    other.push(otherTook);
  }
  return {
    microseconds: median(own),
    baselineMicroseconds: median(other),
    ratio: median(own.map((took, round) => took / other[round])),
  };
}

/** Returns the microseconds of one call. Nothing is awaited where nothing is promised. */
async function timeCalls(calls, work) {
  const startedMs = performance.now();
  for (let call = 0; call < calls; call += 1) {
    const result = work();
    if (result instanceof Promise) await result;
  }
  return ((performance.now() - startedMs) * 1000) / calls;
}

/** Returns the median milliseconds of one call; `work` times itself. */
export async function medianOf(rounds, work) {
  const took = [];
  await work();
  for (let round = 0; round < rounds; round += 1) took.push(await work());
  return median(took);
}
