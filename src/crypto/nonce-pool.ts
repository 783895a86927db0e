/**
 * Random 12-byte nonces, drawn many at a time: one call to the system's generator costs as much as 4 KiB of AES-GCM.
 * What is left is dropped after a second without use, so that little outlives a pause of the machine.
 * @module
 */
import { GCM_NONCE_BYTES } from "./aes-gcm.ts";
import { SYSTEM_RANDOM, type RandomSource } from "./random.ts";

const POOLED_NONCES = 256;
const IDLE_NS = 1_000_000_000n;

/** Returns a fresh nonce in a new array at each call. */
export type NextNonce = () => Uint8Array<ArrayBuffer>;

/** Returns a pool of its own. The source is another than the system's in tests only. */
export function noncePool(source: RandomSource = SYSTEM_RANDOM): NextNonce {
  const pool = new Uint8Array(POOLED_NONCES * GCM_NONCE_BYTES);
  let at = pool.length;
  let usedAtNs = 0n;
  return () => {
    const nowNs = source.monotonicNs();
    if (at === pool.length || nowNs - usedAtNs > IDLE_NS) {
      source.fillRandom(pool);
      at = 0;
    }
    usedAtNs = nowNs;
    const nonce = pool.slice(at, at + GCM_NONCE_BYTES);
    at += GCM_NONCE_BYTES;
    return nonce;
  };
}
