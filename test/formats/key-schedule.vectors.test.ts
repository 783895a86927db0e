import { expect, test } from "vitest";

import { concat, fromHex, hex, label, u64, utf8 } from "../../src/bytes.ts";
import { digest, hmac } from "../../src/crypto/hmac.ts";
import {
  anchorKey,
  blobContext,
  blobKey,
  databaseKey,
  headerKey,
  materialContext,
  materialKey,
  recordContext,
  recordNameKey,
  setSumKey,
  slotContext,
  slotKek,
  vaultHint,
} from "../../src/formats/key-schedule.ts";
import { counting } from "./changed-bytes.ts";

const root = counting(0, 32);
const vaultId = counting(0xa0, 16);
const slotId = counting(0xb0, 16);
const keyId = counting(0xc0, 16);

test("derives the worked keys [F-30] [F-31]", () => {
  expect(hex(headerKey(root, vaultId))).toBe(
    "e3df169e53338d5d45b9b3229988962aef1e59f6a2044cfc771e5709ee066dd72958e0db98bb220d6a186488c5b1ad43ccdc36e26d85a00ff4e820834efef505",
  );
  expect(hex(databaseKey(root, vaultId))).toBe(
    "c1eda6fac49e2df54fe24b5c9e6d685e34a723114f856a4b4a1a3011e9844f7e",
  );
  expect(hex(recordNameKey(root, vaultId))).toBe(
    "260e4ba640c8528de3cb111d924632eadfbb7611dee8fbf5b7eca892b34bd31a",
  );
});

test("derives the worked slot key and blob key [F-32] [F-33]", () => {
  expect(hex(slotKek(root, vaultId, slotId))).toBe(
    "38d7cf0e6b3184b2315ef6cd190cdab82b7f581f6cb111165d8f1d3176cba308",
  );
  expect(hex(blobKey(root, keyId, 1))).toBe(
    "3e63e408682c5100226d8abd3eb45c0bb9c3c47b541151d4872b0c4b914e591d",
  );
});

test("gives the worked vault hint [F-34]", () => {
  expect(hex(vaultHint(vaultId))).toBe("b5072e57");
});

test("the anchor key makes the worked anchor [F-31]", () => {
  const fields = concat(vaultId, u64(7), u64(42), u64(0), new Uint8Array(16));
  const mac = hmac("sha256", anchorKey(root, vaultId), label("coffer/anchor/v1"), fields).subarray(0, 16);
  expect(`coffer1.${Buffer.from(concat(fields, mac)).toString("base64url")}`).toBe(
    "coffer1.oKGio6SlpqeoqaqrrK2urwAAAAAAAAAHAAAAAAAAACoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAn6E9C0HmdqFnGP52MA4Ex",
  );
});

test("no two keys of a vault are equal, and none is that of another vault [F-30]", () => {
  const derive = [headerKey, databaseKey, recordNameKey, setSumKey, materialKey, anchorKey];
  const keys = derive.flatMap((one) => [one(root, vaultId), one(root, keyId), one(counting(1, 32), vaultId)]);
  expect(new Set(keys.map((key) => hex(key.subarray(0, 32)))).size).toBe(keys.length);
});

test("builds the contexts byte for byte [F-35] [F-36] [F-37] [F-38]", () => {
  const ascii = (text: string): string => hex(utf8(text));
  expect(hex(blobContext(counting(1, 32), fromHex("0000")))).toBe(
    `${ascii("coffer/blob/v1")}00${hex(counting(1, 32))}0000`,
  );
  expect(hex(slotContext(vaultId, counting(1, 26)))).toBe(
    `${ascii("coffer/slot/v1")}00${hex(vaultId)}${hex(counting(1, 26))}`,
  );
  expect(hex(recordContext(vaultId, fromHex("01")))).toBe(`${ascii("coffer/record/v1")}00${hex(vaultId)}01`);
  const start = `${ascii("coffer/material/v1")}00${hex(vaultId)}${hex(keyId)}00000003`;
  const symmetric = { keyId, version: 3, spec: "SYMMETRIC_DEFAULT", usage: "ENCRYPT_DECRYPT" };
  const names = `11${ascii("SYMMETRIC_DEFAULT")}0f${ascii("ENCRYPT_DECRYPT")}`;
  expect(hex(materialContext(vaultId, symmetric))).toBe(`${start}${names}${hex(digest("sha256"))}`);
  const spki = fromHex("3003020101");
  expect(hex(materialContext(vaultId, { ...symmetric, spki }))).toBe(
    `${start}${names}${hex(digest("sha256", spki))}`,
  );
});

test("refuses keys and ids of another length", () => {
  expect(() => headerKey(root.subarray(1), vaultId)).toThrow("root: expected 32 bytes, got 31");
  expect(() => databaseKey(root, vaultId.subarray(1))).toThrow("vaultId: expected 16 bytes, got 15");
  expect(() => blobKey(root, keyId, 2 ** 32)).toThrow(RangeError);
});
