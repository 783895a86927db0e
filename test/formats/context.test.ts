import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, test } from "vitest";

import { compare, concat, hex, utf8 } from "../../src/bytes.ts";
import { MalformedError } from "../../src/crypto/failures.ts";
import { InvalidArgumentError, LimitExceededError } from "../../src/errors.ts";
import { decodeContext, encodeContext, type EncryptionContext } from "../../src/formats/context.ts";
import { everyByteChanged, everyPrefix, thrownBy } from "./changed-bytes.ts";

const sample = encodeContext({ app: "Apollo", "": "", Zürich: "ü" });
const wellFormed = fc.string({ unit: "binary", maxLength: 20 }).filter((text) => text.isWellFormed());

test("no context and an empty one are 00 00", () => {
  expect(hex(encodeContext(undefined))).toBe("0000");
  expect(hex(encodeContext({}))).toBe("0000");
});

test("encodes the worked value, sorted by the UTF-8 bytes of the keys [F-20] [F-21]", () => {
  expect(hex(encodeContext({ b: "2", a: "1" }))).toBe("0002000161000131000162000132");
  // U+FF5E sorts after U+1F511 by UTF-16 code units, before it by bytes.
  const keys = [...decodeContext(encodeContext({ "\u{1F511}": "x", "\uFF5E": "y" })).keys()];
  expect(keys).toEqual(["\uFF5E", "\u{1F511}"]);
});

test("for every context, decoding gives the same pairs, and the order of writing does not matter", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(wellFormed, wellFormed), { selector: ([key]) => key, maxLength: 20 }),
      (pairs) => {
        const bytes = encodeContext(Object.fromEntries(pairs));
        expect(new Map(decodeContext(bytes))).toEqual(new Map(pairs));
        expect(encodeContext(Object.fromEntries(pairs.toReversed()))).toEqual(bytes);
      },
    ),
    { numRuns: 300 },
  );
});

test("different contexts never share an encoding", () => {
  expect(encodeContext({ ab: "c" })).not.toEqual(encodeContext({ a: "bc" }));
  expect(encodeContext({ é: "" })).not.toEqual(encodeContext({ "e\u0301": "" }));
});

test("an own __proto__ key is data [F-23]", () => {
  const context = JSON.parse('{"__proto__":"x","constructor":"y"}') as EncryptionContext;
  expect([...decodeContext(encodeContext(context))]).toEqual([
    ["__proto__", "x"],
    ["constructor", "y"],
  ]);
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
});

test("inherited properties do not count, and each value is read once", () => {
  let reads = 0;
  const context = Object.assign(Object.create(null) as object, { a: "1" });
  Object.defineProperty(context, "b", { enumerable: true, get: () => String(++reads) });
  expect([...decodeContext(encodeContext(context as EncryptionContext))]).toEqual([
    ["a", "1"],
    ["b", "1"],
  ]);
  expect(encodeContext(runInNewContext("({ a: '1' })") as EncryptionContext)).toEqual(
    encodeContext({ a: "1" }),
  );
});

test.each([
  ["null", null],
  ["an array", ["a"]],
  ["a Map, which would count as empty", new Map([["a", "b"]])],
  ["a string", "a"],
  ["a number as a value", { a: 1 }],
  ["undefined as a value", { a: undefined }],
])("refuses %s", (_, context) => {
  expect(() => encodeContext(context as unknown as EncryptionContext)).toThrow(TypeError);
});

test("refuses lone surrogates, 65 pairs and 8,193 bytes [F-22]", () => {
  for (const context of [{ "\uD800": "x" }, { x: "\uDC00" }]) {
    const error = thrownBy(() => encodeContext(context));
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as InvalidArgumentError).reason).toBe("ill-formed");
  }
  const pairs = (count: number): EncryptionContext =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, ""]));
  expect(decodeContext(encodeContext(pairs(64))).size).toBe(64);
  expect(() => encodeContext(pairs(65))).toThrow(LimitExceededError);
  expect(encodeContext({ k: "x".repeat(8192 - 7) })).toHaveLength(8192);
  expect(() => encodeContext({ k: "x".repeat(8192 - 6) })).toThrow(LimitExceededError);
  expect(() => encodeContext({ k: "€".repeat(3000) })).toThrow(LimitExceededError);
  expect(() => encodeContext({ k: "x".repeat(100_000_000) })).toThrow(LimitExceededError);
});

test("every byte changed is refused or means another context, and every prefix is refused [F-24]", () => {
  for (const { bytes } of everyByteChanged(sample)) {
    const error = thrownBy(() =>
      expect(encodeContext(Object.fromEntries(decodeContext(bytes)))).toEqual(bytes),
    );
    if (error !== undefined) expect(error).toBeInstanceOf(MalformedError);
  }
  for (const bytes of everyPrefix(sample)) expect(() => decodeContext(bytes)).toThrow(MalformedError);
});

test("refuses bytes after the end, repeated keys, wrong order and bad UTF-8 [F-24]", () => {
  const entry = (key: string): Uint8Array =>
    concat(Uint8Array.of(0, key.length), utf8(key), Uint8Array.of(0, 0));
  const of = (...entries: Uint8Array[]): Uint8Array => concat(Uint8Array.of(0, entries.length), ...entries);
  expect(decodeContext(of(entry("a"), entry("b"))).size).toBe(2);
  for (const bytes of [
    concat(sample, Uint8Array.of(0)),
    of(entry("a"), entry("a")),
    of(entry("b"), entry("a")),
    of(Uint8Array.of(0, 1, 0xff, 0, 0)),
    of(Uint8Array.of(0, 0, 0, 1, 0xc0)),
    concat(Uint8Array.of(0, 65), ...Array.from({ length: 65 }, (_, i) => entry(String.fromCharCode(48 + i)))),
    concat(Uint8Array.of(0, 1, 0x1f, 0xfc), new Uint8Array(0x1ffc), Uint8Array.of(0, 0)),
  ]) {
    expect(() => decodeContext(bytes)).toThrow(MalformedError);
  }
});

test("for arbitrary bytes, decoding gives only canonical contexts or the typed error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      let pairs: ReadonlyMap<string, string>;
      try {
        pairs = decodeContext(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError);
        return;
      }
      expect(compare(encodeContext(Object.fromEntries(pairs)), bytes)).toBe(0);
    }),
    { numRuns: 1000 },
  );
});
