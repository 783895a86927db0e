/**
 * A sum of records tells which of them it was taken of: of an older record and the one that took its place, it has the
 * second. Source: docs/format.md#set-sums.
 * @module
 */
import { equal } from "../bytes.ts";
import { addToSum, SET_SUM_BYTES } from "../formats/records/set-sum.ts";

/** Ways to choose that are tried; each costs an addition of 32 bytes. */
const MAX_WAYS = 65_536;

/**
 * Returns the index of one term of each group, so that together they make up the sum.
 * @returns undefined when none do, or there are too many ways.
 */
export function keptBySum(
  sum: Uint8Array,
  groups: readonly (readonly Uint8Array[])[],
): readonly number[] | undefined {
  if (groups.reduce((ways, { length }) => ways * length, 1) > MAX_WAYS) return undefined;
  const search = (at: number, reached: Uint8Array): readonly number[] | undefined => {
    const terms = groups[at];
    if (terms === undefined) return equal(reached, sum) ? [] : undefined;
    for (const [index, term] of terms.entries()) {
      const next = reached.slice();
      addToSum(next, term);
      const rest = search(at + 1, next);
      if (rest !== undefined) return [index, ...rest];
    }
    return undefined;
  };
  return search(0, new Uint8Array(SET_SUM_BYTES));
}
