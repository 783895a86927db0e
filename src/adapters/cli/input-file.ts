/**
 * Reads the user's files and standard input, never more than an operation can take.
 * @module
 */
import { createReadStream } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import { fileError } from "./file-error.ts";

/**
 * Returns what a file holds, `-` being standard input; works for pipes. The caller wipes it.
 * @returns undefined when there is more than `maxBytes`.
 * @throws CofferError `COFFER_IO`
 */
export async function readInput(
  path: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const source: Readable = path === "-" ? process.stdin : createReadStream(path);
  addAbortSignal(signal, source);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) return undefined;
    }
    return joined(chunks, length);
  } catch (error) {
    throw fileError("read", path === "-" ? "standard input" : path, error);
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}

function joined(chunks: readonly Buffer[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
