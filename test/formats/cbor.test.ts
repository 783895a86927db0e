import * as cborg from "cborg";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { concat, fromHex, hex } from "../../src/bytes.ts";
import { MalformedError } from "../../src/crypto/failures.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../../src/formats/cbor.ts";
import { everyByteChanged, everyPrefix, thrownBy } from "./changed-bytes.ts";

const strict: cborg.DecodeOptions = {
  strict: true,
  rejectDuplicateMapKeys: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  useMaps: true,
};

const scalar: fc.Arbitrary<CborValue> = fc.oneof(
  fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  fc.constantFrom(0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
  fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()),
  fc.uint8Array({ maxLength: 40 }),
  fc.boolean(),
);
const keys = fc.oneof(fc.constantFrom("__proto__", "constructor", "id", ""), fc.string({ maxLength: 30 }));
const container = (item: fc.Arbitrary<CborValue>): fc.Arbitrary<CborValue> =>
  fc.oneof(
    item,
    fc.array(item, { maxLength: 5 }),
    fc.array(fc.tuple(keys, item), { maxLength: 5 }).map((pairs) => new Map(pairs)),
  );
const anyValue = container(container(container(scalar)));

const sample = encodeCbor(
  new Map<string, CborValue>([
    ["name", "alias/Apollo"],
    ["created", 1_700_000_000_000],
    ["sets", new Map([["02", [3, Uint8Array.of(1, 2, 3)]]])],
    ["on", true],
  ]),
);

test("for every value, decoding gives it back, and encoding equals the oracle's bytes [F-70] [F-72]", () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      const bytes = encodeCbor(value);
      expect(decodeCbor(bytes)).toEqual(value);
      expect(hex(bytes)).toBe(hex(cborg.encode(value)));
      expect(cborg.decode(bytes, strict)).toEqual(value);
    }),
    { numRuns: 500 },
  );
});

test("writes the documented bytes, keys sorted by their encoded form [F-70] [F-71]", () => {
  const value = new Map<string, CborValue>([
    ["aa", 1],
    ["b", 2 ** 32],
    ["a", [false, Uint8Array.of(7), "ü"]],
  ]);
  expect(hex(encodeCbor(value))).toBe("a3616183f4410762c3bc61621b000000010000000062616101");
});

test("every byte changed means another value with those bytes, or is refused; every prefix is refused [F-74]", () => {
  for (const { bytes } of everyByteChanged(sample)) {
    const error = thrownBy(() => expect(hex(encodeCbor(decodeCbor(bytes)))).toBe(hex(bytes)));
    if (error !== undefined) expect(error).toBeInstanceOf(MalformedError);
  }
  for (const bytes of everyPrefix(sample)) expect(() => decodeCbor(bytes)).toThrow(MalformedError);
  expect(() => decodeCbor(concat(sample, Uint8Array.of(0)))).toThrow(MalformedError);
});

test("for arbitrary bytes, what is accepted is canonical and the strict oracle accepts it too [F-74]", () => {
  const byte = fc.constantFrom(
    0x00,
    0x17,
    0x18,
    0x19,
    0x1b,
    0x20,
    0x40,
    0x41,
    0x60,
    0x61,
    0x62,
    0x80,
    0x82,
    0xa1,
    0xa2,
    0xc0,
    0xf4,
    0xf6,
    0xff,
  );
  const bytesArbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.array(byte, { maxLength: 12 }).map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(bytesArbitrary, (bytes) => {
      let value: CborValue;
      try {
        value = decodeCbor(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError);
        return;
      }
      expect(encodeCbor(value)).toEqual(bytes);
      expect(cborg.decode(bytes, strict)).toEqual(value);
    }),
    { numRuns: 3000 },
  );
});

