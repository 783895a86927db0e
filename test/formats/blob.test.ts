import fc from "fast-check";
import { createCipheriv } from "node:crypto";
import { describe, expect, test } from "vitest";

import { concat, hex, label, u32, utf8 } from "../../src/bytes.ts";
import { type DrawRandom, hedgedRandom } from "../../src/crypto/random.ts";
import { type CofferError, InvalidCiphertextError, UnsupportedFormatError } from "../../src/errors.ts";
import {
  BLOB_OVERHEAD_BYTES,
  openBlob,
  parseBlob,
  sealBlob,
  sealRandomBlob,
} from "../../src/formats/blob.ts";
import { encodeContext } from "../../src/formats/context.ts";
import { blobContext, blobKey } from "../../src/formats/key-schedule.ts";
import { counting, everyByteChanged, everyPrefix, thrownBy } from "./changed-bytes.ts";

const header = { keyId: counting(0xc0, 16), version: 1, vaultHint: Uint8Array.of(0xb5, 0x07, 0x2e, 0x57) };
const kenc = blobKey(counting(0, 32), header.keyId, 1);
const cec = encodeContext({ app: "Apollo" });
const plaintext = utf8("WorkKey");
const blob = sealBlob(kenc, header, cec, plaintext);

test("begins with the documented header and is 104 bytes longer than its plaintext [F-40]", () => {
  expect(hex(blob.subarray(0, 32))).toBe(`434f420101000000${hex(header.keyId)}00000001b5072e57`);
  expect(blob).toHaveLength(plaintext.length + BLOB_OVERHEAD_BYTES);
});

test("for every plaintext and context, opening gives the plaintext", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.dictionary(fc.string(), fc.string()),
      fc.nat({ max: 2 ** 32 - 1 }),
      (bytes, context, version) => {
        const encoded = encodeContext(context);
        const parsed = parseBlob(sealBlob(kenc, { ...header, version }, encoded, bytes));
        expect(parsed.header).toEqual({ ...header, version });
        expect(openBlob(kenc, parsed, encoded)).toEqual(bytes);
      },
    ),
    { numRuns: 100 },
  );
});

test("a fresh plaintext of 1 to 1,024 bytes is what its blob holds, and is in no other", () => {
  for (const length of [1, 16, 31, 32, 33, 64, 65, 1024]) {
    const one = sealRandomBlob(kenc, header, cec, length);
    expect([one.plaintext.length, one.plaintext.buffer.byteLength]).toEqual([length, length]);
    expect(openBlob(kenc, parseBlob(one.sealed), cec)).toEqual(one.plaintext);
    const [start, text] = [hex(one.plaintext.subarray(0, 16)), hex(one.sealed)];
    // One byte is met by chance.
    if (length > 1) expect(text).not.toContain(start);
    const other = sealRandomBlob(kenc, header, cec, length);
    expect(hex(other.sealed.subarray(32, 56))).not.toBe(hex(one.sealed.subarray(32, 56)));
    if (length > 1) expect(hex(other.plaintext.subarray(0, 16))).not.toBe(start);
  }
  expect(() => sealRandomBlob(kenc, header, cec, 0)).toThrow(RangeError);
  expect(() => sealRandomBlob(kenc, header, cec, 1025)).toThrow(RangeError);
});

describe("a fresh plaintext where the state of the generator repeats", () => {
  const stuck = (): DrawRandom =>
    hedgedRandom({ fillRandom: (bytes) => void bytes.fill(7), monotonicNs: () => 5n });
  const saltOf = ({ sealed }: { readonly sealed: Uint8Array }): string => hex(sealed.subarray(32, 56));

  test("has another salt for each length and context, and none that another plaintext has", () => {
    const salts = [1, 16, 32, 33, 64, 65, 1000, 1024].map((length) =>
      saltOf(sealRandomBlob(kenc, header, cec, length, stuck())),
    );
    salts.push(saltOf(sealRandomBlob(kenc, header, encodeContext({ app: "Ares" }), 32, stuck())));
    // What `seal` hedges with is the context's length, the context, and a plaintext: an empty one here, and four bytes.
    const context = blobContext(blob.subarray(0, 32), cec);
    for (const given of [new Uint8Array(0), u32(32)]) {
      salts.push(hex(stuck()(24, u32(context.length), context, given)));
    }
    expect(new Set(salts).size).toBe(salts.length);
  });

  test("repeats with its salt", () => {
    const [one, two] = [0, 1].map(() => sealRandomBlob(kenc, header, cec, 48, stuck()));
    expect(one).toEqual(two);
  });

  test("comes from the bytes after the salt: the first of them, or their keystream", () => {
    const context = blobContext(blob.subarray(0, 32), cec);
    for (const length of [16, 32, 33, 1024]) {
      const drawn = stuck()(56, label("coffer/fresh/v1"), u32(length), u32(context.length), context);
      const made = sealRandomBlob(kenc, header, cec, length, stuck());
      expect(saltOf(made)).toBe(hex(drawn.subarray(0, 24)));
      const keystream = createCipheriv("aes-256-gcm", drawn.subarray(24), Buffer.alloc(12)).update(
        Buffer.alloc(length),
      );
      expect(hex(made.plaintext)).toBe(hex(length <= 32 ? drawn.subarray(24, 24 + length) : keystream));
    }
  });

  test("is wiped where it cannot be sealed", () => {
    const drawn = new Uint8Array(56).fill(3);
    expect(() => sealRandomBlob(kenc.subarray(1), header, cec, 32, () => drawn)).toThrow(RangeError);
    // Refused before anything was drawn.
    expect(drawn).toEqual(new Uint8Array(56).fill(3));
    sealRandomBlob(kenc, header, cec, 32, () => drawn);
    expect(drawn).toEqual(new Uint8Array(56));
  });
});

