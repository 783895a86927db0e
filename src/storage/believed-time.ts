/**
 * Which time the database takes from a clock that may be wrong: one that was set back or years ahead must not delete
 * keys. Source: docs/format.md#commit [F-116].
 * @module
 */
import { MS_PER_DAY } from "../limits.ts";
import type { StateRecord } from "../formats/records/tables.ts";

/** A clock that is further ahead of the last change than this is not believed at once. */
const MAX_LEAP_MS = 400 * MS_PER_DAY;
/** How much further on a later session must find it, to believe it. */
const LEAP_CONFIRMED_MS = MS_PER_DAY;
/** What a Date holds, less the longest rotation period and deletion window. */
const LAST_MS = 8_640_000_000_000_000 - 10_000 * MS_PER_DAY;

export interface BelievedTime {
  /** The clock as read, ms since 1970. */
  readonly clockMs: number;
  /** The time of a change at this moment: never before that of the last one. */
  readonly nowMs: number;
  /** The later of `nowMs` and the clock, believed or not, within what a Date holds with the longest waiting time. */
  readonly latestMs: number;
  /** False while the clock is before the last change, or too far ahead: then nothing falls due. */
  readonly isBelieved: boolean;
  /** What the state is to say of a clock too far ahead; undefined when there is nothing to say. */
  readonly leap: number | undefined;
}

/**
 * Judges a clock reading.
 * @param earlierLeap the state's `leap` when this session began: only a later session may confirm it.
 */
export function believedTime(
  clockMs: number,
  { time, leap }: Pick<StateRecord, "time" | "leap">,
  earlierLeap: number | undefined,
): BelievedTime {
  const reading = Math.floor(clockMs);
  if (!Number.isSafeInteger(reading) || reading < time) {
    return { clockMs, nowMs: time, latestMs: time, isBelieved: false, leap: undefined };
  }
  const latestMs = Math.max(time, Math.min(reading, LAST_MS));
  if (reading - time <= MAX_LEAP_MS) {
    return { clockMs, nowMs: reading, latestMs, isBelieved: true, leap: undefined };
  }
  const isConfirmed = leap !== undefined && leap === earlierLeap && reading >= leap + LEAP_CONFIRMED_MS;
  if (isConfirmed) return { clockMs, nowMs: reading, latestMs, isBelieved: true, leap: undefined };
  // A smaller leap takes the place of a larger one, which a wrong clock left and no right clock would ever reach.
  return {
    clockMs,
    nowMs: time,
    latestMs,
    isBelieved: false,
    leap: leap === undefined ? reading : Math.min(leap, reading),
  };
}
