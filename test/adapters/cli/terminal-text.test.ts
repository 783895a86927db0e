import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isPrintable, terminalJson, terminalText } from "../../../src/adapters/cli/terminal-text.ts";

const HOSTILE = "\u001b[31mred\u001b]0;title\u0007 \u202eesrever \u009b2J \u2028 \u200b \ud800 \n\t\r end";

/** Strings of any code points, halves of characters among them. */
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0x3000 }), fc.integer({ min: 0, max: 0x10ffff })))
  .map((points) => String.fromCodePoint(...points));

describe("terminalText", () => {
  test("shows escape sequences, direction marks and half characters as what they are", () => {
    expect(terminalText(HOSTILE)).toBe(
      "\\u{1b}[31mred\\u{1b}]0;title\\u{7} \\u{202e}esrever \\u{9b}2J \\u{2028} \\u{200b} \\u{d800} \\n\\t\\r end",
    );
  });

  test("leaves ordinary text of any script alone", () => {
    const text = "alias/Apollo/WorkKey é 密钥 ключ 🔑 …\\";
    expect(terminalText(text)).toBe(text);
  });

  test("leaves nothing that a terminal obeys, for every string", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(terminalText(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }),
    );
  });
});

describe("terminalJson", () => {
  test("gives a reader the exact string back, and a terminal nothing to obey, for every string", () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.constant(HOSTILE)), (text) => {
        const json = terminalJson({ text });
        expect(JSON.parse(json)).toEqual({ text });
        expect(json).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }),
    );
  });
});

describe("isPrintable", () => {
  test.each([
    ["lines of text", "-----BEGIN\r\nPRIVATE\tKEY\n", true],
    ["an escape sequence", "a\u001b[2J", false],
    ["a lone carriage return", "shown\rhidden", false],
  ])("judges %s", (_, text, expected) => {
    expect(isPrintable(Buffer.from(text))).toBe(expected);
  });

  test("refuses what is not UTF-8", () => {
    expect(isPrintable(Uint8Array.of(0xff, 0xfe))).toBe(false);
  });
});
