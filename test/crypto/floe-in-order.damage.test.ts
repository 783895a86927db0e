import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concat, equal, utf8 } from "../../src/bytes.ts";
import { FloeOpener, FloeSealer } from "../../src/crypto/floe-in-order.ts";
import { FloeSegments } from "../../src/crypto/floe-segments.ts";
import { createFloe, FLOE_HEADER_BYTES, floeMessageBytes, openFloe } from "../../src/crypto/floe.ts";
import { failure, INPUT, KEY, MESSAGE, PLAINTEXT, sealMessage, split, type Bytes } from "./floe-sample.ts";

describe("a message read in order", () => {
  const others = {
    otherIv: sealMessage(PLAINTEXT),
    otherAad: sealMessage(PLAINTEXT, { ...INPUT, aad: utf8("another") }),
  };
  const parts = split(MESSAGE);
  const [header, a, b, c, d, e, last] = parts as [Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes];

  it.each<[string, readonly Uint8Array[]]>([
    ["two segments swapped", [header, b, a, c, d, e, last]],
    ["a segment doubled", [header, a, a, b, c, d, e, last]],
    ["a segment dropped", [header, a, c, d, e, last]],
    ["the first dropped", [header, b, c, d, e, last]],
    ["the last dropped", [header, a, b, c, d, e]],
    ["the last repeated", [header, a, b, c, d, e, last, last]],
    ["a byte appended", [...parts, new Uint8Array(1)]],
    ["a whole segment appended", [...parts, a]],
    ["a segment of another message", [header, a, split(others.otherIv)[2] as Bytes, c, d, e, last]],
    ["a segment of another aad", [header, a, split(others.otherAad)[2] as Bytes, c, d, e, last]],
    ["the last of another message", [header, a, b, c, d, e, split(others.otherIv)[6] as Bytes]],
    ["all segments of another message", [header, ...split(others.otherIv).slice(1)]],
  ])("with %s fails after a true prefix, again and again", (_, pieces) => {
    expectFailingPrefix(concat(...pieces));
  });

  it("cut anywhere fails after a true prefix", () => {
    for (let length = FLOE_HEADER_BYTES; length < MESSAGE.length; length++) {
      expectFailingPrefix(MESSAGE.subarray(0, length));
    }
  });

  it("is the plaintext, for every length and every way to cut the input", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 10 }),
        (plaintext, steps) => {
          const { header: made, keys } = createFloe(KEY, INPUT);
          const sealer = new FloeSealer(new FloeSegments(keys));
          const body = concat(...cut(plaintext, steps).flatMap((part) => sealer.push(part)), sealer.finish());
          expect(made.length + body.length).toBe(floeMessageBytes(plaintext.length, INPUT.segmentBytes));
          const opener = new FloeOpener(new FloeSegments(openFloe(KEY, INPUT, made)));
          const opened = concat(...cut(body, steps).flatMap((part) => opener.push(part)), opener.finish());
          expect(equal(opened, plaintext)).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("ends once: nothing follows the last segment", () => {
    const { keys } = createFloe(KEY, INPUT);
    const sealer = new FloeSealer(new FloeSegments(keys));
    sealer.finish();
    expect(() => sealer.push(PLAINTEXT)).toThrow(TypeError);
    expect(() => sealer.finish()).toThrow(TypeError);
  });
});

function cut(bytes: Uint8Array, steps: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const step of steps) {
    pieces.push(bytes.subarray(at, at + step));
    at += step;
  }
  pieces.push(bytes.subarray(at));
  return pieces;
}

/** Reads in steps of 1, 13 and all bytes: what comes out first is a prefix, then the same failure twice. */
function expectFailingPrefix(message: Uint8Array): void {
  for (const step of [1, 13, message.length]) {
    const keys = openFloe(KEY, INPUT, message.subarray(0, FLOE_HEADER_BYTES));
    const opener = new FloeOpener(new FloeSegments(keys));
    const released: Uint8Array[] = [];
    const first = failure(() => {
      for (let at = FLOE_HEADER_BYTES; at < message.length; at += step) {
        released.push(...opener.push(message.subarray(at, at + step)));
      }
      opener.finish();
    });
    expect(first).toMatch(/^(?:Malformed|Authentication)Error$/u);
    const prefix = concat(...released);
    expect(prefix).toEqual(PLAINTEXT.slice(0, prefix.length));
    expect(failure(() => opener.finish())).toBe(first);
    expect(failure(() => opener.push(new Uint8Array(1)))).toBe(first);
  }
}
