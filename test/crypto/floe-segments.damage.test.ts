import { describe, expect, it } from "vitest";
import { concat, equal, u32, utf8 } from "../../src/bytes.ts";
import { FloeSegments } from "../../src/crypto/floe-segments.ts";
import { createFloe, FLOE_HEADER_BYTES, floeLayout, openFloe } from "../../src/crypto/floe.ts";
import { noncePool } from "../../src/crypto/nonce-pool.ts";
import { SYSTEM_RANDOM } from "../../src/crypto/random.ts";
import {
  failure,
  flip,
  INPUT,
  KEY,
  MESSAGE,
  P,
  PLAINTEXT,
  sealMessage,
  split,
  type Bytes,
} from "./floe-sample.ts";

describe("a header", () => {
  it("with any bit flipped is refused: malformed in its parameters, unauthentic after", () => {
    const header = MESSAGE.subarray(0, FLOE_HEADER_BYTES);
    for (let bit = 0; bit < FLOE_HEADER_BYTES * 8; bit++) {
      const outcome = failure(() => openFloe(KEY, INPUT, flip(header, bit)));
      expect(outcome, `bit ${bit}`).toBe(bit < 80 ? "MalformedError" : "AuthenticationError");
    }
  });

  it("of 73 or 75 bytes is malformed", () => {
    for (const length of [0, 73, 75]) {
      expect(failure(() => openFloe(KEY, INPUT, MESSAGE.subarray(0, length)))).toBe("MalformedError");
    }
  });

  it("is refused for another segment length, key or aad", () => {
    const header = MESSAGE.subarray(0, FLOE_HEADER_BYTES);
    expect(failure(() => openFloe(KEY, { ...INPUT, segmentBytes: 64 }, header))).toBe("MalformedError");
    expect(failure(() => openFloe(flip(KEY, 7), INPUT, header))).toBe("AuthenticationError");
    expect(failure(() => openFloe(KEY, { ...INPUT, aad: utf8("an aaD") }, header))).toBe(
      "AuthenticationError",
    );
    expect(failure(() => openFloe(KEY, { ...INPUT, aad: utf8("an aad\0") }, header))).toBe(
      "AuthenticationError",
    );
  });

  it("needs a key of 32 bytes and a segment longer than its overhead", () => {
    expect(() => createFloe(KEY.subarray(1), INPUT)).toThrow("key: expected 32 bytes, got 31");
    for (const segmentBytes of [0, 32, 2 ** 32, 40.5]) {
      expect(() => createFloe(KEY, { ...INPUT, segmentBytes })).toThrow(RangeError);
    }
  });
});

