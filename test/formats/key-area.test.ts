import fc from "fast-check";
import { expect, test } from "vitest";

import { concat, hex } from "../../src/bytes.ts";
import { AuthenticationError } from "../../src/crypto/failures.ts";
import {
  encodeKeyArea,
  keyAreaContentBytes,
  type KeyEntry,
  keyEntryId,
  openSlotEntry,
  parseKeyArea,
  type ParsedKeyArea,
  type SlotEntry,
  verifyKeyArea,
} from "../../src/formats/key-area.ts";
import { counting, everyByteChanged, everyPrefix } from "./changed-bytes.ts";
import {
  areaOf,
  blobEntryOf,
  dek,
  fileId,
  headBytes,
  karea,
  keyId,
  slotEntryOf,
  slotSecret,
} from "./file-sample.ts";

const entries = [blobEntryOf(), slotEntryOf(1)];
const area = areaOf(entries, 7);

function isGood(bytes: Uint8Array, head: Uint8Array = headBytes): boolean {
  const parsed = parseKeyArea(bytes);
  return parsed !== undefined && verifyKeyArea(parsed, karea, head);
}

function parsed(bytes: Uint8Array): ParsedKeyArea {
  const result = parseKeyArea(bytes);
  if (result === undefined) throw new Error("expected a sound area");
  return result;
}

test("an area says its entries and generation, and verifies [F-211] [F-214]", () => {
  expect(hex(area.subarray(0, 12))).toBe("434f464b0000000700020141");
  const { generation, entries: read } = parsed(area);
  expect(generation).toBe(7);
  expect(read).toEqual(entries);
  expect(read.map(keyEntryId)).toEqual([hex(keyId), "01".repeat(16)]);
  expect(isGood(area)).toBe(true);
  expect(keyAreaContentBytes(entries)).toBe(12 + 140 + 181 + 32);
});

test("every byte changed and every prefix fail in structure or HMAC [F-212] [F-214]", () => {
  for (const { bytes, at } of everyByteChanged(area)) expect(isGood(bytes), `byte ${at}`).toBe(false);
  for (const bytes of everyPrefix(area.subarray(0, keyAreaContentBytes(entries)))) {
    expect(parseKeyArea(bytes)).toBeUndefined();
  }
});

test("arbitrary bytes are never taken for an area", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (noise, isLike) => {
      expect(isGood(isLike ? concat(area.subarray(0, 8), noise) : noise)).toBe(false);
    }),
    { numRuns: 300 },
  );
});

test("an area of another head or another DEK does not verify [F-214]", () => {
  const otherHead = new Uint8Array(headBytes);
  otherHead[16] = 0;
  expect(isGood(area, otherHead)).toBe(false);
  expect(verifyKeyArea(parsed(area), counting(1, 32), headBytes)).toBe(false);
});

test("a slot opens with its secret and file id alone [F-222] [F-223]", () => {
  const entry = slotEntryOf(1) as SlotEntry;
  expect(openSlotEntry(slotSecret, fileId, entry)).toEqual(dek);
  expect(() => openSlotEntry(counting(0, 32), fileId, entry)).toThrow(AuthenticationError);
  expect(() => openSlotEntry(slotSecret, counting(0, 16), entry)).toThrow(AuthenticationError);
  const moved = { ...entry, header: (slotEntryOf(2) as SlotEntry).header };
  expect(() => openSlotEntry(slotSecret, fileId, moved)).toThrow(AuthenticationError);
});

test("an area has one to eight entries, and room for eight", () => {
  const eight = Array.from({ length: 8 }, (_, i) => slotEntryOf(i + 1));
  expect(parsed(areaOf(eight)).entries).toHaveLength(8);
  expect(() => areaOf([])).toThrow(RangeError);
  expect(() => areaOf([...eight, blobEntryOf()])).toThrow(/at most 8/u);
  expect(() => encodeKeyArea({ generation: 1, entries: eight, areaBytes: 1024 }, karea, headBytes)).toThrow(
    /do not fit/u,
  );
  expect(() => areaOf(eight, 2 ** 32)).toThrow(/too often/u);
});

test("two entries of one id make an area unsound [F-217]", () => {
  expect(parseKeyArea(areaOf([slotEntryOf(1), slotEntryOf(1)]))).toBeUndefined();
  expect(parseKeyArea(areaOf([blobEntryOf(), blobEntryOf()]))).toBeUndefined();
  expect(parseKeyArea(areaOf([blobEntryOf(), blobEntryOf(counting(9, 16))]))).toBeDefined();
});

test("an entry of a later release is kept and written back [F-216]", () => {
  const later: KeyEntry = { kind: "unknown", type: 9, value: counting(1, 20) };
  const read = parsed(areaOf([later, slotEntryOf(1)]));
  expect(read.entries[0]).toEqual(later);
  expect(areaOf(read.entries)).toEqual(areaOf(read.entries));
  const laterBlob = blobEntryOf() as { blobBytes: Uint8Array };
  laterBlob.blobBytes[3] = 2;
  expect(parsed(areaOf([laterBlob as KeyEntry])).entries[0]).toMatchObject({ kind: "unknown", type: 1 });
});
