import { expect, test } from "vitest";

import { concat, hex, u8, utf8 } from "../../../src/bytes.ts";
import { hmac } from "../../../src/crypto/hmac.ts";
import { recordNameKey } from "../../../src/formats/key-schedule.ts";
import {
  assertOwnKey,
  keyOfRecord,
  mirroredKey,
  mirrorKey,
  recordKey,
} from "../../../src/formats/records/record-key.ts";
import { DamagedError } from "../../../src/errors.ts";
import { counting } from "../changed-bytes.ts";
import { records, tables } from "./record-samples.ts";

const kname = recordNameKey(counting(0, 32), counting(0xa0, 16));
const id = counting(0xc0, 16);
const other = counting(0xd0, 16);
const h = (table: number, ...name: Uint8Array[]): string =>
  hex(hmac("sha256", kname, u8(table), ...name).subarray(0, 16));

test("gives the worked key of an alias [F-81]", () => {
  expect(hex(recordKey.alias(kname, "alias/Apollo/WorkKey"))).toBe("040b71d1e592e5ed18f443a5a93ca79d70");
});

test("builds every table's key as documented [F-81] [F-82]", () => {
  const keys: [Uint8Array, string][] = [
    [recordKey.state(), "01"],
    [recordKey.key(kname, id), `02${h(2, id)}`],
    [recordKey.version(kname, id, 258), `03${h(3, id)}00000102`],
    [recordKey.tag(kname, id, "Größe"), `05${h(5, id)}${h(5, id, utf8("Größe"))}`],
    [recordKey.due(kname, id, "rotate"), `06${h(6, id, utf8("rotate"))}`],
    [recordKey.grant(kname, id, other), `07${h(7, id)}${hex(other)}`],
    [recordKey.accessKey(kname, id), `08${h(8, id)}`],
    [recordKey.import(kname, id), `09${h(9, id)}`],
    [recordKey.setting(kname, "vault"), `0a${h(10, utf8("vault"))}`],
    [recordKey.tombstone(kname, id), `0b${h(11, id)}`],
    [recordKey.entry(kname, id, "cat.jpg"), `20${h(0x20, id)}${h(0x20, id, utf8("cat.jpg"))}`],
    [recordKey.content(kname, id), `21${h(0x21, id)}`],
    [recordKey.garbage(kname, id), `22${h(0x22, id)}`],
    [recordKey.auditPage(2 ** 33 + 1), "300000000200000001"],
    [recordKey.usage(kname, id), `31${h(0x31, id)}`],
  ];
  for (const [key, expected] of keys) expect(hex(key)).toBe(expected);
});

test("a CMK's versions, tags, grants and a directory's entries lie under one prefix", () => {
  const pairs: [Uint8Array, Uint8Array][] = [
    [recordKey.version(kname, id, 1), recordKey.versions(kname, id)],
    [recordKey.tag(kname, id, "a"), recordKey.tags(kname, id)],
    [recordKey.grant(kname, id, other), recordKey.grants(kname, id)],
    [recordKey.entry(kname, id, "a"), recordKey.entries(kname, id)],
  ];
  for (const [key, prefix] of pairs) expect(hex(key).startsWith(hex(prefix))).toBe(true);
});

test("the same id gives another hash in each table and under each key", () => {
  const one = [recordKey.key(kname, id), recordKey.tombstone(kname, id), recordKey.usage(kname, id)];
  expect(new Set(one.map((key) => hex(key.subarray(1)))).size).toBe(one.length);
  expect(recordKey.key(counting(9, 32), id)).not.toEqual(one[0]);
});

test("keys and versions have a mirror, nothing else has [F-85]", () => {
  const key = recordKey.key(kname, id);
  const version = recordKey.version(kname, id, 1);
  expect(mirrorKey(key)).toEqual(concat(u8(0x82), key.subarray(1)));
  expect(mirrorKey(version)).toEqual(concat(u8(0x83), version.subarray(1)));
  for (const first of [key, version]) {
    const mirror = mirrorKey(first) ?? new Uint8Array();
    expect(mirroredKey(mirror)).toEqual(first);
    expect(mirroredKey(first)).toBeUndefined();
    expect(mirrorKey(mirror)).toBeUndefined();
  }
  expect(mirrorKey(recordKey.alias(kname, "alias/a"))).toBeUndefined();
  expect(mirrorKey(new Uint8Array())).toBeUndefined();
});

test("refuses ids of another length", () => {
  expect(() => recordKey.key(kname, id.subarray(1))).toThrow("id: expected 16 bytes, got 15");
  expect(() => recordKey.due(kname, id.subarray(1), "delete")).toThrow(RangeError);
});

test.each(tables)(
  "a record of table %i belongs under the key that it names, and no other [F-86]",
  (table) => {
    const key = keyOfRecord(kname, table, records[table]);
    expect(key[0]).toBe(table);
    expect(() => assertOwnKey(kname, table, key, records[table])).not.toThrow();
    const moved = concat(key, u8(0));
    expect(() => assertOwnKey(kname, table, moved, records[table])).toThrow(DamagedError);
    const mirror = mirrorKey(key);
    if (mirror !== undefined) expect(() => assertOwnKey(kname, table, mirror, records[table])).not.toThrow();
  },
);
