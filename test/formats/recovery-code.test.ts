import fc from "fast-check";
import { expect, test } from "vitest";

import { concat, fromHex, utf8 } from "../../src/bytes.ts";
import { InvalidArgumentError, UnsupportedFormatError } from "../../src/errors.ts";
import { crc24, decodeRecoveryCode, encodeRecoveryCode } from "../../src/formats/recovery-code.ts";
import { counting, thrownBy } from "./changed-bytes.ts";

const hint = fromHex("b5072e57");
const key = counting(0, 32);
const CODE = "06TG-EBJQ-000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFJ-1RBE";

function expectTypo(text: string | Uint8Array): void {
  const error = thrownBy(() => decodeRecoveryCode(text));
  expect(error).toBeInstanceOf(InvalidArgumentError);
  expect((error as InvalidArgumentError).reason).toBe("typo");
}

test("gives the worked values [F-90] [F-91]", () => {
  expect(crc24(utf8("123456789"))).toBe(0x21cf02);
  expect(encodeRecoveryCode(hint, key)).toBe(CODE);
  expect(decodeRecoveryCode(CODE)).toEqual({ hint, key });
});

test("for every hint and key, the code reads back", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (h, k) => {
        expect(decodeRecoveryCode(encodeRecoveryCode(h, k))).toEqual({ hint: h, key: k });
      },
    ),
    { numRuns: 200 },
  );
});

test("case, spaces, hyphens, line breaks and look-alike letters do not matter [F-92]", () => {
  const spellings = [
    CODE.toLowerCase(),
    CODE.replaceAll("-", ""),
    CODE.replaceAll("-", " "),
    ` ${CODE.replaceAll("-", "\r\n")}\n`,
    CODE.replaceAll("0", "O").replaceAll("1", "I"),
    CODE.replaceAll("0", "o").replaceAll("1", "l"),
    utf8(CODE),
  ];
  for (const text of spellings) expect(decodeRecoveryCode(text)).toEqual({ hint, key });
});

test("every wrong character and every swap of neighbours is a typo [F-91] [F-93]", () => {
  const digits = CODE.replaceAll("-", "");
  for (let at = 0; at < digits.length; at++) {
    for (const digit of "0123456789ABCDEFGHJKMNPQRSTVWXYZ") {
      if (digit !== digits[at]) expectTypo(digits.slice(0, at) + digit + digits.slice(at + 1));
    }
    const next = digits[at + 1];
    if (next !== undefined && next !== digits[at]) {
      expectTypo(`${digits.slice(0, at)}${next}${digits.slice(at, at + 1)}${digits.slice(at + 2)}`);
    }
  }
});

test("every prefix, a longer code and characters outside the alphabet are typos [F-93]", () => {
  for (let length = 0; length < CODE.length; length++) expectTypo(CODE.slice(0, length));
  for (const text of [
    `${CODE}0`,
    CODE.replace("T", "U"),
    CODE.replace("T", "Т"),
    `${CODE}\u0000`,
    "-".repeat(2000),
  ]) {
    expectTypo(text);
  }
  expectTypo(utf8(CODE).with(3, 0xc3));
});

test("a sound code of a later version is unsupported [F-94]", () => {
  const body = concat(Uint8Array.of(2), hint, key);
  const crc = crc24(body);
  const bits = [...concat(body, Uint8Array.of(crc >> 16, (crc >> 8) & 255, crc & 255))]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("");
  const code = (bits.match(/.{5}/gu) ?? [])
    .map((five) => "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[Number.parseInt(five, 2)])
    .join("");
  expect(() => decodeRecoveryCode(code)).toThrow(UnsupportedFormatError);
});

test("another vault's code is told by its hint, and costs nothing [F-93]", () => {
  expect(decodeRecoveryCode(encodeRecoveryCode(fromHex("00000001"), key)).hint).toEqual(fromHex("00000001"));
});

test("for arbitrary text and bytes, only a typo comes", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.uint8Array({ maxLength: 200 })), (text) => {
      expectTypo(text);
    }),
  );
  expect(() => decodeRecoveryCode(1 as unknown as string)).toThrow(TypeError);
});
