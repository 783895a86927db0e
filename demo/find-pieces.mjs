/**
 * Looks for pieces of a secret in every file of a directory tree.
 * @module
 */
import { Buffer } from "node:buffer";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const PIECE_BYTES = 16;

/**
 * Cuts secrets into pieces of 16 bytes: as they are, in hexadecimal, and in Base64 at each of its three alignments.
 * @param {readonly Uint8Array[]} secrets of at least 16 bytes each
 * @returns {Buffer[]}
 */
export function piecesOf(secrets) {
  const pieces = [];
  for (const secret of secrets) {
    const bytes = Buffer.from(secret);
    for (let at = 0; at + PIECE_BYTES <= bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      const hex = piece.toString("hex");
      pieces.push(piece, Buffer.from(hex), Buffer.from(hex.toUpperCase()));
      // Groups of three bytes that are wholly inside the piece give the same characters wherever they stand.
      for (const skipped of [0, 1, 2]) {
        const inside = piece.subarray(skipped, skipped + 12);
        pieces.push(Buffer.from(inside.toString("base64")), Buffer.from(inside.toString("base64url")));
      }
    }
  }
  return pieces;
}

/**
 * Searches every file below `directory`, lines joined as well, since PEM breaks its Base64 into lines.
 * @returns {Promise<{ files: number, bytes: number, found: string[] }>} `found` are the paths of files with a piece.
 */
export async function findPieces(directory, pieces) {
  const found = [];
  let files = 0;
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const content = await readFile(path);
    const joined = Buffer.from(content.toString("latin1").replaceAll(/[\r\n]/gu, ""), "latin1");
    files += 1;
    bytes += content.length;
    if (pieces.some((piece) => content.includes(piece) || joined.includes(piece))) found.push(path);
  }
  return { files, bytes, found };
}
