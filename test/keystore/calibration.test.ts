import fc from "fast-check";
import { expect, test } from "vitest";
import { assertArgon2Cost } from "../../src/crypto/argon2id.ts";
import { costForRatio } from "../../src/keystore/slots/passphrase.ts";

const MIB = 1024;

test("raises memory first, to 256 MiB at most, then passes", () => {
  const plenty = 16 * 1024 * MIB;
  expect(costForRatio(1, plenty)).toEqual({ memoryKiB: 64 * MIB, passes: 3, lanes: 4 });
  expect(costForRatio(2.5, plenty)).toEqual({ memoryKiB: 160 * MIB, passes: 3, lanes: 4 });
  expect(costForRatio(4, plenty)).toEqual({ memoryKiB: 256 * MIB, passes: 3, lanes: 4 });
  expect(costForRatio(8, plenty)).toEqual({ memoryKiB: 256 * MIB, passes: 6, lanes: 4 });
});

test("takes no more than a quarter of the free memory, and passes instead", () => {
  expect(costForRatio(4, 512 * MIB)).toEqual({ memoryKiB: 128 * MIB, passes: 6, lanes: 4 });
});

test("for every machine, writes a cost that every machine with room for it accepts", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 1e6, noNaN: true }),
      fc.integer({ min: 0, max: 64 * 1024 * MIB }),
      (ratio, availableKiB) => {
        const cost = costForRatio(ratio, availableKiB);
        assertArgon2Cost(cost);
        expect(cost.memoryKiB).toBeLessThanOrEqual(256 * MIB);
        expect(cost.memoryKiB % MIB).toBe(0);
      },
    ),
  );
});