describe("hostile bytes are refused within 50 ms and 16 MiB [F-73] [F-74] [F-75]", () => {
  const nested = (head: number, count: number): Uint8Array => new Uint8Array(count).fill(head);
  const cases: [string, Uint8Array][] = [
    ["an array of 2^32 - 1 items", fromHex("9affffffff")],
    ["an array of 2^64 - 1 items", fromHex("9bffffffffffffffff")],
    ["a map of 2^53 - 1 pairs", fromHex("bb001fffffffffffff")],
    ["bytes of 2^32 length", fromHex("5b0000000100000000")],
    ["text of 2^53 length", fromHex("7b0020000000000000")],
    [
      "nested arrays that each claim the rest",
      concat(
        ...Array.from({ length: 5000 }, (_, i) =>
          Uint8Array.of(0x99, (16_000 - 3 * i) >> 8, (16_000 - 3 * i) & 255),
        ),
      ),
    ],
    ["depth 16,000", nested(0x81, 16_000)],
    ["depth 200,000", nested(0x81, 200_000)],
    ["depth 5", fromHex("818181818100")],
    ["maps to depth 5", fromHex("a16161a16161a16161a16161a1616100")],
    ["4,097 items", concat(fromHex("991000"), new Uint8Array(4096))],
    ["16,384 bytes", concat(fromHex("593ffd"), new Uint8Array(16_381))],
    ["an indefinite array", fromHex("9f00ff")],
    ["an indefinite map", fromHex("bf616100ff")],
    ["indefinite text", fromHex("7f6161ff")],
    ["indefinite bytes", fromHex("5f4100ff")],
    ["a repeated key", fromHex("a2616100616101")],
    ["keys out of order", fromHex("a2616200616101")],
    ["a longer key first", fromHex("a262616100616201")],
    ["a number as a key", fromHex("a10000")],
    ["bytes as a key", fromHex("a1416100")],
    ["an integer in two bytes that fits one", fromHex("1817")],
    ["an integer in three bytes that fits two", fromHex("1900ff")],
    ["an integer in five bytes that fits three", fromHex("1a0000ffff")],
    ["an integer in nine bytes that fits five", fromHex("1b00000000ffffffff")],
    ["2^53", fromHex("1b0020000000000000")],
    ["a length in two bytes that fits one", fromHex("580100")],
    ["a reserved head", fromHex("1c")],
    ["a negative integer", fromHex("20")],
    ["a tag", fromHex("c100")],
    ["a record tag of cbor-x", fromHex("d9df7000")],
    ["a shared reference", fromHex("d81c80")],
    ["null", fromHex("f6")],
    ["undefined", fromHex("f7")],
    ["a simple value", fromHex("f0")],
    ["true in two bytes", fromHex("f815")],
    ["a half float", fromHex("f93c00")],
    ["a double", fromHex("fb3ff0000000000000")],
    ["a lone break", fromHex("ff")],
    ["text that is not UTF-8", fromHex("61ff")],
    ["text with a surrogate", fromHex("63eda080")],
    ["a key that is not UTF-8", fromHex("a161ff00")],
    ["nothing", new Uint8Array()],
    ["two items", fromHex("0000")],
  ];

  test.each(cases)("%s", (_, bytes) => {
    const memory = process.memoryUsage();
    const start = performance.now();
    expect(thrownBy(() => decodeCbor(bytes))).toBeInstanceOf(MalformedError);
    // Ten times the bound: a guard against hangs and bombs, on machines that do other work too.
    expect(performance.now() - start).toBeLessThan(500);
    const after = process.memoryUsage();
    expect(after.heapUsed + after.arrayBuffers - memory.heapUsed - memory.arrayBuffers).toBeLessThan(2 ** 24);
  });
});

test("takes depth 4, 4,096 items and 16,383 bytes [F-73]", () => {
  expect(decodeCbor(fromHex("8181818100"))).toEqual([[[[0]]]]);
  expect(decodeCbor(encodeCbor(Array.from({ length: 4095 }, () => 0)))).toHaveLength(4095);
  expect(decodeCbor(encodeCbor(new Uint8Array(16_380)))).toHaveLength(16_380);
  expect(() => encodeCbor(Array.from({ length: 4096 }, () => 0))).toThrow(RangeError);
  expect(() => encodeCbor(new Uint8Array(16_381))).toThrow(RangeError);
  expect(() => encodeCbor([[[[[0]]]]])).toThrow(RangeError);
});

test("names of Object.prototype are keys like any other, on both ways [F-72]", () => {
  for (const name of ["__proto__", "constructor", "prototype", "toString"]) {
    const value = new Map([[name, new Map([["x", 1]])]]);
    expect(decodeCbor(encodeCbor(value))).toEqual(value);
  }
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
});

test("shares no memory with its input or with later calls", () => {
  const input = Uint8Array.of(1, 2, 3);
  const first = encodeCbor(new Map([["x", input]]));
  input.fill(0);
  const text = hex(first);
  for (let i = 0; i < 50; i++) encodeCbor(new Map([["x", new Uint8Array(300).fill(9)]]));
  expect(hex(first)).toBe(text);
  expect(first.buffer.byteLength).toBe(first.length);
  const decoded = decodeCbor(first) as Map<string, Uint8Array>;
  first.fill(0);
  expect(hex(decoded.get("x") as Uint8Array)).toBe("010203");
});

test.each([
  ["null", null],
  ["undefined", undefined],
  ["a fraction", 1.5],
  ["a negative integer", -1],
  ["2^53", 2 ** 53],
  ["NaN", NaN],
  ["a plain object", { a: 1 }],
  ["a date", new Date(0)],
  ["a BigInt", 1n],
  ["a set", new Set([1])],
  ["a lone surrogate", "\uD800"],
  ["a lone surrogate as a key", new Map([["\uD800", 1]])],
  ["a number as a key", new Map([[1, 1]])],
  ["undefined inside", new Map([["a", undefined]])],
])("does not write %s [F-70]", (_, value) => {
  expect(() => encodeCbor(value as CborValue)).toThrow(TypeError);
});
