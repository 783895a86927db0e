/**
 * Damage for decoders: every single-byte change and every prefix of a valid sample.
 * @module
 */

/** Yields the sample with each byte in turn changed, by its low bit, its high bit and all bits. */
export function* everyByteChanged(sample: Uint8Array): Generator<{ bytes: Uint8Array; at: number }> {
  for (let at = 0; at < sample.length; at++) {
    for (const mask of [0x01, 0x80, 0xff]) {
      const bytes = new Uint8Array(sample);
      bytes[at] = (bytes[at] as number) ^ mask;
      yield { bytes, at };
    }
  }
}

/** Yields every proper prefix, the empty one first. */
export function* everyPrefix(sample: Uint8Array): Generator<Uint8Array> {
  for (let length = 0; length < sample.length; length++) yield sample.slice(0, length);
}

/** Returns what the call threw, or `undefined` if it returned. */
export function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Returns bytes start, start + 1, … */
export function counting(start: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => start + i);
}
