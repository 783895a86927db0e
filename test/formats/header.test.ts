import fc from "fast-check";
import { expect, test } from "vitest";

import { concat, hex, u64 } from "../../src/bytes.ts";
import { AuthenticationError } from "../../src/crypto/failures.ts";
import { digest } from "../../src/crypto/hmac.ts";
import {
  type CofferError,
  DamagedError,
  InvalidArgumentError,
  LimitExceededError,
  UnsupportedFormatError,
} from "../../src/errors.ts";
import { encodeHeader, openSlot, parseHeader, sealSlot, verifyHeaderMac } from "../../src/formats/header.ts";
import { headerKey } from "../../src/formats/key-schedule.ts";
import { counting, everyByteChanged, everyPrefix, thrownBy } from "./changed-bytes.ts";
import {
  allFields,
  everyKind,
  headerFields,
  kheader,
  root,
  slotOf,
  slotSecret,
  unknownSlot,
  vaultId,
} from "./header-sample.ts";

const sample = everyKind();

/** Changes bytes before the trailer and makes the public checksum right again. */
function edited(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const body = bytes.slice(0, -32);
  body.set(values, at);
  return concat(body, digest("sha256", body));
}

test("lays the header out as documented [F-50] [F-51]", () => {
  const bytes = encodeHeader(headerFields([slotOf({ kind: "recovery" }, 1, "é")]), kheader);
  const length = 64 + 2 + 26 + 104 + 1 + 2 + 96;
  expect(bytes).toHaveLength(length);
  expect(hex(bytes.subarray(0, 66))).toBe(
    `89434f560d0a1a0a010100000000${hex(Uint8Array.of(length >> 8, length & 255))}${hex(vaultId)}0000000000000007000000000000002a00000003000100000000000000000000001a`,
  );
  expect(hex(bytes.subarray(-99, -96))).toBe("02c3a9");
  expect(bytes.subarray(-32)).toEqual(digest("sha256", bytes.subarray(0, -32)));
});

test("every kind of slot comes back, and the MAC and each slot open with their keys [F-54] [F-55]", () => {
  const parsed = parseHeader(sample);
  expect(parsed).toMatchObject({ vaultId, generation: 7, sequence: 42, database: 3 });
  expect(parsed.slots.map(({ header }) => header.fields)).toEqual(allFields);
  expect(parsed.slots.map(({ label }) => label)).toEqual(allFields.map((_, i) => `slot ${i + 1}`));
  expect(verifyHeaderMac(parsed, kheader)).toBe(true);
  expect(verifyHeaderMac(parsed, headerKey(counting(1, 32), vaultId))).toBe(false);
  for (const slot of parsed.slots) expect(openSlot(slotSecret, vaultId, slot)).toEqual(root);
  expect(encodeHeader(parsed, kheader)).toEqual(sample);
});

test("a slot opens with its own secret, vault and header only [F-55]", () => {
  const [slot] = parseHeader(sample).slots;
  if (slot === undefined) throw new Error("the sample has slots");
  expect(() => openSlot(counting(0x41, 32), vaultId, slot)).toThrow(AuthenticationError);
  expect(() => openSlot(slotSecret, counting(0xa1, 16), slot)).toThrow(AuthenticationError);
  for (const { bytes } of everyByteChanged(slot.headerBytes)) {
    expect(() => openSlot(slotSecret, vaultId, { ...slot, headerBytes: bytes })).toThrow(AuthenticationError);
  }
  for (const { bytes } of everyByteChanged(slot.sealed)) {
    expect(() => openSlot(slotSecret, vaultId, { ...slot, sealed: bytes })).toThrow(AuthenticationError);
  }
});

test("slot secrets of any length are taken", () => {
  for (const length of [1, 66, 200]) {
    const secret = counting(3, length);
    const { headerBytes } = slotOf({ kind: "recovery" }, 1);
    expect(
      openSlot(secret, vaultId, { headerBytes, sealed: sealSlot(secret, vaultId, headerBytes, root) }),
    ).toEqual(root);
  }
});

test("every byte changed and every prefix is damage: rot is never taken for a later version [F-52]", () => {
  for (const { bytes } of everyByteChanged(sample)) expect(() => parseHeader(bytes)).toThrow(DamagedError);
  for (const bytes of everyPrefix(sample)) expect(() => parseHeader(bytes)).toThrow(DamagedError);
  expect(() => parseHeader(concat(sample, Uint8Array.of(0)))).toThrow(DamagedError);
});

test("a sound header of a later version or suite is unsupported, not damaged [F-52]", () => {
  expect(thrownBy(() => parseHeader(edited(sample, 8, 2)))).toBeInstanceOf(UnsupportedFormatError);
  expect(thrownBy(() => parseHeader(edited(sample, 9, 2)))).toBeInstanceOf(UnsupportedFormatError);
});

