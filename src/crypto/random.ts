/**
 * Hedged randomness: HMAC-SHA-512(Kh, random 32 ‖ u64 monotonic ns ‖ u64 call counter ‖ hedge), cut to length.
 * Where the system's generator fails or a machine's memory is restored from a snapshot, values still differ with the
 * time, the call and what is being encrypted. Source: docs/format.md#randomness.
 * @module
 */
import { createHmac, randomFillSync } from "node:crypto";
import { copy, label, offHeap, u32 } from "../bytes.ts";
import { MAX_DATA_KEY_BYTES } from "../limits.ts";
import { wipe } from "../secret.ts";
import { GCM_KEY_BYTES, GCM_NONCE_BYTES, sealGcmSlices } from "./aes-gcm.ts";
import { ownMemory } from "./own-memory.ts";

/** One HMAC-SHA-512. A longer value is the keystream of one that serves nothing else. */
const BLOCK_BYTES = 64;
/** Before the hedge of a longer value, with its length: where a state repeats, no value is a part of another. */
const LONG = label("coffer/random/v1");
const RAW_BYTES = 32;
/** Raw values drawn at once: a call to the system's generator costs as much as an HMAC. */
const POOLED_DRAWS = 64;
/** What is left of a pool is dropped after this pause, so that little outlives a snapshot. */
const IDLE_NS = 1_000_000_000n;
const NO_AAD = new Uint8Array(0);
const ZEROS = new Uint8Array(MAX_DATA_KEY_BYTES);
const ZERO_NONCE: Uint8Array = ZEROS.subarray(0, GCM_NONCE_BYTES);
/** What is hashed at once: the longest plaintext of encrypt, with a short context. A longer one takes more calls. */
const INPUT_BYTES = 8192;

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
  let calls = 0n;
  let drawnAtNs = 0n;
  const pool = new Uint8Array(POOLED_DRAWS * RAW_BYTES);
  let at = pool.length;
  // random[32] ‖ time[8] ‖ call[8] ‖ hedge: wiped after each call, which ends before the next begins.
  const input = offHeap(INPUT_BYTES);
  const counters = new DataView(input.buffer, RAW_BYTES);

  const drawBlock = (key: Uint8Array, hedge: readonly Uint8Array[]): Uint8Array => {
    const nowNs = source.monotonicNs();
    if (at === pool.length || nowNs - drawnAtNs > IDLE_NS) {
      source.fillRandom(pool);
      at = 0;
    }
    drawnAtNs = nowNs;
    const raw = pool.subarray(at, at + RAW_BYTES);
    input.set(raw);
    wipe(raw);
    at += RAW_BYTES;
    counters.setBigUint64(0, nowNs);
    counters.setBigUint64(8, calls++);
    const hmac = createHmac("sha512", key);
    let inputBytes = RAW_BYTES + 16;
    const flush = (): void => {
      const gathered = input.subarray(0, inputBytes);
      hmac.update(gathered);
      wipe(gathered);
      inputBytes = 0;
    };
    try {
      // In one array where it has room: each further update costs a call.
      for (const part of hedge) {
        if (inputBytes + part.length > INPUT_BYTES) flush();
        if (part.length > INPUT_BYTES) {
          hmac.update(part);
        } else {
          input.set(part, inputBytes);
          inputBytes += part.length;
        }
      }
      flush();
      return hmac.digest();
    } finally {
      wipe(input.subarray(0, inputBytes));
    }
  };

  return (lengthBytes, ...hedge) => {
    assertDrawable(lengthBytes);
    if (hedgingKey === undefined) {
      const fresh = offHeap(RAW_BYTES);
      source.fillRandom(fresh);
      hedgingKey = fresh;
    }
    const isLong = lengthBytes > BLOCK_BYTES;
    const block = drawBlock(hedgingKey, isLong ? [LONG, u32(lengthBytes), ...hedge] : hedge);
    try {
      if (!isLong) return copy(block.subarray(0, lengthBytes));
      return lengthened(block.subarray(0, GCM_KEY_BYTES), lengthBytes);
    } finally {
      wipe(block);
    }
  };
}

/** @throws RangeError for another length than 1 to 1,024. */
export function assertDrawable(lengthBytes: number): void {
  if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > MAX_DATA_KEY_BYTES) {
    throw new RangeError(`lengthBytes: expected 1 to ${MAX_DATA_KEY_BYTES}, got ${lengthBytes}`);
  }
}

/**
 * Returns 1 to 1,024 bytes that nobody can tell from random without the 32 random bytes of `seed`, which serve nothing
 * else: the keystream of AES-256-GCM. HKDF would be sixteen HMACs for 1 KiB, which take as long as to encrypt it.
 */
export function lengthened(seed: Uint8Array, lengthBytes: number): Uint8Array<ArrayBuffer> {
  assertDrawable(lengthBytes);
  const plaintext = ZEROS.subarray(0, lengthBytes);
  const [keystream] = sealGcmSlices({ key: seed, nonce: ZERO_NONCE, aad: NO_AAD, plaintext });
  return ownMemory(keystream as Uint8Array);
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
