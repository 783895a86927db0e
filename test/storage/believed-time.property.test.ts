import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MS_PER_DAY } from "../../src/limits.ts";
import { believedTime } from "../../src/storage/believed-time.ts";

const time = fc.integer({ min: 0, max: 4_000_000_000_000 });
const maybeTime = fc.option(time, { nil: undefined });
const clock = fc.oneof(time, fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -1));

describe("the time that is believed [F-116]", () => {
  test("never falls, and stands still while the clock is not believed", () => {
    fc.assert(
      fc.property(clock, time, maybeTime, maybeTime, (clockMs, lastMs, leap, earlierLeap) => {
        const state = { time: lastMs, ...(leap !== undefined && { leap }) };
        const { nowMs, isBelieved } = believedTime(clockMs, state, earlierLeap);
        expect(nowMs).toBeGreaterThanOrEqual(lastMs);
        expect(nowMs === lastMs || isBelieved).toBe(true);
        expect(Number.isSafeInteger(nowMs)).toBe(true);
      }),
    );
  });

  test("goes more than 400 days at once only after an earlier session noted a clock at least a day behind this one", () => {
    const days = fc.integer({ min: 0, max: 900 }).map((count) => count * MS_PER_DAY);
    const noted = fc.option(days, { nil: undefined });
    let leaps = 0;
    fc.assert(
      fc.property(days, noted, noted, fc.boolean(), (clockMs, leap, other, isEarlier) => {
        const earlierLeap = isEarlier ? leap : other;
        const { nowMs } = believedTime(
          clockMs,
          { time: 0, ...(leap !== undefined && { leap }) },
          earlierLeap,
        );
        if (nowMs <= 400 * MS_PER_DAY) return;
        leaps++;
        expect(earlierLeap).toBe(leap);
        expect(clockMs - (leap ?? Number.NaN)).toBeGreaterThanOrEqual(MS_PER_DAY);
      }),
      { numRuns: 300 },
    );
    expect(leaps).toBeGreaterThan(0);
  });

  test.each([
    [
      "exactly 400 days ahead is believed",
      400 * MS_PER_DAY,
      undefined,
      undefined,
      { nowMs: 400 * MS_PER_DAY, leap: undefined },
    ],
    [
      "a millisecond more is noted",
      400 * MS_PER_DAY + 1,
      undefined,
      undefined,
      { nowMs: 0, leap: 400 * MS_PER_DAY + 1 },
    ],
    [
      "the smaller of two leaps is kept",
      500 * MS_PER_DAY,
      900 * MS_PER_DAY,
      900 * MS_PER_DAY,
      { nowMs: 0, leap: 500 * MS_PER_DAY },
    ],
    [
      "a leap of this session confirms nothing",
      502 * MS_PER_DAY,
      500 * MS_PER_DAY,
      undefined,
      { nowMs: 0, leap: 500 * MS_PER_DAY },
    ],
    [
      "that of an earlier one does, a day later",
      501 * MS_PER_DAY,
      500 * MS_PER_DAY,
      500 * MS_PER_DAY,
      { nowMs: 501 * MS_PER_DAY, leap: undefined },
    ],
  ])("%s", (_name, clockMs, leap, earlierLeap, expected) => {
    expect(
      believedTime(clockMs, { time: 0, ...(leap !== undefined && { leap }) }, earlierLeap),
    ).toMatchObject(expected);
  });
});
