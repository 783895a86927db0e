import { createCipheriv, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { hex, label, u32 } from "../../src/bytes.ts";
import {
  hedgedRandom,
  lengthened,
  randomFor,
  randomId,
  randomKey,
  type RandomSource,
} from "../../src/crypto/random.ts";

/** A source whose n-th filling is the byte n, and whose clock counts fillings. */
function countingSource(): RandomSource & { fillings: number[] } {
  const fillings: number[] = [];
  return {
    fillings,
    fillRandom: (bytes) => {
      fillings.push(bytes.length);
      bytes.fill(fillings.length);
    },
    monotonicNs: () => BigInt(1000 * fillings.length),
  };
}

/** The worst that a system can give: the same bytes at the same time, always. */
const STUCK: RandomSource = { fillRandom: (bytes) => void bytes.fill(7), monotonicNs: () => 5n };

describe("hedged randomness", () => {
  it("is HMAC of random bytes, time, call number and hedge", () => {
    const draw = hedgedRandom(countingSource());
    draw(1);
    const value = draw(40, Uint8Array.of(1, 2), Uint8Array.of(3));
    // The first filling is the hedging key, the second the pool that both calls draw from.
    const message = Buffer.alloc(51, 2);
    message.writeBigUInt64BE(2000n, 32);
    message.writeBigUInt64BE(1n, 40);
    message.set([1, 2, 3], 48);
    const expected = createHmac("sha512", Buffer.alloc(32, 1)).update(message).digest("hex");
    expect(hex(value)).toBe(expected.slice(0, 80));
  });

  it("is the same over a hedge that is too long to be gathered", () => {
    const [short, long] = [Buffer.alloc(5000, 3), Buffer.alloc(9000, 4)];
    for (const parts of [[short, short, short], [long], [short, long, short], []]) {
      const draw = hedgedRandom(countingSource());
      const head = Buffer.alloc(48, 2);
      head.writeBigUInt64BE(1000n, 32);
      head.writeBigUInt64BE(0n, 40);
      const expected = createHmac("sha512", Buffer.alloc(32, 1)).update(Buffer.concat([head, ...parts]));
      expect(hex(draw(64, ...parts))).toBe(expected.digest("hex"));
    }
  });

  it("lengthens a value that serves nothing else, by AES-256-GCM", () => {
    const hedge = Uint8Array.of(9);
    const long = hedgedRandom(STUCK)(1000, hedge);
    const block = hedgedRandom(STUCK)(64, label("coffer/random/v1"), u32(1000), hedge);
    const cipher = createCipheriv("aes-256-gcm", block.subarray(0, 32), Buffer.alloc(12));
    expect(hex(long)).toBe(cipher.update(Buffer.alloc(1000)).toString("hex"));
    expect(hex(lengthened(block.subarray(0, 32), 1000))).toBe(hex(long));
    expect(long.buffer.byteLength).toBe(1000);
  });

  it("makes no long value a part of another where the source is stuck", () => {
    const starts = [65, 100, 1000, 1024].map((length) => hex(hedgedRandom(STUCK)(length).subarray(0, 32)));
    const short = hedgedRandom(STUCK)(64);
    const streamOfShort = hex(lengthened(short.subarray(0, 32), 32));
    expect(new Set([...starts, streamOfShort, hex(short.subarray(0, 32))]).size).toBe(6);
  });

  it("draws its hedging key at first use, once, and raw bytes 64 values at a time", () => {
    const source = countingSource();
    const draw = hedgedRandom(source);
    expect(source.fillings).toEqual([]);
    for (let i = 0; i < 65; i++) draw(32);
    expect(source.fillings).toEqual([32, 2048, 2048]);
  });

  it("drops what was drawn in advance after a second without use", () => {
    let nowNs = 0n;
    const fillings: number[] = [];
    const draw = hedgedRandom({
      fillRandom: (bytes) => void fillings.push(bytes.length),
      monotonicNs: () => nowNs,
    });
    draw(32);
    nowNs += 1_000_000_000n;
    draw(32);
    expect(fillings).toEqual([32, 2048]);
    nowNs += 1_000_000_001n;
    draw(32);
    expect(fillings).toEqual([32, 2048, 2048]);
  });

  it("never repeats, even where the source is stuck", () => {
    const draw = hedgedRandom(STUCK);
    const values = new Set(Array.from({ length: 200 }, () => hex(draw(16))));
    expect(values.size).toBe(200);
  });

  it("differs with the hedge after a snapshot was restored", () => {
    const hedge = Uint8Array.of(1);
    const [one, two, three] = [hedgedRandom(STUCK), hedgedRandom(STUCK), hedgedRandom(STUCK)];
    const value = hex(one(24, hedge));
    expect(hex(two(24, hedge))).toBe(value);
    expect(hex(three(24, Uint8Array.of(2)))).not.toBe(value);
  });

  it("keeps no key of zeros when the source fails at first", () => {
    let failures = 1;
    const draw = hedgedRandom({
      fillRandom: (bytes) => {
        if (failures-- > 0) throw new Error("no entropy");
        bytes.fill(9);
      },
      monotonicNs: () => 0n,
    });
    expect(() => draw(16)).toThrow("no entropy");
    const whole = hedgedRandom({ fillRandom: (bytes) => void bytes.fill(9), monotonicNs: () => 0n });
    expect(hex(draw(16))).toBe(hex(whole(16)));
  });

  it("gives 1 to 1,024 bytes, no two blocks alike", () => {
    const long = randomFor(1024);
    const blocks = new Set(Array.from({ length: 16 }, (_, i) => hex(long.subarray(64 * i, 64 * i + 64))));
    expect(blocks.size).toBe(16);
    for (const length of [1, 63, 64, 65, 1023]) expect(randomFor(length)).toHaveLength(length);
    for (const length of [0, 1025, 1.5, Number.NaN]) expect(() => randomFor(length)).toThrow(RangeError);
  });

  it("gives keys and ids on memory of their own", () => {
    const [key, id] = [randomKey(), randomId()];
    expect([key.length, key.buffer.byteLength]).toEqual([32, 32]);
    expect([id.length, id.buffer.byteLength]).toEqual([16, 16]);
    expect(hex(randomKey())).not.toBe(hex(key));
  });
});
