import fc from "fast-check";
import { expect, test } from "vitest";
import { concat, u16, u64, u8 } from "../../src/bytes.ts";
import {
  BackupFrames,
  type BackupItem,
  encodeBackupHead,
  encodeEndFrame,
  encodeObjectPrefix,
  encodeRecordFrame,
  parseBackupPreamble,
} from "../../src/formats/backup.ts";
import { backupBodyAad, backupKey } from "../../src/formats/key-schedule.ts";
import { counting } from "./changed-bytes.ts";

const damaged = expect.objectContaining({ code: "COFFER_DAMAGED" });
const record = encodeRecordFrame(counting(1, 17), counting(0, 100));

test("a preamble is read as it was written [F-160]", () => {
  const given = { backupId: counting(0xb0, 16), createdAtMs: 1_700_000_000_000, hasObjects: true };
  const bytes = encodeBackupHead(given, counting(0, 200));
  expect(parseBackupPreamble(bytes.subarray(0, 64))).toEqual({ ...given, headerBytes: 200 });
  expect(bytes.subarray(64)).toEqual(counting(0, 200));
});

test("no memory is taken for what a preamble claims [F-162]", () => {
  const bytes = encodeBackupHead(
    { backupId: counting(0, 16), createdAtMs: 1, hasObjects: false },
    new Uint8Array(200),
  );
  for (const [at, value] of [
    [12, 0xff],
    [40, 0xff],
    [41, 2],
    [32, 0xff],
    [50, 1],
  ] as const) {
    const changed = bytes.slice(0, 64);
    changed[at] = value;
    expect(() => parseBackupPreamble(changed), `byte ${at}`).toThrow(damaged);
  }
});

test("frames are read from pieces of any length [F-164]", () => {
  const entry = fc.tuple(
    fc.uint8Array({ minLength: 1, maxLength: 37 }),
    fc.uint8Array({ minLength: 1, maxLength: 300 }),
  );
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 8 }), fc.integer({ min: 1, max: 400 }), (entries, piece) => {
      const bytes = concat(
        ...entries.map(([key, value]) => encodeRecordFrame(key, value)),
        encodeEndFrame(entries.length),
      );
      const frames = new BackupFrames(false);
      const read: BackupItem[] = [];
      for (let at = 0; at < bytes.length; at += piece) read.push(...frames.push(bytes.slice(at, at + piece)));
      expect(frames.finish()).toBe(entries.length);
      expect(read).toEqual(entries.map((given) => ({ kind: "record", record: given })));
    }),
    { numRuns: 60 },
  );
});

test.each([
  ["an unknown type", concat(u8(4), u64(1), u8(0))],
  ["an object, which this version does not have", concat(u8(2), u64(40), new Uint8Array(40))],
  ["a record longer than any", concat(u8(1), u64(70_000))],
  ["a length past the safe integers", concat(u8(1), new Uint8Array(8).fill(0xff))],
  ["a record without a key", concat(u8(1), u64(3), u16(0), u8(1))],
  ["a key past its record", concat(u8(1), u64(4), u16(9), u16(1))],
  ["an end of another length", concat(u8(3), u64(15))],
  ["an end that counts wrong", concat(record, encodeEndFrame(2))],
  ["an end that counts objects", concat(u8(3), u64(16), u64(0), u64(1))],
  ["a record after the end", concat(encodeEndFrame(0), record)],
  ["a second end", concat(encodeEndFrame(0), encodeEndFrame(0))],
])("%s is damage, as soon as it is seen [F-164]", (_, bytes) => {
  expect(() => new BackupFrames(false).push(bytes)).toThrow(damaged);
});

test("an object comes in pieces, whatever it claims, and holds up nothing [F-164]", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 400 }),
      (objects, piece) => {
        const prefixes = objects.map((object, i) => [
          encodeObjectPrefix(counting(i, 16), object.length),
          object,
        ]);
        const bytes = concat(record, ...prefixes.flat(), encodeEndFrame(1, objects.length));
        const frames = new BackupFrames(true);
        const items: BackupItem[] = [];
        for (let at = 0; at < bytes.length; at += piece)
          items.push(...frames.push(bytes.slice(at, at + piece)));
        expect(frames.finish()).toBe(1);
        const pieces = items.flatMap((item) => (item.kind === "piece" ? [item.bytes] : []));
        expect(concat(...pieces)).toEqual(concat(...objects));
        const ids = items.flatMap((item) => (item.kind === "object" ? [item.contentId] : []));
        expect(ids).toEqual(objects.map((_, i) => counting(i, 16)));
      },
    ),
    { numRuns: 60 },
  );
  const claims = new BackupFrames(true);
  claims.push(encodeObjectPrefix(counting(0, 16), 2 ** 52));
  expect(claims.push(counting(0, 100))).toEqual([{ kind: "piece", bytes: counting(0, 100) }]);
  expect(() => claims.finish()).toThrow(damaged);
});

test.each([
  ["a record after an object", true, concat(encodeObjectPrefix(counting(0, 16), 1), u8(0), record)],
  ["an object of no bytes", true, encodeObjectPrefix(counting(0, 16), 0)],
  ["an object without the flag", false, encodeObjectPrefix(counting(0, 16), 1)],
])("%s is damage [F-164]", (_, hasObjects, bytes) => {
  expect(() => new BackupFrames(hasObjects).push(bytes)).toThrow(damaged);
});

test("what has no end is not whole [F-164]", () => {
  for (const bytes of [new Uint8Array(0), record, record.slice(0, -1), encodeEndFrame(0).slice(0, -1)]) {
    const frames = new BackupFrames(false);
    frames.push(bytes);
    expect(() => frames.finish()).toThrow(damaged);
  }
});

test("each backup has a key of its own, bound to all before its body [F-163]", () => {
  const keys = [0, 1].map((id) => backupKey(counting(0, 32), counting(0xa0, 16), counting(id, 16)));
  expect(keys[0]).toHaveLength(32);
  expect(keys[0]).not.toEqual(keys[1]);
  expect(backupBodyAad(counting(0, 64))).not.toEqual(backupBodyAad(counting(1, 64)));
});