describe("a segment", () => {
  it("with any bit flipped is refused: malformed in its length field, unauthentic after", () => {
    for (const position of [0, 5]) {
      const { segments, sealed } = pick(position);
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const isLast = position === 5;
        const outcome = failure(() => segments.open({ position, isLast }, flip(sealed, bit)));
        expect(outcome, `bit ${bit}`).toBe(bit < 32 ? "MalformedError" : "AuthenticationError");
      }
    }
  });

  it("opens at its own place only", () => {
    const { segments, sealed } = pick(1);
    expect(failure(() => segments.open({ position: 1, isLast: false }, sealed))).toBe("opened");
    for (const position of [0, 2, 3, 2 ** 32 + 1, 2 ** 20 + 1]) {
      expect(failure(() => segments.open({ position, isLast: false }, sealed))).toBe("AuthenticationError");
    }
  });

  it("that is inner cannot be passed off as the last, nor the reverse", () => {
    const { segments, sealed } = pick(2);
    expect(failure(() => segments.open({ position: 2, isLast: true }, sealed))).toBe("MalformedError");
    const asLast = concat(u32(40), sealed.subarray(4));
    expect(failure(() => segments.open({ position: 2, isLast: true }, asLast))).toBe("AuthenticationError");
    const full = segments.seal({ position: 5, isLast: true }, new Uint8Array(P));
    const asInner = concat(u32(0xffff_ffff), full.subarray(4));
    expect(failure(() => segments.open({ position: 5, isLast: false }, full))).toBe("MalformedError");
    expect(failure(() => segments.open({ position: 5, isLast: false }, asInner))).toBe("AuthenticationError");
  });

  it("of another length is malformed, even where its field says so", () => {
    const { segments, sealed } = pick(1);
    const place = { position: 1, isLast: false };
    for (const length of [0, 4, 16, 31, 32, 39]) {
      expect(failure(() => segments.open(place, sealed.subarray(0, length)))).toBe("MalformedError");
    }
    expect(failure(() => segments.open(place, concat(sealed, new Uint8Array(1))))).toBe("MalformedError");
    for (const length of [0, 31, 41]) {
      const last = new Uint8Array(length);
      last.set(u32(length).subarray(0, length));
      expect(failure(() => segments.open({ position: 1, isLast: true }, last))).toBe("MalformedError");
    }
  });

  it("has its position limited: 2^40 − 2 for inner ones, 2^40 − 1 for the last", () => {
    const { segments } = pick(0);
    const plaintext = new Uint8Array(P);
    const inner = segments.seal({ position: 2 ** 40 - 2, isLast: false }, plaintext);
    const last = segments.seal({ position: 2 ** 40 - 1, isLast: true }, plaintext);
    expect(failure(() => segments.open({ position: 2 ** 40 - 2, isLast: false }, inner))).toBe("opened");
    expect(failure(() => segments.open({ position: 2 ** 40 - 1, isLast: true }, last))).toBe("opened");
    for (const segment of [
      { position: 2 ** 40 - 1, isLast: false },
      { position: 2 ** 40, isLast: true },
      { position: 2 ** 40, isLast: false },
      { position: -1, isLast: true },
      { position: 0.5, isLast: true },
      { position: Number.NaN, isLast: true },
    ]) {
      expect(() => segments.seal(segment, plaintext)).toThrow(RangeError);
      expect(failure(() => segments.open(segment, segment.isLast ? last : inner))).toBe("MalformedError");
    }
  });

  it("is P bytes long unless it is the last", () => {
    const { segments } = pick(0);
    for (const length of [0, P - 1, P + 1]) {
      expect(() => segments.seal({ position: 9, isLast: false }, new Uint8Array(length))).toThrow(RangeError);
    }
    expect(() => segments.seal({ position: 9, isLast: true }, new Uint8Array(P + 1))).toThrow(RangeError);
  });

  it("is written nowhere until its tag is verified", () => {
    const { segments, sealed } = pick(1);
    const target = new Uint8Array(P).fill(0xee);
    const bad = flip(sealed, sealed.length * 8 - 1);
    expect(failure(() => segments.openInto({ position: 1, isLast: false }, bad, target))).toBe(
      "AuthenticationError",
    );
    expect(target).toEqual(new Uint8Array(P).fill(0xee));
    expect(segments.openInto({ position: 1, isLast: false }, sealed, target)).toBe(P);
    expect(target).toEqual(PLAINTEXT.slice(P, 2 * P));
  });

  it("needs room in the caller's memory", () => {
    const { segments, sealed } = pick(1);
    const place = { position: 1, isLast: false };
    expect(() => segments.openInto(place, sealed, new Uint8Array(P - 1))).toThrow(RangeError);
    expect(() => segments.sealInto(place, new Uint8Array(P), new Uint8Array(39))).toThrow(RangeError);
  });

  it("is the same in one array, in given memory and in slices, beyond one slice", () => {
    const plaintext = Uint8Array.from({ length: 70_000 }, (_, i) => i % 251);
    const { keys } = createFloe(KEY, { ...INPUT, segmentBytes: 262_176 });
    const segments = new FloeSegments(keys, () => new Uint8Array(12));
    const place = { position: 3, isLast: true };
    const sealed = segments.seal(place, plaintext);
    const target = new Uint8Array(sealed.length + 1);
    expect(segments.sealInto(place, plaintext, target)).toBe(sealed.length);
    const slices = segments.sealSlices(place, plaintext);
    expect(equal(target.subarray(0, -1), sealed) && equal(concat(...slices), sealed)).toBe(true);
    expect(slices.every((slice) => slice.length <= 32_768)).toBe(true);
    expect(equal(segments.open(place, sealed), plaintext)).toBe(true);
    expect(equal(concat(...segments.openSlices(place, sealed)), plaintext)).toBe(true);
    expect(sealed.buffer.byteLength).toBe(sealed.length);
  });
});

