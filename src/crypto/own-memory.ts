/**
 * Turns what node:crypto returns into a plain array on memory of its own.
 * @module
 */

import { copy } from "../bytes.ts";

/**
 * Takes the Buffer over and returns its bytes as a plain array that owns its whole memory. Where the Buffer is a part
 * of something larger, a pool for instance, the bytes are copied and wiped there.
 */
export function ownMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) return new Uint8Array(buffer);
  const copied = copy(bytes);
  bytes.fill(0);
  return copied;
}
