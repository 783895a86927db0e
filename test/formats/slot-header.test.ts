import fc from "fast-check";
import { expect, test } from "vitest";

import { concat, hex } from "../../src/bytes.ts";
import { DamagedError } from "../../src/errors.ts";
import { encodeSlotHeader, parseSlotHeader, type SlotFields } from "../../src/formats/slot-header.ts";
import { counting, everyByteChanged, everyPrefix, thrownBy } from "./changed-bytes.ts";
import { allFields, passphraseFields, tokenFields } from "./header-sample.ts";

const id = counting(0xb0, 16);
const encode = (fields: SlotFields): Uint8Array =>
  encodeSlotHeader({ id, createdAtMs: 1_700_000_000_000, fields });
const prefix = `00${hex(id)}0000018bcfe56800`;

test.each(allFields.map((fields) => [fields.kind, fields] as const))(
  "a %s slot comes back as it was",
  (_, fields) => {
    expect(parseSlotHeader(encode(fields))).toEqual({ id, createdAtMs: 1_700_000_000_000, fields });
  },
);

test("lays a passphrase and a recovery slot out as documented [F-60] [F-63] [F-64]", () => {
  expect(hex(encode(passphraseFields))).toBe(
    `01${prefix}13000100000000000300000004${hex(counting(0x60, 32))}`,
  );
  expect(hex(encode({ kind: "recovery" }))).toBe(`02${prefix}`);
});

test("lays token, combined and keychain slots out as documented [F-65] [F-66]", () => {
  const text = (value: string): string =>
    `${hex(Uint8Array.of(0, value.length))}${Buffer.from(value).toString("hex")}`;
  const token = `01005b${hex(tokenFields.spki)}000103${text("PIV #123")}${text("12345678")}${text("Yubico")}${text("YubiKey YK5")}0041${hex(tokenFields.exchange)}`;
  expect(hex(encode(tokenFields))).toBe(`03${prefix}${token}`);
  const first = `13000100000000000300000004${hex(counting(0x60, 32))}`;
  expect(hex(encode({ kind: "combined", first: passphraseFields, second: tokenFields }))).toBe(
    `04${prefix}01002d${first}03${hex(Uint8Array.of(0, token.length / 2))}${token}`,
  );
  expect(hex(encode({ kind: "keychain", backend: "dpapi", protectedSecret: Uint8Array.of(1, 2) }))).toBe(
    `05${prefix}${text("dpapi")}00020102`,
  );
});

test("what a later release may add is of an unknown kind, with id and time [F-62]", () => {
  const later: [string, Uint8Array][] = [
    ["type", concat(Uint8Array.of(6), encode(passphraseFields).subarray(1))],
    ["Argon2 version", encode(passphraseFields).with(26, 0x14)],
    ["token algorithm", encode(tokenFields).with(26, 5)],
    [
      "half of a combined slot",
      encode({ kind: "combined", first: passphraseFields, second: tokenFields }).with(26, 5),
    ],
  ];
  for (const [what, bytes] of later) {
    const parsed = parseSlotHeader(bytes);
    expect(parsed.fields, what).toEqual({ kind: "unknown", type: bytes[0] });
    expect(parsed.id).toEqual(id);
  }
});

test("Argon2 parameters are not judged, so that a vault can be described anywhere [F-63]", () => {
  const fields = { ...passphraseFields, memoryKiB: 2 ** 32 - 1, passes: 0, lanes: 2 ** 32 - 1 };
  expect(parseSlotHeader(encode(fields)).fields).toEqual(fields);
});

test("every byte changed is refused or means another slot header; every prefix and suffix is refused", () => {
  for (const fields of allFields) {
    const sample = encode(fields);
    for (const { bytes } of everyByteChanged(sample)) {
      const error = thrownBy(() => {
        const parsed = parseSlotHeader(bytes);
        if (parsed.fields.kind !== "unknown") expect(encodeSlotHeader(parsed)).toEqual(bytes);
      });
      if (error !== undefined) expect(error).toBeInstanceOf(DamagedError);
    }
    for (const bytes of everyPrefix(sample)) expect(() => parseSlotHeader(bytes)).toThrow(DamagedError);
    expect(() => parseSlotHeader(concat(sample, Uint8Array.of(0)))).toThrow(DamagedError);
  }
});

test("refuses fields past their bounds, on both ways [F-65]", () => {
  const long = new Uint8Array(5000);
  const bad: SlotFields[] = [
    { ...tokenFields, spki: long },
    { ...tokenFields, objectId: new Uint8Array(256) },
    { ...tokenFields, label: "x".repeat(256) },
    { ...tokenFields, exchange: new Uint8Array(64) },
    { ...tokenFields, algorithm: "aes-256-gcm" },
    { ...tokenFields, algorithm: "rsa-oaep-sha256", exchange: new Uint8Array(255) },
    { ...passphraseFields, salt: new Uint8Array(31) },
    { kind: "keychain", backend: "x", protectedSecret: long },
    { kind: "keychain", backend: "x", protectedSecret: new Uint8Array() },
    { kind: "unknown", type: 9 },
  ];
  for (const fields of bad) expect(() => encode(fields)).toThrow(RangeError);
  const sample = encode(tokenFields);
  expect(() => parseSlotHeader(sample.with(26, 4))).toThrow(DamagedError);
  expect(() => parseSlotHeader(sample.with(27, 0x20))).toThrow(DamagedError);
  expect(() => parseSlotHeader(new Uint8Array(20_000))).toThrow(DamagedError);
});

test("for arbitrary bytes, only the typed error comes", () => {
  const start = fc.constantFrom(...allFields.map((fields) => encode(fields).subarray(0, 28)));
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120 }), (first, rest) => {
      const error = thrownBy(() => parseSlotHeader(concat(first, rest)));
      if (error !== undefined) expect(error).toBeInstanceOf(DamagedError);
    }),
    { numRuns: 1000 },
  );
});
