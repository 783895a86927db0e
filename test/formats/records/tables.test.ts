import fc from "fast-check";
import { expect, test } from "vitest";

import { hex } from "../../../src/bytes.ts";
import { DamagedError } from "../../../src/errors.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../../../src/formats/cbor.ts";
import { decodeRecord, encodeRecord, type StateRecord } from "../../../src/formats/records/tables.ts";
import { everyByteChanged, everyPrefix, thrownBy } from "../changed-bytes.ts";
import { records, tables } from "./record-samples.ts";

const fieldsOf = (table: (typeof tables)[number]): Map<string, CborValue> =>
  new Map(decodeCbor(encodeRecord(table, records[table])) as ReadonlyMap<string, CborValue>);

test.each(tables)("a record of table %i comes back as it was [F-83]", (table) => {
  expect(decodeRecord(table, encodeRecord(table, records[table]))).toEqual(records[table]);
});

test.each(tables)("every missing, unknown or mistyped field of table %i is damage [F-83]", (table) => {
  const optional = new Set([
    "leap",
    "protected",
    "exportable",
    "deleteAt",
    "window",
    "rotateEvery",
    "rotateAt",
    "materialId",
    "expires",
    "spki",
    "sealed",
    "blob",
    "metadata",
  ]);
  const fields = fieldsOf(table);
  for (const [name, value] of fields) {
    const without = new Map(fields);
    without.delete(name);
    if (optional.has(name)) expect(decodeRecord(table, encodeCbor(without))).not.toHaveProperty(name);
    else expect(() => decodeRecord(table, encodeCbor(without))).toThrow(DamagedError);
    const wrong: CborValue = typeof value === "string" ? 1 : "wrong";
    expect(() => decodeRecord(table, encodeCbor(new Map(fields).set(name, wrong)))).toThrow(DamagedError);
  }
  for (const name of ["extra", "__proto__", "constructor", "toString", ""]) {
    expect(() => decodeRecord(table, encodeCbor(new Map(fields).set(name, 1)))).toThrow(DamagedError);
  }
});

test.each(tables)(
  "every byte changed in table %i is refused or means another record; every prefix is refused",
  (table) => {
    const sample = encodeRecord(table, records[table]);
    for (const { bytes } of everyByteChanged(sample)) {
      const error = thrownBy(() => expect(encodeRecord(table, decodeRecord(table, bytes))).toEqual(bytes));
      if (error !== undefined) expect(error).toBeInstanceOf(DamagedError);
    }
    for (const bytes of everyPrefix(sample)) expect(() => decodeRecord(table, bytes)).toThrow(DamagedError);
  },
);

test("writes the documented CBOR [F-83] [F-84]", () => {
  expect(hex(encodeRecord(0x06, { id: new Uint8Array(16), what: "delete", at: 2 ** 32 }))).toBe(
    "a362617 41b0000000100000000 626964 50 00000000000000000000000000000000 6477686174 6664656c657465".replaceAll(
      " ",
      "",
    ),
  );
  const sets = fieldsOf(0x01).get("sets") as Map<string, CborValue>;
  expect([...sets.keys()]).toEqual(["02", "0B"]);
});

test("refuses sums of tables that have none, and names that are not two upper-case digits [F-84]", () => {
  const fields = fieldsOf(0x01);
  for (const name of ["01", "00", "30", "31", "82", "0b", "2", "002", "1F"]) {
    const sets = new Map([[name, [1, new Uint8Array(32)]]]);
    expect(
      () => decodeRecord(0x01, encodeCbor(new Map<string, CborValue>(fields).set("sets", sets))),
      name,
    ).toThrow(DamagedError);
  }
  for (const item of [[1], [1, new Uint8Array(31)], [1, new Uint8Array(32), 1], 1]) {
    const sets = new Map<string, CborValue>([["02", item]]);
    expect(() =>
      decodeRecord(0x01, encodeCbor(new Map<string, CborValue>(fields).set("sets", sets))),
    ).toThrow(DamagedError);
  }
});

test("refuses to write what it would not read", () => {
  const key = records[0x02];
  expect(encodeRecord(0x02, { ...key, description: "x".repeat(8192) }).length).toBeLessThan(16_383);
  expect(() => encodeRecord(0x02, { ...key, description: "é".repeat(4097) })).toThrow(
    "description does not fit",
  );
  expect(() => encodeRecord(0x02, { ...key, id: new Uint8Array(15) })).toThrow(TypeError);
  expect(() => encodeRecord(0x02, { ...key, extra: 1 } as typeof key)).toThrow(TypeError);
  expect(() => encodeRecord(0x02, { ...key, created: -1 })).toThrow(TypeError);
  expect(() => encodeRecord(0x01, { sequence: 1 } as StateRecord)).toThrow(TypeError);
});

test("for arbitrary bytes, only damage comes", () => {
  fc.assert(
    fc.property(fc.constantFrom(...tables), fc.uint8Array({ maxLength: 60 }), (table, bytes) => {
      expect(thrownBy(() => decodeRecord(table, bytes))).toBeInstanceOf(DamagedError);
    }),
    { numRuns: 1000 },
  );
});