describe("keys", () => {
  it("sent to another thread open and seal the same segments", () => {
    const { segments, sealed } = pick(4);
    const shared = structuredClone(segments.shareKeys());
    segments.close();
    const elsewhere = new FloeSegments(shared);
    expect(elsewhere.open({ position: 4, isLast: false }, sealed)).toEqual(PLAINTEXT.slice(32, 40));
  });

  it("are wiped on close, and every later call is refused", () => {
    const keys = openFloe(KEY, INPUT, MESSAGE.subarray(0, FLOE_HEADER_BYTES));
    const segments = new FloeSegments(keys);
    segments.close();
    segments.close();
    expect(keys.messageKey).toEqual(new Uint8Array(48));
    const place = { position: 0, isLast: true };
    expect(() => segments.seal(place, new Uint8Array(1))).toThrow("used after close");
    expect(() => segments.open(place, new Uint8Array(40))).toThrow("used after close");
    expect(() => segments.shareKeys()).toThrow("used after close");
  });

  it("change at the edge of an epoch and come back", () => {
    const { keys } = createFloe(KEY, INPUT);
    const [one, two] = [new FloeSegments(keys), new FloeSegments(keys)];
    for (const position of [2 ** 20 - 1, 2 ** 20, 2 ** 20 - 1, 2 ** 21, 0]) {
      const sealed = one.seal({ position, isLast: true }, PLAINTEXT.subarray(0, 5));
      expect(failure(() => two.open({ position, isLast: true }, sealed))).toBe("opened");
    }
  });
});

describe("the layout of a body", () => {
  it("refuses every length that no message has", () => {
    for (const length of [0, 1, 31, 41, 71, 80 + 31, -1, Number.NaN, 2 ** 53]) {
      expect(
        failure(() => floeLayout(length, 40)),
        `${length}`,
      ).toBe("MalformedError");
    }
    expect(failure(() => floeLayout(2 ** 53 - 1, 40))).toBe("MalformedError");
    expect(failure(() => floeLayout(2 ** 40 * 40, 40))).toBe("opened");
    expect(failure(() => floeLayout(2 ** 40 * 40 + 32, 40))).toBe("MalformedError");
  });

  it("takes a body of whole segments and one that ends in an empty segment", () => {
    expect(floeLayout(80, 40)).toEqual({ segments: 2, lastSegmentBytes: 40, plaintextBytes: 16 });
    expect(floeLayout(112, 40)).toEqual({ segments: 3, lastSegmentBytes: 32, plaintextBytes: 16 });
    const vast = floeLayout(2 ** 52 + 32, 1_048_608);
    expect((vast.segments - 1) * 1_048_608 + vast.lastSegmentBytes).toBe(2 ** 52 + 32);
    expect(floeLayout(32, 40)).toEqual({ segments: 1, lastSegmentBytes: 32, plaintextBytes: 0 });
  });

  it("tells no cut apart by itself: the last segment does", () => {
    const body = MESSAGE.subarray(FLOE_HEADER_BYTES);
    const keys = openFloe(KEY, INPUT, MESSAGE.subarray(0, FLOE_HEADER_BYTES));
    const segments = new FloeSegments(keys);
    for (let length = 0; length < body.length; length++) {
      const outcome = failure(() => {
        const layout = floeLayout(length, 40);
        const start = (layout.segments - 1) * 40;
        segments.open({ position: layout.segments - 1, isLast: true }, body.subarray(start, length));
      });
      expect(outcome, `${length}`).toBe("MalformedError");
    }
  });
});

describe("nonces", () => {
  it("never repeat, and are drawn anew after a second without use", () => {
    let nowNs = 0n;
    let fillings = 0;
    const next = noncePool({
      fillRandom: (bytes) => {
        SYSTEM_RANDOM.fillRandom(bytes);
        fillings += 1;
      },
      monotonicNs: () => nowNs,
    });
    const seen = new Set(Array.from({ length: 1000 }, () => next().join()));
    expect(seen.size).toBe(1000);
    const before = fillings;
    nowNs += 1_000_000_000n;
    next();
    expect(fillings).toBe(before);
    nowNs += 1_000_000_001n;
    next();
    expect(fillings).toBe(before + 1);
    expect(next().buffer.byteLength).toBe(12);
  });

  it("differ between two writes of the same", () => {
    expect(equal(sealMessage(PLAINTEXT), MESSAGE)).toBe(false);
  });
});

function pick(position: number): { segments: FloeSegments; sealed: Bytes } {
  const keys = openFloe(KEY, INPUT, MESSAGE.subarray(0, FLOE_HEADER_BYTES));
  return { segments: new FloeSegments(keys), sealed: split(MESSAGE)[position + 1] as Bytes };
}
