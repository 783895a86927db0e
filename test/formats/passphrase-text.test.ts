import { expect, test } from "vitest";

import { hex, utf8 } from "../../src/bytes.ts";
import { type CofferError, InvalidArgumentError, LimitExceededError } from "../../src/errors.ts";
import { normalizePassphrase, passphraseBytes } from "../../src/formats/passphrase-text.ts";
import { thrownBy } from "./changed-bytes.ts";

test("composed and decomposed text give the same bytes [F-95]", () => {
  expect(hex(normalizePassphrase("café"))).toBe("636166c3a9");
  expect(hex(normalizePassphrase("cafe\u0301"))).toBe("636166c3a9");
});

test("every space separator is a space, and no space is trimmed [F-95]", () => {
  const spaces =
    "\u0020\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u202F\u205F\u3000";
  expect(normalizePassphrase(`a${spaces}`)).toEqual(utf8(`a${" ".repeat(spaces.length)}`));
  expect(normalizePassphrase(" ")).toEqual(utf8(" "));
});

test("case and compatibility forms stay as they are [F-95]", () => {
  expect(normalizePassphrase("Aﬁ①")).toEqual(utf8("Aﬁ①"));
});

test.each([
  ["a line break", "abc\n", "control-character"],
  ["a zero byte", "a\u0000b", "control-character"],
  ["a C1 control", "a\u0085", "control-character"],
  ["a lone surrogate", "\uD83D", "ill-formed"],
  ["nothing", "", "empty"],
])("refuses %s [F-96]", (_, text, reason) => {
  const error = thrownBy(() => normalizePassphrase(text));
  expect(error).toBeInstanceOf(InvalidArgumentError);
  expect((error as CofferError).reason).toBe(reason);
});

test("takes 1,024 bytes after normalisation, and not one more [F-97]", () => {
  expect(normalizePassphrase("x".repeat(1024))).toHaveLength(1024);
  expect(normalizePassphrase("e\u0301".repeat(512))).toHaveLength(1024);
  expect(() => normalizePassphrase("x".repeat(1025))).toThrow(LimitExceededError);
  expect(() => normalizePassphrase("é".repeat(513))).toThrow(LimitExceededError);
  expect(() => normalizePassphrase("x".repeat(1_000_000))).toThrow(LimitExceededError);
});

test("bytes are taken as they are, in a copy, with the same limits [F-97]", () => {
  const given = Uint8Array.of(0xff, 0x00, 0x0a);
  const taken = passphraseBytes(given);
  given.fill(0);
  expect(hex(taken)).toBe("ff000a");
  expect(() => passphraseBytes(new Uint8Array())).toThrow(InvalidArgumentError);
  expect(() => passphraseBytes(new Uint8Array(1025))).toThrow(LimitExceededError);
  expect(passphraseBytes(utf8("plain ASCII"))).toEqual(normalizePassphrase("plain ASCII"));
});

test("no error repeats the passphrase", () => {
  for (const text of ["hunter2\n", "hunter2\uD800", "hunter2".repeat(1000)]) {
    expect(JSON.stringify(thrownBy(() => normalizePassphrase(text)))).not.toContain("hunter2");
  }
});
