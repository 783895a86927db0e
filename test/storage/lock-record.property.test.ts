import fc from "fast-check";
import { expect, test } from "vitest";
import { utf8 } from "../../src/bytes.ts";
import {
  decodeLockRecord,
  encodeLockRecord,
  lockHost,
  MAX_LOCK_BYTES,
} from "../../src/storage/lock-record.ts";

const record = fc.record({
  pid: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  host: fc.string({ unit: "grapheme", maxLength: 300 }).map(lockHost),
  started: fc.stringMatching(/^[0-9a-f-]{36}\/\d{1,15}$/u),
  instance: fc.stringMatching(/^[0-9a-f]{32}$/u),
  since: fc.nat(8.64e15),
});

test("for every record, what is written is read back, whatever the host is called", () => {
  fc.assert(
    fc.property(record, (written) => {
      const bytes = encodeLockRecord(written);
      expect(bytes.length).toBeLessThanOrEqual(MAX_LOCK_BYTES);
      expect(decodeLockRecord(bytes)).toEqual(written);
    }),
  );
});

test("arbitrary bytes and JSON give a record in bounds or none, and never an error", () => {
  const field = fc.oneof(
    fc.jsonValue(),
    fc.integer(),
    fc.string(),
    fc.constantFrom("../x", "\u202e", 0, -1, 1e300),
  );
  const json = fc.record(
    { pid: field, host: field, started: field, instance: field, since: field },
    { requiredKeys: [] },
  );
  const bytes = fc.oneof(
    fc.uint8Array(),
    fc.jsonValue().map((value) => utf8(JSON.stringify(value))),
    json.map((value) => utf8(JSON.stringify(value))),
  );
  fc.assert(
    fc.property(bytes, (text) => {
      const read = decodeLockRecord(text);
      if (read === undefined) return;
      expect(read.host).toMatch(/^[\w.-]{1,255}$/u);
      expect(read.instance).toMatch(/^[0-9a-f]{32}$/u);
      expect(Number.isFinite(new Date(read.since).getTime())).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("every prefix of a record is refused, but for the one that lacks the last line feed only", () => {
  const bytes = encodeLockRecord({ pid: 1, host: "h", started: "1", instance: "00".repeat(16), since: 1 });
  for (let length = 0; length < bytes.length - 1; length++) {
    expect(decodeLockRecord(bytes.subarray(0, length))).toBeUndefined();
  }
});
