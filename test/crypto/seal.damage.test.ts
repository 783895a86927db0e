import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concat, fromHex } from "../../src/bytes.ts";
import { AuthenticationError, MalformedError } from "../../src/crypto/failures.ts";
import { open, seal, sealWithSalt } from "../../src/crypto/seal.ts";
import { fixture } from "../vectors.ts";

const golden = fixture("crypto/seal.json") as {
  key: string;
  cases: readonly { context: string; plaintext: string; sealed: string }[];
};
const key = fromHex(golden.key);
const [first, second] = golden.cases;
if (first === undefined || second === undefined) throw new Error("fixture: two cases expected");
const context = fromHex(first.context);
const sealed = fromHex(first.sealed);

describe("a sealed message", () => {
  it("is refused with any bit flipped", () => {
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      expect(() => open(key, context, flip(sealed, bit)), `bit ${bit}`).toThrow(AuthenticationError);
    }
  });

  it("is refused at each shorter length, below 72 bytes as malformed", () => {
    for (let length = 0; length < sealed.length; length++) {
      const failure = length < 72 ? MalformedError : AuthenticationError;
      expect(() => open(key, context, sealed.subarray(0, length)), `${length} bytes`).toThrow(failure);
    }
  });

  it("is refused with one byte added", () => {
    expect(() => open(key, context, concat(sealed, new Uint8Array(1)))).toThrow(AuthenticationError);
  });

  it("is refused as malformed at 16,456 bytes", () => {
    const longest = seal(key, context, new Uint8Array(16_383));
    expect(open(key, context, longest)).toHaveLength(16_383);
    expect(() => open(key, context, concat(longest, new Uint8Array(1)))).toThrow(MalformedError);
  });

  it("has its length judged before the key is used [F-12]", () => {
    const wrongKey = flip(key, 0);
    for (const length of [0, 55, 56, 71, 16_456]) {
      expect(() => open(wrongKey, context, new Uint8Array(length))).toThrow(MalformedError);
    }
    expect(() => open(wrongKey, context, new Uint8Array(72))).toThrow(AuthenticationError);
  });

  it("is refused under a key or context with any bit changed", () => {
    for (let bit = 0; bit < 256; bit++) {
      expect(() => open(flip(key, bit), context, sealed)).toThrow(AuthenticationError);
    }
    for (let bit = 0; bit < context.length * 8; bit++) {
      expect(() => open(key, flip(context, bit), sealed)).toThrow(AuthenticationError);
    }
    expect(() => open(key, context.subarray(1), sealed)).toThrow(AuthenticationError);
    expect(() => open(key, concat(context, new Uint8Array(1)), sealed)).toThrow(AuthenticationError);
  });

  it("is refused with salt and commitment of another [F-13]", () => {
    const other = seal(key, context, fromHex(first.plaintext));
    expect(() => open(key, context, concat(other.subarray(0, 56), sealed.subarray(56)))).toThrow(
      AuthenticationError,
    );
    expect(() => open(key, context, concat(sealed.subarray(0, 24), other.subarray(24)))).toThrow(
      AuthenticationError,
    );
  });

  it("says the same whatever was wrong [F-14]", () => {
    const messages = new Set<string>();
    for (const attempt of [
      () => open(flip(key, 3), context, sealed),
      () => open(key, flip(context, 3), sealed),
      () => open(key, context, flip(sealed, 30 * 8)),
      () => open(key, context, flip(sealed, 57 * 8)),
      () => open(key, context, flip(sealed, sealed.length * 8 - 1)),
    ]) {
      try {
        attempt();
      } catch (error) {
        messages.add(String(error));
      }
    }
    expect(messages.size).toBe(1);
  });
});

describe("misuse", () => {
  it("is a RangeError that names the argument", () => {
    expect(() => seal(key.subarray(1), context, sealed)).toThrow(
      new RangeError("key: expected 32 bytes, got 31"),
    );
    expect(() => open(concat(key, key), context, sealed)).toThrow(RangeError);
    expect(() => seal(key, context, new Uint8Array(16_384))).toThrow(
      new RangeError("plaintext: expected 0 to 16383 bytes, got 16384"),
    );
    expect(() => sealWithSalt(key, new Uint8Array(23), context, sealed)).toThrow(RangeError);
  });

  it("is a TypeError for what is no Uint8Array", () => {
    expect(() => seal(key, "context" as unknown as Uint8Array, sealed)).toThrow(TypeError);
    expect(() => seal(key, context, null as unknown as Uint8Array)).toThrow(TypeError);
    expect(() => open(key, context, new ArrayBuffer(80) as unknown as Uint8Array)).toThrow(TypeError);
  });
});

describe("seal and open", () => {
  const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });

  it("give any plaintext back in fresh memory, for every key and context", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        bytes(1500),
        bytes(2000),
        (anyKey, anyContext, plaintext) => {
          const made = seal(anyKey, anyContext, plaintext);
          const opened = open(anyKey, anyContext, made);
          expect(opened).toEqual(new Uint8Array(plaintext));
          for (const out of [made, opened]) {
            expect(Object.getPrototypeOf(out)).toBe(Uint8Array.prototype);
            expect(out.buffer.byteLength).toBe(out.length);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it("take Buffers and leave their inputs unchanged", () => {
    const plaintext = Buffer.from("Coffer");
    const before = [key.slice(), context.slice(), Uint8Array.from(plaintext)];
    const opened = open(Buffer.from(key), Buffer.from(context), seal(key, context, plaintext));
    expect([key, context, Uint8Array.from(plaintext)]).toEqual(before);
    expect(opened).toEqual(Uint8Array.from(plaintext));
  });

  it("draw another salt each time [F-11]", () => {
    const salts = new Set<string>();
    for (let i = 0; i < 100; i++) salts.add(seal(key, context, sealed).subarray(0, 24).join());
    expect(salts.size).toBe(100);
  });
});

function flip(bytes: Uint8Array, bit: number): Uint8Array<ArrayBuffer> {
  const changed = new Uint8Array(bytes);
  const at = Math.floor(bit / 8);
  changed[at] = (changed[at] as number) ^ (1 << (bit % 8));
  return changed;
}
