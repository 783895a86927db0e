import { createCipheriv } from "node:crypto";
import { expect, test } from "vitest";
import { releaseMemory } from "../../src/crypto/released-memory.ts";

test("takes the memory of arrays that have their own, and leaves all others", () => {
  const own = new Uint8Array(16_384);
  const made = createCipheriv("aes-256-gcm", own.subarray(0, 32), own.subarray(0, 12)).update(
    Buffer.alloc(32_768),
  );
  const whole = new Uint8Array(100_000);
  const part = whole.subarray(1);
  const short = new Uint8Array(16_383);
  const pooled = Buffer.from("a short text");
  releaseMemory([own, made, part, short, pooled]);
  expect([own, made, part, short, pooled].map(({ length }) => length)).toEqual([0, 0, 99_999, 16_383, 12]);
  releaseMemory([]);
});

test("keeps the process' memory where it is, however much is made", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 500; i++) releaseMemory([new Uint8Array(1_048_576)]);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 1_048_576);
});
