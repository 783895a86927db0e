import fc from "fast-check";
import { expect, test } from "vitest";

import { concat, hex, utf8 } from "../../src/bytes.ts";
import { CofferError, InvalidCiphertextError, UnsupportedFormatError } from "../../src/errors.ts";
import { encodeContext } from "../../src/formats/context.ts";
import {
  encodeFileHead,
  FILE_SEGMENT_SIZES,
  type FileHead,
  fileBytes,
  fileBeginningLength,
  fileOffsets,
  keyAreaBytesFor,
  MIN_KEY_AREA_BYTES,
  parseFileHead,
} from "../../src/formats/file.ts";
import {
  fileAreaKey,
  fileBodyAad,
  fileBodyKey,
  fileSlotContext,
  fileSlotKek,
  slotKek,
} from "../../src/formats/key-schedule.ts";
import { counting, everyByteChanged, everyPrefix, thrownBy } from "./changed-bytes.ts";
import { context, dek, fileId, head, headAndMore, headBytes } from "./file-sample.ts";

test("the head has the documented layout [F-200]", () => {
  expect(headBytes).toHaveLength(512);
  expect(hex(headBytes.subarray(0, 64))).toBe(
    `89434f460d0a1a0a0101000100010020${hex(fileId)}0000000f000008000000018bcfe56800${"00".repeat(16)}`,
  );
  expect(headBytes.subarray(64, 79)).toEqual(encodeContext(context));
  expect(fileOffsets(head)).toEqual({ areas: [512, 2560], body: 4608, segments: 4682 });
  expect(fileBeginningLength(headBytes)).toBe(4682);
  expect(fileBytes(head, 65_537)).toBe(4682 + 65_537 + 2 * 32);
});

test("for every head, parsing gives the fields, whatever follows", () => {
  const heads: fc.Arbitrary<FileHead> = fc.record({
    fileId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    segmentPlaintextBytes: fc.constantFrom(...FILE_SEGMENT_SIZES),
    storedContext: fc.option(fc.dictionary(fc.string(), fc.string()).map(encodeContext), { nil: undefined }),
    areaBytes: fc.constantFrom(2048, 4096, 8192, 16_384, 32_768, 65_536),
    createdAtMs: fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { nil: undefined }),
  });
  fc.assert(
    fc.property(heads, fc.uint8Array({ maxLength: 9 }), (fields, rest) => {
      const bytes = encodeFileHead(fields);
      expect(bytes.length % 512).toBe(0);
      expect(parseFileHead(concat(bytes, rest))).toEqual({ ...fields, bytes });
    }),
    { numRuns: 100 },
  );
});

test("every byte changed is refused with a typed error, or shows in the fields [F-201] [F-203] [F-204]", () => {
  let accepted = 0;
  for (const { bytes, at } of everyByteChanged(headAndMore)) {
    if (at >= headBytes.length) continue;
    const error = thrownBy(() => parseFileHead(bytes));
    if (error === undefined) {
      // File id, creation time, segment and area length, the letters of the context: authenticated by the body's aad.
      expect(parseFileHead(bytes)).not.toEqual(head);
      accepted += 1;
    } else {
      expect(error).toBeInstanceOf(at === 8 || at === 9 ? UnsupportedFormatError : InvalidCiphertextError);
    }
  }
  expect(accepted).toBeGreaterThan(0);
});

test("every prefix is refused [F-200]", () => {
  for (const bytes of everyPrefix(headBytes)) {
    expect(thrownBy(() => parseFileHead(bytes))).toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
      reason: bytes.length === 0 ? "empty" : "cut",
    });
  }
});

test("arbitrary bytes are refused with a typed error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (noise, isLike) => {
      const bytes = isLike ? concat(headBytes.subarray(0, 10), noise) : noise;
      for (const read of [parseFileHead, fileBeginningLength]) {
        const error = thrownBy(() => read(bytes));
        if (error !== undefined) expect(error).toBeInstanceOf(CofferError);
      }
    }),
    { numRuns: 300 },
  );
});

test("no other segment length is written or read [F-202]", () => {
  const fields = { ...head, storedContext: undefined };
  expect(() => encodeFileHead({ ...fields, segmentPlaintextBytes: 65_535 })).toThrow(RangeError);
  for (const length of [0, 31, 32, 33, 64, 65_536, 65_567, 65_569, 0xffff_ffff]) {
    const bytes = new Uint8Array(headBytes);
    new DataView(bytes.buffer).setUint32(12, length);
    expect(thrownBy(() => parseFileHead(bytes))).toMatchObject({
      reason: "preamble",
      details: { field: "segment length" },
    });
  }
});

test("things of other kinds are named [F-201]", () => {
  const reasonOf = (text: string): unknown => {
    const error = thrownBy(() => parseFileHead(concat(utf8(text), new Uint8Array(600))));
    return error instanceof CofferError ? error.reason : error;
  };
  expect(reasonOf("COB")).toBe("coffer-blob");
  expect(reasonOf("age-encryption.org/v1\n")).toBe("age");
  expect(reasonOf("-----BEGIN AGE ENCRYPTED FILE-----")).toBe("age");
  expect(reasonOf("Salted__")).toBe("openssl-enc");
  expect(reasonOf("hello")).toBe("not-a-file");
});

test("a key area is the smallest that has room", () => {
  expect([1, 2048, 2049, 65_536, 65_537].map(keyAreaBytesFor)).toEqual([
    MIN_KEY_AREA_BYTES,
    2048,
    4096,
    65_536,
    undefined,
  ]);
});

test("the keys of a file are separate from each other and from a vault's [F-220] [F-221] [F-222]", () => {
  const slotId = counting(0xb0, 16);
  const secret = counting(0, 32);
  const all = [
    fileAreaKey(dek, fileId),
    fileBodyKey(dek, fileId),
    fileSlotKek(secret, fileId, slotId),
    slotKek(secret, fileId, slotId),
  ].map(hex);
  expect(new Set(all).size).toBe(all.length);
  expect(all.slice(0, 3)).toEqual([
    "f3348649575df67fae820e0237e481d0e2948352a32d69f89fa59176af42b63d",
    "cc28dc929e156989da440b1e0ac277574d187b9eaf5312cd3be304298f0a9eac",
    "10354e67e71541526b96be9beafd1cc64dd92a466836e781249b149aee108ad1",
  ]);
});

test("slots and bodies are bound as documented [F-223] [F-224]", () => {
  expect(hex(fileSlotContext(fileId, Uint8Array.of(1, 2)))).toBe(
    `${hex(utf8("coffer/file-slot/v1"))}00${hex(fileId)}0102`,
  );
  expect(hex(fileBodyAad(utf8("abc"), utf8("")))).toBe(
    `${hex(utf8("coffer/file-body/v1"))}00` +
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" +
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
});
