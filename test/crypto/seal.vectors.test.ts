import { inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { concat, equal, fromHex, hex } from "../../src/bytes.ts";
import { openGcm } from "../../src/crypto/aes-gcm.ts";
import { expand } from "../../src/crypto/hkdf.ts";
import { digest } from "../../src/crypto/hmac.ts";
import { open, SEAL_OVERHEAD_BYTES, sealWithSalt } from "../../src/crypto/seal.ts";
import { fixture, vectors } from "../vectors.ts";

interface Golden {
  readonly key: string;
  readonly salt: string;
  readonly cases: readonly {
    readonly name: string;
    readonly context?: string;
    readonly contextZeros?: number;
    readonly plaintext?: string;
    readonly plaintextZeros?: number;
    readonly info?: string;
    readonly aeadKey?: string;
    readonly baseNonce?: string;
    readonly commitment: string;
    readonly sealed?: string;
    readonly sealedLength?: number;
    readonly sealedSha256?: string;
  }[];
}

interface Chunked {
  readonly testGroups: readonly { readonly tests: readonly ChunkedCase[] }[];
}

interface ChunkedCase {
  readonly tcId: number;
  readonly key: string;
  readonly ctx: string;
  readonly ct: string;
  readonly aeadKey?: string;
  readonly baseNonce?: string;
  readonly msgLength?: number;
  readonly msgSha512?: string;
  readonly result: "valid" | "invalid";
  readonly flags: readonly string[];
}

const golden = fixture("crypto/seal.json") as Golden;

describe("worked values", () => {
  const key = fromHex(golden.key);
  const salt = fromHex(golden.salt);

  it.each(golden.cases)("$name seals to the written bytes and opens [F-10]", (example) => {
    const context = bytesOf(example.context, example.contextZeros);
    const plaintext = bytesOf(example.plaintext, example.plaintextZeros);
    const sealed = sealWithSalt(key, salt, context, plaintext);
    expect(hex(sealed.subarray(24, 56))).toBe(example.commitment);
    expect(sealed.length).toBe(example.sealedLength ?? plaintext.length + SEAL_OVERHEAD_BYTES);
    expect(hex(digest("sha256", sealed))).toBe(
      example.sealedSha256 ?? hex(digest("sha256", bytesOf(example.sealed))),
    );
    expect(equal(open(key, context, sealed), plaintext)).toBe(true);
  });

  it.each(golden.cases.filter((example) => example.info !== undefined))(
    "$name derives key, nonce and commitment from the written info",
    (example) => {
      const derived = hex(expand("sha512", key, bytesOf(example.info), 76));
      expect(derived).toBe(`${example.aeadKey}${example.baseNonce}${example.commitment}`);
    },
  );
});

const published = vectors("wycheproof/c2sp_chunked_encryption_aes_256_gcm_test.json") as Chunked | undefined;
const cases = published?.testGroups.flatMap((group) => group.tests) ?? [];

/** Cases by what OPEN, with its one chunk, says of them. */
const OPENS = new Set([1, 2, 9, 10]);
const KEY_LENGTH = new Set([23, 24]);
const AUTHENTICATION = new Set([11, 21, 22, 25, 26]);
/** Invalid cases of which a streaming reader may release a prefix, which the case names. */
const PREFIX = new Set([12, 13, 14, 18, 19, 31, 32, 34, 35]);
const LENGTH_ANSWERED = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 15, 33, 34]);
const HEADER_FAILURE = new Set([21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);

describe.runIf(published !== undefined)("published vectors", () => {
  it("hold the 35 cases", () => {
    expect(cases.map((one) => one.tcId)).toEqual(Array.from({ length: 35 }, (_, i) => i + 1));
  });

  it.each(cases)("case $tcId: one chunk is opened or refused as the table says", (one) => {
    const refused = KEY_LENGTH.has(one.tcId)
      ? "RangeError"
      : AUTHENTICATION.has(one.tcId)
        ? "AuthenticationError"
        : "MalformedError";
    const opened = { length: one.msgLength, sha512: one.msgSha512, sealsAgain: true };
    expect(openOneChunk(one)).toEqual(OPENS.has(one.tcId) ? opened : refused);
  });

  it.each(cases)("case $tcId: the general reading agrees", (one) => {
    const valid = one.tcId <= 10;
    const reading = readMessage(fromHex(one.key), fromHex(one.ctx), inflate(one));
    const released = valid || PREFIX.has(one.tcId) ? one.msgSha512 : hex(digest("sha512"));
    expect(one.result).toBe(valid ? "valid" : "invalid");
    expect(reading.complete).toBe(valid);
    expect(reading.refusedBeforeChunks).toBe(HEADER_FAILURE.has(one.tcId));
    expect(hex(digest("sha512", reading.plaintext))).toBe(released);
    expect(reading.length !== undefined).toBe(LENGTH_ANSWERED.has(one.tcId));
    expect(valid ? reading.length : undefined).toBe(valid ? one.msgLength : undefined);
  });

  it.each(cases.filter((one) => one.aeadKey !== undefined))(
    "case $tcId: key and nonce derive as given, and read the body alone",
    (one) => {
      const message = inflate(one);
      const derived = deriveReference(fromHex(one.key), fromHex(one.ctx), message);
      expect(hex(derived.key)).toBe(one.aeadKey);
      expect(hex(derived.nonce)).toBe(one.baseNonce);
      const raw = readChunks(bytesOf(one.aeadKey), bytesOf(one.baseNonce), message.subarray(56));
      expect(raw.complete).toBe(one.result === "valid");
    },
  );

  it("gives key and nonce in 25 cases", () => {
    expect(cases.filter((one) => one.aeadKey !== undefined)).toHaveLength(25);
  });
});

function bytesOf(digits: string | undefined, zeros = 0): Uint8Array {
  return digits === undefined ? new Uint8Array(zeros) : fromHex(digits);
}

function inflate(one: ChunkedCase): Uint8Array {
  return new Uint8Array(inflateSync(fromHex(one.ct)));
}

function openOneChunk(one: ChunkedCase): unknown {
  const key = fromHex(one.key);
  const context = fromHex(one.ctx);
  const message = inflate(one);
  try {
    const plaintext = open(key, context, message);
    const again = sealWithSalt(key, message.subarray(0, 24), context, plaintext);
    return {
      length: plaintext.length,
      sha512: hex(digest("sha512", plaintext)),
      sealsAgain: equal(again, message),
    };
  } catch (error) {
    return (error as Error).name;
  }
}

/** What a reader of any number of chunks learns: the prefix it may release, and the answer to a length query. */
interface Reading {
  readonly plaintext: Uint8Array;
  readonly complete: boolean;
  readonly length: number | undefined;
  readonly refusedBeforeChunks: boolean;
}

const CHUNK = 16_384;
const NOTHING = { plaintext: new Uint8Array(0), complete: false, length: undefined };

function deriveReference(
  key: Uint8Array,
  context: Uint8Array,
  message: Uint8Array,
): { key: Uint8Array; nonce: Uint8Array; commitment: Uint8Array } {
  const domain = new TextEncoder().encode("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0");
  const derived = expand("sha512", key, concat(domain, message.subarray(0, 24), context), 76);
  return { key: derived.slice(0, 32), nonce: derived.slice(32, 44), commitment: derived.slice(44) };
}

function readMessage(key: Uint8Array, context: Uint8Array, message: Uint8Array): Reading {
  const refused = { ...NOTHING, refusedBeforeChunks: true };
  if (key.length !== 32 || message.length < 56) return refused;
  const derived = deriveReference(key, context, message);
  if (!equal(derived.commitment, message.subarray(24, 56))) return refused;
  return { ...readChunks(derived.key, derived.nonce, message.subarray(56)), refusedBeforeChunks: false };
}

function readChunks(
  key: Uint8Array,
  base: Uint8Array,
  body: Uint8Array,
): Omit<Reading, "refusedBeforeChunks"> {
  const full = Math.floor(body.length / (CHUNK + 16));
  const rest = body.length % (CHUNK + 16);
  const chunk = (k: number): Uint8Array => {
    const nonce = base.slice();
    const view = new DataView(nonce.buffer);
    view.setUint32(8, view.getUint32(8) ^ k);
    return openGcm(key, nonce, new Uint8Array(0), body.subarray(k * (CHUNK + 16), (k + 1) * (CHUNK + 16)));
  };
  let length: number | undefined;
  if (rest >= 16) {
    try {
      length = full * CHUNK + chunk(full).length;
    } catch {
      length = undefined;
    }
  }
  const parts: Uint8Array[] = [];
  try {
    for (let k = 0; k < full; k++) parts.push(chunk(k));
    if (rest < 16) return { plaintext: concat(...parts), complete: false, length };
    parts.push(chunk(full));
    return { plaintext: concat(...parts), complete: true, length };
  } catch {
    return { plaintext: concat(...parts), complete: false, length };
  }
}