test("carries 0 to 16,383 bytes [F-41]", () => {
  for (const length of [0, 16_383]) {
    const bytes = new Uint8Array(length).fill(7);
    expect(openBlob(kenc, parseBlob(sealBlob(kenc, header, cec, bytes)), cec)).toEqual(bytes);
  }
  expect(() => sealBlob(kenc, header, cec, new Uint8Array(16_384))).toThrow(RangeError);
  expect(thrownBy(() => parseBlob(concat(blob.subarray(0, 8), new Uint8Array(16_480))))).toMatchObject({
    code: "COFFER_INVALID_CIPHERTEXT",
    reason: "too-long",
  });
});

test("every byte changed and every prefix are refused with a typed error [F-42] [F-43]", () => {
  for (const { bytes, at } of everyByteChanged(blob)) {
    const error = thrownBy(() => openBlob(kenc, parseBlob(bytes), cec));
    expect(error, `byte ${at}`).toBeInstanceOf(
      at === 3 || at === 4 ? UnsupportedFormatError : InvalidCiphertextError,
    );
  }
  for (const bytes of everyPrefix(blob)) {
    expect(thrownBy(() => openBlob(kenc, parseBlob(bytes), cec))).toBeInstanceOf(InvalidCiphertextError);
  }
});

test("once a key is involved there is one answer, whatever was wrong [F-46]", () => {
  const parsed = parseBlob(blob);
  const changed = new Uint8Array(blob);
  changed[100] = (changed[100] as number) ^ 1;
  const answers = [
    thrownBy(() => openBlob(counting(1, 32), parsed, cec)),
    thrownBy(() => openBlob(kenc, parsed, encodeContext({ app: "apollo" }))),
    thrownBy(() => openBlob(kenc, parsed, encodeContext(undefined))),
    thrownBy(() => openBlob(kenc, parseBlob(changed), cec)),
    thrownBy(() => openBlob(kenc, parseBlob(blob.subarray(0, -1)), cec)),
  ];
  const messages = new Set(answers.map((error) => JSON.stringify(error)));
  expect(messages.size).toBe(1);
  for (const error of answers) {
    expect(error).toBeInstanceOf(InvalidCiphertextError);
    expect((error as CofferError).cause).toBeUndefined();
  }
});

test("keeps nothing of the caller's bytes", () => {
  const bytes = new Uint8Array(blob);
  const parsed = parseBlob(bytes);
  bytes.fill(0);
  expect(openBlob(kenc, parsed, cec)).toEqual(plaintext);
});

test.each([
  ["empty", ""],
  ["cut", "COB"],
  ["cut", "COB\u0001\u0001\u0000"],
  ["coffer-file", "\u0089COF\r\n\u001a\n"],
  ["coffer-vault-header", "\u0089COV\r\n\u001a\n"],
  ["coffer-backup", "\u0089COA\r\n\u001a\n"],
  ["age", "age-encryption.org/v1\n-> X25519"],
  ["age", "-----BEGIN AGE ENCRYPTED FILE-----\n"],
  ["aws-kms", "\u0001\u0002\u0002\u0000\u0078\u0001"],
  ["aws-kms", "AQICAHhAyiUN"],
  ["aws-encryption-sdk", "\u0001\u0080\u0003\u0078"],
  ["aws-encryption-sdk", "\u0002\u0005\u0078"],
  ["base64-text", Buffer.from(blob).toString("base64")],
  ["not-a-blob", "-----BEGIN PRIVATE KEY-----"],
  ["not-a-blob", "CO"],
])("says %s before any key is used [F-44] [F-45]", (reason, text) => {
  const error = thrownBy(() => parseBlob(new Uint8Array(Buffer.from(text, "latin1"))));
  expect(error).toBeInstanceOf(InvalidCiphertextError);
  expect((error as CofferError).reason).toBe(reason);
});

test("for arbitrary bytes, only the typed errors come", () => {
  const start = fc.constantFrom(
    new Uint8Array(),
    blob.subarray(0, 3),
    blob.subarray(0, 8),
    blob.subarray(0, 32),
  );
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 200 }), (first, rest) => {
      const error = thrownBy(() => openBlob(kenc, parseBlob(concat(first, rest)), cec));
      expect(error instanceof InvalidCiphertextError || error instanceof UnsupportedFormatError).toBe(true);
    }),
    { numRuns: 500 },
  );
});
