import fc from "fast-check";
import { expect, test } from "vitest";

import { DamagedError } from "../../src/errors.ts";
import { decodeRecord, encodeRecord, TABLES } from "../../src/formats/records/tables.ts";
import { isStorePart, parseStorePath, sortedByName } from "../../src/formats/store-path.ts";

test.each(["..", "a/../b", ".", "a/.", "/a", "a/", "a//b", "a\0b", "\ud800", "a/\udc00x"])(
  "%j is no path [F-230]",
  (path) => {
    expect(() => parseStorePath(path, "path")).toThrow(expect.objectContaining({ reason: "path" }));
  },
);

test.each([
  ["a part of 256 bytes", "a".repeat(256)],
  ["a part of 256 bytes in fewer characters", "é".repeat(128)],
  ["a path of 4,097 bytes", `${"a".repeat(255)}/`.repeat(16) + "a"],
  ["a megabyte", "a".repeat(1_000_000)],
])("%s is too long [F-230]", (_, path) => {
  expect(() => parseStorePath(path, "path")).toThrow(
    expect.objectContaining({ code: "COFFER_LIMIT_EXCEEDED" }),
  );
});

test.each([
  "__proto__",
  "constructor",
  "CON",
  "a:b",
  "x.",
  " ",
  "C:\\x",
  "~",
  "*",
  "\u202e",
  "\n",
  "...",
  "%2e%2e",
])("%j is a name like any other [F-230]", (name) => {
  expect(parseStorePath(`d/${name}`, "path")).toEqual(["d", name]);
});

test("composed and decomposed text are one name, and the topmost directory is the empty path [F-230]", () => {
  expect(parseStorePath("Gro\u0308ße/u\u0308", "path")).toEqual(["Größe", "ü"]);
  expect(parseStorePath("", "path")).toEqual([]);
  // One that NFC makes longer is measured afterwards.
  expect(() => parseStorePath("\u{1d160}".repeat(60), "path")).toThrow(
    expect.objectContaining({ code: "COFFER_LIMIT_EXCEEDED" }),
  );
});

test("whatever is accepted, is accepted again as it was made [F-230]", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 40 }), (path) => {
      let parts: string[];
      try {
        parts = parseStorePath(path, "path");
      } catch {
        return;
      }
      expect(parseStorePath(parts.join("/"), "path")).toEqual(parts);
      for (const part of parts) expect(["", ".", ".."]).not.toContain(part);
    }),
  );
});

test("names are sorted as their bytes are, which UTF-16 is not [F-233]", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({
          unit: fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("\u{10000}", "\uffee")),
        }),
      ),
      (names) => {
        const sorted = names.map((name) => Buffer.from(name)).toSorted((a, b) => Buffer.compare(a, b));
        const found = sortedByName(names.map((name) => ({ name })));
        expect(found.map(({ name }) => name)).toEqual(sorted.map(String));
      },
    ),
  );
});

test("a record of the index with a name that is no part of a path does not open [F-230]", () => {
  const id = new Uint8Array(16);
  const entry = { dir: id, kind: "file", id, size: 1, created: 0, modified: 0 } as const;
  const marked = encodeRecord(TABLES.entries, { ...entry, name: "@@@" });
  const at = Buffer.from(marked).indexOf("@@@");
  const withName = (name: string): Uint8Array => {
    const bytes = Buffer.from(marked);
    bytes.write(name, at, "latin1");
    return bytes;
  };
  expect(decodeRecord(TABLES.entries, withName("a.b"))).toMatchObject({ name: "a.b" });
  for (const name of ["../", "/ab", "a/b", "ab/", "a\0b", "///"]) {
    expect(() => decodeRecord(TABLES.entries, withName(name)), name).toThrow(DamagedError);
    expect(() => encodeRecord(TABLES.entries, { ...entry, name })).toThrow(TypeError);
  }
  for (const name of ["", ".", "..", "e\u0301", "\ud800", "x".repeat(256)]) {
    expect(() => encodeRecord(TABLES.entries, { ...entry, name })).toThrow(TypeError);
    expect(isStorePart(name)).toBe(false);
  }
  expect(() => encodeRecord(TABLES.entries, { ...entry, name: "a", modified: 8.64e15 + 1 })).toThrow(
    TypeError,
  );
});

test("what parseStorePath gives are parts, and nothing else is one", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
      let parts: string[] | undefined;
      try {
        parts = parseStorePath(text, "path");
      } catch {
        parts = undefined;
      }
      if (isStorePart(text)) expect(parts).toEqual([text]);
      for (const part of parts ?? []) expect(isStorePart(part)).toBe(true);
    }),
  );
});
