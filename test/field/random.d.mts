/** Returns a generator of numbers in [0, 1) that gives the same ones for the same seed (mulberry32). */
export function randomOf(seed: number): () => number;
/** Bytes that are unlike each other and the same at each run. @param seed @defaultValue 1 */
export function bytesOf(length: number, seed?: number): Uint8Array;
