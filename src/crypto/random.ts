/**
 * Hedged randomness: HMAC-SHA-512(Kh, random 32 ‖ u64 monotonic ns ‖ u64 call counter ‖ SHA-512(hedge)), cut to length.
 * Where the system's generator fails or a machine's memory is restored from a snapshot, values still differ with the
 * time, the call and what is being encrypted. Source: docs/format.md#randomness.
 * @module
 */
import { createHmac, randomFillSync } from "node:crypto";
import { MAX_DATA_KEY_BYTES } from "../limits.ts";
import { wipe } from "../secret.ts";
import { digest } from "./hmac.ts";

/** One HMAC-SHA-512. A longer value is several, each of its own call. */
const BLOCK_BYTES = 64;
const RAW_BYTES = 32;
const HEDGE_AT = 48;

/** Where bytes and time come from. Another one than the system's is for tests. */
export interface RandomSource {
  /** Fills the array and returns nothing. */
  readonly fillRandom: (bytes: Uint8Array) => void;
  readonly monotonicNs: () => bigint;
}

/** Draws `lengthBytes` (1 to 1,024) fresh bytes; `hedge` is mixed in, its parts joined. */
export type DrawRandom = (lengthBytes: number, ...hedge: readonly Uint8Array[]) => Uint8Array<ArrayBuffer>;

/** The system's generator and monotonic clock. */
export const SYSTEM_RANDOM: RandomSource = {
  fillRandom: (bytes) => void randomFillSync(bytes),
  monotonicNs: () => process.hrtime.bigint(),
};

/** Returns a generator with a hedging key of its own, which is drawn at its first use. */
export function hedgedRandom(source: RandomSource): DrawRandom {
  let hedgingKey: Uint8Array | undefined;
  let digestOfNothing: Uint8Array | undefined;
  let calls = 0n;
  // random[32] ‖ time[8] ‖ call[8] ‖ digest of the hedge[64]: wiped after each call, which ends before the next begins.
  const drawn = new Uint8Array(HEDGE_AT + BLOCK_BYTES);
  const counters = new DataView(drawn.buffer, RAW_BYTES);

  return (lengthBytes, ...hedge) => {
    if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > MAX_DATA_KEY_BYTES) {
      throw new RangeError(`lengthBytes: expected 1 to ${MAX_DATA_KEY_BYTES}, got ${lengthBytes}`);
    }
    if (hedgingKey === undefined) {
      const fresh = new Uint8Array(RAW_BYTES);
      source.fillRandom(fresh);
      hedgingKey = fresh;
    }
    drawn.set(
      hedge.length === 0 ? (digestOfNothing ??= digest("sha512")) : digest("sha512", ...hedge),
      HEDGE_AT,
    );
    const value = new Uint8Array(lengthBytes);
    for (let at = 0; at < lengthBytes; at += BLOCK_BYTES) {
      source.fillRandom(drawn.subarray(0, RAW_BYTES));
      counters.setBigUint64(0, source.monotonicNs());
      counters.setBigUint64(8, calls++);
      const block = createHmac("sha512", hedgingKey).update(drawn).digest();
      value.set(block.subarray(0, Math.min(BLOCK_BYTES, lengthBytes - at)), at);
      wipe(block);
    }
    wipe(drawn);
    return value;
  };
}

/**
 * Returns `lengthBytes` (1 to 1,024) fresh bytes, hedged with the given parts.
 * @throws RangeError for another length.
 */
export const randomFor: DrawRandom = hedgedRandom(SYSTEM_RANDOM);

/** Returns a fresh 32-byte key. The caller wipes it. */
export function randomKey(): Uint8Array<ArrayBuffer> {
  return randomFor(32);
}

/** Returns a fresh 16-byte id. */
export function randomId(): Uint8Array<ArrayBuffer> {
  return randomFor(16);
}
