import fc from "fast-check";
import { expect, test } from "vitest";

import { concat, hex, u32, u8 } from "../../../src/bytes.ts";
import { setSumKey } from "../../../src/formats/key-schedule.ts";
import { addToSum, setHmac, subtractFromSum } from "../../../src/formats/records/set-sum.ts";
import { counting } from "../changed-bytes.ts";

const kset = setSumKey(counting(0, 32), counting(0xa0, 16));
const term = fc.uint8Array({ minLength: 32, maxLength: 32 });
const big = (bytes: Uint8Array): bigint => BigInt(`0x${hex(bytes)}`);

test("gives the worked term [F-87]", () => {
  expect(hex(setHmac(kset, concat(u8(4), new Uint8Array(16)), counting(0, 16)))).toBe(
    "aefbb490a3df9c5ad0a0308dac853c33b112d20eecfde11f1db9b532cd766d3f",
  );
});

test("key and value cannot change places [F-87]", () => {
  expect(setHmac(kset, Uint8Array.of(4, 1), Uint8Array.of(2))).not.toEqual(
    setHmac(kset, Uint8Array.of(4), Uint8Array.of(1, 2)),
  );
});

test("for all terms, adding and subtracting are those of integers modulo 2^256 [F-88]", () => {
  fc.assert(
    fc.property(term, term, (a, b) => {
      const sum = new Uint8Array(a);
      addToSum(sum, b);
      expect(big(sum)).toBe((big(a) + big(b)) % 2n ** 256n);
      subtractFromSum(sum, b);
      expect(sum).toEqual(a);
    }),
  );
  const ones = new Uint8Array(32).fill(0xff);
  addToSum(ones, concat(new Uint8Array(28), u32(1)));
  expect(big(ones)).toBe(0n);
});

test("sums 30,000 records in far less than ten times 0.2 s", () => {
  const value = counting(1, 200);
  const sum = new Uint8Array(32);
  const start = performance.now();
  for (let i = 0; i < 30_000; i++) addToSum(sum, setHmac(kset, concat(u8(2), u32(i)), value));
  expect(performance.now() - start).toBeLessThan(2000);
});

test("refuses sums and terms of another length", () => {
  expect(() => addToSum(new Uint8Array(31), new Uint8Array(32))).toThrow("sum: expected 32 bytes, got 31");
  expect(() => subtractFromSum(new Uint8Array(32), new Uint8Array(33))).toThrow(RangeError);
});
