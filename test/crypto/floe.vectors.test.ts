import { describe, expect, it } from "vitest";
import { concat, equal, fromHex, hex } from "../../src/bytes.ts";
import { FloeOpener, FloeSealer } from "../../src/crypto/floe-in-order.ts";
import { FloeSegments } from "../../src/crypto/floe-segments.ts";
import {
  createFloeWithIv,
  firstOfEpoch,
  FLOE_HEADER_BYTES,
  floeLayout,
  floeMessageBytes,
  openFloe,
  segmentKey,
  type FloeKeys,
} from "../../src/crypto/floe.ts";
import { digest } from "../../src/crypto/hmac.ts";
import type { NextNonce } from "../../src/crypto/nonce-pool.ts";
import { fixture, vectors, vectorText } from "../vectors.ts";

interface Golden {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly nonceA: string;
  readonly nonceB: string;
  readonly schedules: readonly {
    readonly segmentBytes: number;
    readonly headerTag: string;
    readonly messageKey: string;
    readonly segmentKey: string;
  }[];
  readonly segmentKeys: readonly {
    readonly positions: readonly number[];
    readonly first: number;
    readonly key: string;
  }[];
  readonly messages: readonly {
    readonly name: string;
    readonly plaintext: string;
    readonly zeros: number;
    readonly nonces: readonly ("A" | "B")[];
    readonly length: number;
    readonly body?: string;
    readonly lastSegment?: string;
    readonly sha256?: string;
  }[];
  readonly farSegment: { readonly position: number; readonly plaintext: string; readonly sealed: string };
  readonly sizes: readonly (readonly [plaintextBytes: number, messageBytes: number])[];
}

const golden = fixture("crypto/floe.json") as Golden;
const key = fromHex(golden.key);
const iv = fromHex(golden.iv);
const aad = fromHex(golden.aad);
const nonces = { A: fromHex(golden.nonceA), B: fromHex(golden.nonceB) };

describe("worked values", () => {
  it.each(golden.schedules)("keys at E = $segmentBytes", (one) => {
    const { header, keys } = createFloeWithIv(key, { aad, segmentBytes: one.segmentBytes }, iv);
    expect(header).toHaveLength(FLOE_HEADER_BYTES);
    expect(hex(header.subarray(0, 6))).toBe(`0000${one.segmentBytes.toString(16).padStart(8, "0")}`);
    expect(hex(header.subarray(42))).toBe(one.headerTag);
    expect(hex(keys.messageKey)).toBe(one.messageKey);
    expect(hex(segmentKey(keys, 0))).toBe(one.segmentKey);
    expect(openFloe(key, { aad, segmentBytes: one.segmentBytes }, header)).toEqual(keys);
  });

  it.each(golden.segmentKeys)("the key of the epoch at $first", (one) => {
    const { keys } = createFloeWithIv(key, { aad, segmentBytes: 65_568 }, iv);
    expect(one.positions.map((position) => firstOfEpoch(position, 20))).toEqual(
      one.positions.map(() => one.first),
    );
    expect(hex(segmentKey(keys, one.first))).toBe(one.key);
  });

  it.each(golden.messages)("$name seals to the written bytes and opens", (one) => {
    const plaintext = concat(new Uint8Array(one.zeros), fromHex(one.plaintext));
    const { header, keys } = createFloeWithIv(key, { aad, segmentBytes: 65_568 }, iv);
    const given = one.nonces.map((name) => nonces[name]);
    const sealer = new FloeSealer(new FloeSegments(keys, replay(given)));
    const message = concat(header, ...sealer.push(plaintext), sealer.finish());
    expect(message).toHaveLength(one.length);
    expect(one.body ?? one.lastSegment ?? one.sha256).toBeDefined();
    expect(hex(digest("sha256", message))).toBe(one.sha256 ?? hex(digest("sha256", header, whole(one.body))));
    expect(hex(message).endsWith(one.lastSegment ?? "")).toBe(true);
    expect(equal(openInOrder(keys, message, 1000), plaintext)).toBe(true);
    expect(equal(openAtRandom(keys, message), plaintext)).toBe(true);
  });

  it("F5: a segment at a position beyond 2^32", () => {
    const { position, plaintext, sealed } = golden.farSegment;
    const { keys } = createFloeWithIv(key, { aad, segmentBytes: 65_568 }, iv);
    const segments = new FloeSegments(keys, replay([nonces.B]));
    expect(hex(segments.seal({ position, isLast: true }, fromHex(plaintext)))).toBe(sealed);
    expect(hex(segments.open({ position, isLast: true }, fromHex(sealed)))).toBe(plaintext);
  });

  it.each(golden.sizes)("%i bytes of plaintext make a message of %i", (plaintextBytes, messageBytes) => {
    expect(floeMessageBytes(plaintextBytes, 65_568)).toBe(messageBytes);
    expect(floeLayout(messageBytes - FLOE_HEADER_BYTES, 65_568).plaintextBytes).toBe(plaintextBytes);
  });
});

const parameters = vectors("floe/parameters.json") as
  { readonly keyHex: string; readonly aadText: string } | undefined;