test("every edit under a right checksum is refused, or found by the MAC [F-53] [F-54]", () => {
  for (let at = 0; at < sample.length - 32; at++) {
    let parsed;
    try {
      parsed = parseHeader(edited(sample, at, (sample[at] as number) ^ 1));
    } catch (error) {
      expect(error instanceof DamagedError || error instanceof UnsupportedFormatError).toBe(true);
      continue;
    }
    expect(verifyHeaderMac(parsed, kheader), `byte ${at}`).toBe(false);
  }
});

test("refuses reserved bytes, unsafe integers, slot counts, repeated ids and bytes between slots and MAC [F-1] [F-2] [F-3] [F-53] [F-61]", () => {
  const one = encodeHeader(headerFields([slotOf({ kind: "recovery" }, 1, "x")]), kheader);
  const fieldOf = (bytes: Uint8Array): unknown =>
    (thrownBy(() => parseHeader(bytes)) as CofferError).details["field"];
  expect(fieldOf(edited(one, 10, 1))).toBe("reserved bytes");
  expect(fieldOf(edited(one, 63, 1))).toBe("reserved bytes");
  expect(fieldOf(edited(one, 32, 0x00, 0x20))).toBe("generation or sequence");
  expect(fieldOf(edited(one, 40, 0xff))).toBe("generation or sequence");
  expect(fieldOf(edited(one, 52, 0, 0))).toBe("slot count");
  expect(fieldOf(edited(one, 52, 0, 17))).toBe("slot count");
  expect(fieldOf(edited(one, 52, 0, 2))).toBe("slot length");
  expect(fieldOf(edited(one, 64 + 2 + 26 + 104, 0))).toBe("slots");
  expect(fieldOf(edited(one, 64 + 2 + 26 + 104 + 1, 0xff))).toBe("label");
  expect(
    fieldOf(
      encodeHeader(headerFields([slotOf({ kind: "recovery" }, 1), slotOf({ kind: "recovery" }, 1)]), kheader),
    ),
  ).toBe("slot id");
});

test("a slot of an unknown kind is kept and skipped [F-62]", () => {
  const bytes = encodeHeader(headerFields([slotOf({ kind: "recovery" }, 1), unknownSlot(2)]), kheader);
  const parsed = parseHeader(bytes);
  expect(parsed.slots.map(({ header }) => header.fields.kind)).toEqual(["recovery", "unknown"]);
  expect(encodeHeader({ ...parsed, generation: 8 }, kheader)).toHaveLength(bytes.length);
  expect(parseHeader(encodeHeader({ ...parsed, generation: 8 }, kheader)).slots).toEqual(parsed.slots);
});

test("holds 16 slots, 255 label bytes and 65,536 bytes [F-51]", () => {
  const slots = Array.from({ length: 17 }, (_, i) => slotOf({ kind: "recovery" }, i + 1));
  expect(parseHeader(encodeHeader(headerFields(slots.slice(1)), kheader)).slots).toHaveLength(16);
  expect(() => encodeHeader(headerFields(slots), kheader)).toThrow(LimitExceededError);
  expect(() => encodeHeader(headerFields([]), kheader)).toThrow(RangeError);
  const labelled = (label: string): Uint8Array =>
    encodeHeader(headerFields([slotOf({ kind: "recovery" }, 1, label)]), kheader);
  expect(parseHeader(labelled("x".repeat(255))).slots[0]?.label).toHaveLength(255);
  expect(() => labelled("é".repeat(128))).toThrow(LimitExceededError);
  expect(() => labelled("\uD800")).toThrow(InvalidArgumentError);
  const large = { kind: "keychain", backend: "x", protectedSecret: new Uint8Array(4096) } as const;
  const sixteen = Array.from({ length: 16 }, (_, i) => slotOf(large, i + 1));
  expect(() => encodeHeader(headerFields(sixteen), kheader)).toThrow(LimitExceededError);
});

test("keeps nothing of the caller's bytes", () => {
  const bytes = new Uint8Array(sample);
  const parsed = parseHeader(bytes);
  bytes.fill(0);
  expect(verifyHeaderMac(parsed, kheader)).toBe(true);
  expect(parsed.bytes).toEqual(sample);
});

test("for arbitrary bytes under a right checksum, only typed errors come", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(2000), (noise, count) => {
      const length = 160 + noise.length;
      const start = concat(
        sample.subarray(0, 12),
        u64(length).subarray(4),
        sample.subarray(16, 52),
        Uint8Array.of(0, 1 + (count % 3)),
      );
      const body = concat(start, new Uint8Array(10), noise, new Uint8Array(64));
      const error = thrownBy(() => parseHeader(concat(body, digest("sha256", body))));
      if (error !== undefined) expect(error).toBeInstanceOf(DamagedError);
      expect(thrownBy(() => parseHeader(noise))).toBeInstanceOf(DamagedError);
    }),
    { numRuns: 300 },
  );
});
