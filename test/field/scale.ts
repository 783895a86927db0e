/**
 * How much the field tests do, with which seed, and where they say what they found. `npm test` takes a seeded
 * sample; `npm run soak` sets these variables:
 * - `COFFER_SOAK`: a share in (0, 1] of the full numbers;
 * - `COFFER_SEED`: the seed, printed with every result;
 * - `COFFER_SOAK_RESULTS`: a file that gets one line of JSON for each result.
 * @module
 */
import { appendFileSync } from "node:fs";

const share: number | undefined = shareIn(process.env["COFFER_SOAK"]);

/** True when the full numbers, or a share of them, were asked for. */
export const isSoak: boolean = share !== undefined;

/** The seed of this run. */
export const SEED: number = Number(process.env["COFFER_SEED"] ?? 1);

/** How long one test may take, in milliseconds. */
export const TEST_TIMEOUT_MS: number = isSoak ? 86_400_000 : 60_000;

/** Returns how often to do something: `sample` in `npm test`, a share of `full` in soak. */
export function times(sample: number, full: number): number {
  return share === undefined ? sample : Math.max(sample, Math.round(full * share));
}

/** Returns all of `items` in soak, a share of them if so asked, else `sample` of them, chosen by the seed. */
export function sampleOf<T>(items: readonly T[], sample: number, random: () => number): T[] {
  const wanted = times(Math.min(sample, items.length), items.length);
  if (wanted >= items.length) return [...items];
  const rest = [...items];
  for (let index = 0; index < wanted; index++) {
    const other = index + Math.floor(random() * (rest.length - index));
    [rest[index], rest[other]] = [rest[other] as T, rest[index] as T];
  }
  return rest.slice(0, wanted);
}

/** Prints a result, and in soak writes it down. */
export function report(test: string, result: Readonly<Record<string, unknown>>): void {
  const line = JSON.stringify({ test, seed: SEED, share: share ?? "sample", ...result });
  process.stdout.write(`${line}\n`);
  const path = process.env["COFFER_SOAK_RESULTS"];
  if (path !== undefined) appendFileSync(path, `${line}\n`);
}

function shareIn(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!(value > 0 && value <= 1))
    throw new RangeError(`COFFER_SOAK: expected a share in (0, 1], got ${text}`);
  return value;
}
