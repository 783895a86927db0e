import fc from "fast-check";
import { expect, test } from "vitest";
import { compare, hex, u32 } from "../../src/bytes.ts";
import { RecordIndex } from "../../src/storage/record-index.ts";

// Keys of two bytes after the table's: collisions, prefixes and neighbours are then common.
const key = fc
  .tuple(fc.constantFrom(2, 3), fc.nat(40), fc.nat(3))
  .map(([table, a, b]) => Uint8Array.of(table, a, b));
const change = fc.record({ key, value: fc.option(fc.nat()) });

function hmacOf(value: number): Uint8Array {
  const hmac = new Uint8Array(32);
  hmac.set(u32(value % 2 ** 32));
  return hmac;
}

test("for every sequence of changes, answers as a plain sorted map does", () => {
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 120 }),
      fc.array(
        fc.tuple(key, fc.option(key), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 30 })),
      ),
      (changes, queries) => {
        const index = new RecordIndex();
        const model = new Map<string, { key: Uint8Array; hmac: Uint8Array }>();
        for (const { key: at, value } of changes) {
          if (value === null) {
            index.delete(at);
            model.delete(hex(at));
          } else {
            index.set(at, hmacOf(value));
            model.set(hex(at), { key: at, hmac: hmacOf(value) });
          }
        }
        const sorted = [...model.values()].sort((a, b) => compare(a.key, b.key));
        for (const table of [2, 3]) {
          expect(index.count(table)).toBe(sorted.filter((entry) => entry.key[0] === table).length);
        }
        for (const { key: at, hmac } of sorted) expect(index.get(at)).toEqual(hmac);
        for (const [around, after, prefixBytes, limit] of queries) {
          const prefix = around.subarray(0, prefixBytes);
          const expected = sorted
            .filter(({ key: at }) => compare(at.subarray(0, prefixBytes), prefix) === 0)
            .filter(({ key: at }) => after === null || compare(at, after) > 0)
            .slice(0, limit);
          const found = index.keys({ prefix, after: after ?? undefined, limit });
          expect(found.map(hex)).toEqual(expected.map((entry) => hex(entry.key)));
          expect(index.get(around)).toEqual(model.get(hex(around))?.hmac);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("keeps every record through folding, in any order of arrival", () => {
  const index = new RecordIndex();
  const total = 5000;
  const at = (i: number): Uint8Array => Uint8Array.of(4, ...u32(Math.imul(i, 2654435761) >>> 0), 7);
  for (let i = 0; i < total; i++) index.set(at(i), hmacOf(i));
  for (let i = 0; i < total; i += 3) index.delete(at(i));
  for (let i = 0; i < total; i += 5) index.set(at(i), hmacOf(i + 1));
  for (let i = 0; i < total; i++) {
    const expected = i % 5 === 0 ? hmacOf(i + 1) : i % 3 === 0 ? undefined : hmacOf(i);
    expect(index.get(at(i))).toEqual(expected);
  }
  const listed = index.keys({ prefix: Uint8Array.of(4) });
  expect(listed.length).toBe(index.count(4));
  expect(listed.map(hex)).toEqual(listed.map(hex).sort());
});
