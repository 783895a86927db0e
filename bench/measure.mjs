/**
 * How the benches measure: medians, and things to be compared in turns. A _line_ is what a bench returns:
 * `{ question, what, value, unit, baseline?, baselineValue?, ratio?, target?: { of: "ratio" | "value", atLeast?, atMost? } }`.
 * @module
 */
import { performance } from "node:perf_hooks";

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values) {
  return quantile(values, 0.5);
}

/** The value that the share `q` of all values is not above, interpolated. */
export function quantile(values, q) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at % 1);
}

/**
 * Runs works in turns, so that what disturbs the machine disturbs all of them.
 * @param {number} rounds that count; one more comes first and warms up, unless `isWarm`. What is to be done before each
 *   work, and does not count, is `before`.
 * @param {Record<string, () => unknown>} works may return a promise, or the seconds that count where not all of it does
 * @returns {Promise<Record<string, number[]>>} seconds of each round, by name
 */
export async function inRounds(rounds, works, { isWarm = false, before } = {}) {
  const took = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
  for (let round = isWarm ? 1 : 0; round <= rounds; round += 1) {
    for (const [name, work] of Object.entries(works)) {
      if (before !== undefined) await before();
      const startedMs = performance.now();
      let result = work();
      if (result instanceof Promise) result = await result;
      const seconds = typeof result === "number" ? result : (performance.now() - startedMs) / 1000;
      if (round > 0) took[name].push(seconds);
    }
  }
  return took;
}

/** The median of each round's own ratio of how long two works took: above 1 where `took` was longer. */
export function ratioOf(took, baselineTook) {
  return median(took.map((seconds, round) => seconds / baselineTook[round]));
}

/** A line of a rate, in MB/s, beside that of a baseline: the ratio is above 1 where Coffer is faster. */
export function rateLine({ question, what, bytes, took, baseline, baselineTook, target }) {
  const rate = (seconds) => bytes / 1e6 / median(seconds);
  return {
    question,
    what,
    value: rate(took),
    unit: "MB/s",
    ...(baseline !== undefined && {
      baseline,
      baselineValue: rate(baselineTook),
      ratio: ratioOf(baselineTook, took),
    }),
    ...(target !== undefined && { target: { of: "ratio", atLeast: target } }),
  };
}

/** A line of a time, in microseconds, beside that of a baseline: the ratio is above 1 where Coffer is slower. */
export function timeLine({ question, what, took, baseline, baselineTook, target, times = 1 }) {
  return {
    question,
    what,
    value: (median(took) * 1e6) / times,
    unit: "us",
    ...(baseline !== undefined && {
      baseline,
      baselineValue: (median(baselineTook) * 1e6) / times,
      ratio: ratioOf(took, baselineTook),
    }),
    ...(target !== undefined && { target }),
  };
}

/** Makes a work of many calls of one. Nothing is awaited where nothing is promised. */
export function repeated(calls, work) {
  return async () => {
    for (let call = 0; call < calls; call += 1) {
      const result = work();
      if (result instanceof Promise) await result;
    }
  };
}

/** 1024 as `1 KiB`, and so on; only for whole units. */
export function sizeText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  let size = bytes;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${size} ${units[unit]}`;
}