/** Name, E, low bits that share a key, segments. */
const PUBLISHED: readonly (readonly [string, number, number, number])[] = [
  ["go_GCM256_IV256_4K", 4096, 20, 3],
  ["go_GCM256_IV256_64", 64, 20, 3],
  ["go_rotation", 40, 2, 11],
  ["java_GCM256_IV256_4K", 4096, 20, 3],
  ["java_GCM256_IV256_64", 64, 20, 3],
  ["java_lastSegAligned", 40, 20, 2],
  ["java_lastSegEmpty", 40, 20, 3],
  ["java_rotation", 40, 2, 11],
  ["rust_GCM256_IV256_4K", 4096, 20, 3],
  ["rust_GCM256_IV256_64", 64, 20, 5],
  ["rust_rotation", 40, 2, 51],
];

describe.runIf(parameters !== undefined)("published vectors", () => {
  const publishedKey = fromHex(parameters?.keyHex ?? "");
  const input = { aad: new TextEncoder().encode(parameters?.aadText) };

  it.each(PUBLISHED)("%s", (name, segmentBytes, rotationBits, segments) => {
    const message = fromHex(vectorText(`floe/${name}_ct.txt`) ?? "");
    const plaintext = fromHex(vectorText(`floe/${name}_pt.txt`) ?? "");
    const header = message.subarray(0, FLOE_HEADER_BYTES);
    const body = message.subarray(FLOE_HEADER_BYTES);
    const keys = (): FloeKeys => openFloe(publishedKey, { ...input, segmentBytes }, header, rotationBits);
    const layout = floeLayout(body.length, segmentBytes);
    expect(layout).toMatchObject({ segments, plaintextBytes: plaintext.length });

    for (const step of [1, 7, segmentBytes, message.length]) {
      expect(equal(openInOrder(keys(), message, step), plaintext)).toBe(true);
    }
    expect(equal(openAtRandom(keys(), message), plaintext)).toBe(true);

    const again = createFloeWithIv(
      publishedKey,
      { ...input, segmentBytes },
      header.subarray(10, 42),
      rotationBits,
    );
    const starts = Array.from({ length: segments }, (_, i) => i * segmentBytes);
    const given = starts.map((start) => body.subarray(start + 4, start + 16));
    const sealing = new FloeSegments(again.keys, replay(given));
    const sealed = starts.map((_, position) => {
      const part = plaintext.subarray(position * (segmentBytes - 32), (position + 1) * (segmentBytes - 32));
      return sealing.seal({ position, isLast: position === segments - 1 }, part);
    });
    expect(equal(concat(again.header, ...sealed), message)).toBe(true);
  });

  it("are met by the in-order writer, but for the empty last segment", () => {
    const rewritten = PUBLISHED.map(([name, segmentBytes, rotationBits]) => {
      const message = fromHex(vectorText(`floe/${name}_ct.txt`) ?? "");
      const plaintext = fromHex(vectorText(`floe/${name}_pt.txt`) ?? "");
      const body = message.subarray(FLOE_HEADER_BYTES);
      const { header, keys } = createFloeWithIv(
        publishedKey,
        { ...input, segmentBytes },
        message.subarray(10, 42),
        rotationBits,
      );
      const given: Uint8Array[] = [];
      for (let at = 0; at < body.length; at += segmentBytes) given.push(body.subarray(at + 4, at + 16));
      const sealer = new FloeSealer(new FloeSegments(keys, replay(given)));
      return equal(concat(header, ...sealer.push(plaintext), sealer.finish()), message) ? "" : name;
    });
    expect(rewritten.filter(Boolean)).toEqual(["java_lastSegEmpty"]);
  });
});

function whole(digits: string | undefined): Uint8Array {
  return fromHex(digits ?? "");
}

function replay(given: readonly Uint8Array[]): NextNonce {
  let next = 0;
  return () => {
    const nonce = given[next++];
    if (nonce === undefined) throw new Error("no nonce left");
    return new Uint8Array(nonce);
  };
}

function openInOrder(keys: FloeKeys, message: Uint8Array, stepBytes: number): Uint8Array {
  const opener = new FloeOpener(new FloeSegments(keys));
  const parts: Uint8Array[] = [];
  for (let at = FLOE_HEADER_BYTES; at < message.length; at += stepBytes) {
    parts.push(...opener.push(message.subarray(at, at + stepBytes)));
  }
  return concat(...parts, opener.finish());
}

/** Last segment first, then backwards. */
function openAtRandom(keys: FloeKeys, message: Uint8Array): Uint8Array {
  const body = message.subarray(FLOE_HEADER_BYTES);
  const { segments, plaintextBytes } = floeLayout(body.length, keys.segmentBytes);
  const reader = new FloeSegments(keys);
  const plaintext = new Uint8Array(plaintextBytes);
  for (let position = segments - 1; position >= 0; position--) {
    const start = position * keys.segmentBytes;
    const sealed = body.subarray(start, start + keys.segmentBytes);
    const target = plaintext.subarray(position * reader.plaintextBytes);
    reader.openInto({ position, isLast: position === segments - 1 }, sealed, target);
  }
  return plaintext;
}
