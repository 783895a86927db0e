/**
 * Files that are longer than memory and take no room on the drive: zeros, and a few stretches of data.
 * @module
 */
import { open } from "node:fs/promises";

const MEBIBYTE = 1_048_576;

/** Data in a sea of zeros. */
export interface Island {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface SparseContent {
  readonly lengthBytes: number;
  readonly islands: readonly Island[];
}

/** Makes the file anew; its end is an island's. */
export async function writeSparse(path: string, { lengthBytes, islands }: SparseContent): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.truncate(lengthBytes);
    for (const { at, bytes } of islands) await file.write(bytes, 0, bytes.length, at);
  } finally {
    await file.close();
  }
}

/** Compares the whole of a file. */
export async function isSparse(path: string, { lengthBytes, islands }: SparseContent): Promise<boolean> {
  const file = await open(path, "r");
  try {
    if ((await file.stat()).size !== lengthBytes) return false;
    const block = Buffer.alloc(MEBIBYTE);
    const expected = Buffer.alloc(MEBIBYTE);
    for (let at = 0; at < lengthBytes; at += MEBIBYTE) {
      const { bytesRead } = await file.read(block, 0, MEBIBYTE, at);
      expected.fill(0);
      for (const island of islands) {
        const end = island.at + island.bytes.length;
        if (end <= at || island.at >= at + MEBIBYTE) continue;
        const from = Math.max(island.at, at);
        const part = island.bytes.subarray(from - island.at, Math.min(end, at + MEBIBYTE) - island.at);
        expected.set(part, from - at);
      }
      if (bytesRead !== Math.min(MEBIBYTE, lengthBytes - at)) return false;
      if (!block.subarray(0, bytesRead).equals(expected.subarray(0, bytesRead))) return false;
    }
    return true;
  } finally {
    await file.close();
  }
}
