import { expect, test } from "vitest";

import { hex, label, concat } from "../../../src/bytes.ts";
import { open } from "../../../src/crypto/seal.ts";
import { DamagedError } from "../../../src/errors.ts";
import { databaseKey } from "../../../src/formats/key-schedule.ts";
import { mirrorKey } from "../../../src/formats/records/record-key.ts";
import { openRecord, sealRecord } from "../../../src/formats/records/sealing.ts";
import { counting, everyByteChanged, everyPrefix } from "../changed-bytes.ts";

const vaultId = counting(0xa0, 16);
const kdb = databaseKey(counting(0, 32), vaultId);
const key = counting(2, 17);
const cbor = Uint8Array.of(0xa0);
const value = sealRecord(kdb, vaultId, key, cbor);

test("a value is SEAL of the CBOR for its LevelDB key and vault [F-80]", () => {
  expect(hex(openRecord(kdb, vaultId, key, value))).toBe("a0");
  expect(hex(open(kdb, concat(label("coffer/record/v1"), vaultId, key), value))).toBe("a0");
});

test("a mirror holds the same bytes, and opens as its first [F-85]", () => {
  const mirror = mirrorKey(key) ?? new Uint8Array();
  expect(mirror[0]).toBe(0x82);
  expect(hex(openRecord(kdb, vaultId, mirror, value))).toBe("a0");
  expect(sealRecord(kdb, vaultId, mirror, cbor)).not.toEqual(value);
});

test("a value that was changed, cut, moved or taken from another vault is damage [F-80]", () => {
  for (const { bytes } of everyByteChanged(value)) {
    expect(() => openRecord(kdb, vaultId, key, bytes)).toThrow(DamagedError);
  }
  for (const bytes of everyPrefix(value))
    expect(() => openRecord(kdb, vaultId, key, bytes)).toThrow(DamagedError);
  for (const { bytes } of everyByteChanged(key)) {
    if (bytes[0] !== 0x82) expect(() => openRecord(kdb, vaultId, bytes, value)).toThrow(DamagedError);
  }
  expect(() => openRecord(kdb, counting(0xa1, 16), key, value)).toThrow(DamagedError);
  expect(() => openRecord(counting(1, 32), vaultId, key, value)).toThrow(DamagedError);
});

test("refuses more than 16,383 bytes", () => {
  expect(() => sealRecord(kdb, vaultId, key, new Uint8Array(16_384))).toThrow(RangeError);
});
