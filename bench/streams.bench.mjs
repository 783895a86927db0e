/**
 * How much of the speed in memory does a pipeline of Web Streams keep? Chunks of 64 KiB go in, of a file's usual segments;
 * in memory the same bytes are sealed and opened in one thread, segment by segment.
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { ReadableStream } from "node:stream/web";
import { inRounds, rateLine, repeated } from "./measure.mjs";
import { segmentsOf } from "./raw-gcm.mjs";
import { withVault } from "./scratch-vault.mjs";

const CHUNK_BYTES = 65_536;
const SEGMENT_BYTES = 262_144;
const TARGET = 0.6;
/** Several times in each round: the collector comes at its own times, which should be more than one in each. */
const TIMES = 4;

/** @returns {Promise<object[]>} */
export async function streams({ bulkRounds, memoryBytes }) {
  return withVault(1, async ({ vault }) => {
    const plaintext = randomBytes(memoryBytes);
    const plain = cutUp(plaintext);
    const sealed = cutUp(await collect(from(plain).pipeThrough(vault.encryptStream())));
    const inMemory = segmentsOf(plaintext, SEGMENT_BYTES);
    const took = await inRounds(bulkRounds, {
      seal: repeated(TIMES, inMemory.seal),
      encryptStream: repeated(TIMES, () => drain(from(plain).pipeThrough(vault.encryptStream()))),
      open: repeated(TIMES, inMemory.open),
      decryptStream: repeated(TIMES, () => drain(from(sealed).pipeThrough(vault.decryptStream()))),
    });
    const line = (what, baselineTook) =>
      rateLine({
        question: "Web Streams",
        what,
        bytes: TIMES * memoryBytes,
        took: took[what],
        baseline: "in memory",
        baselineTook,
        target: TARGET,
      });
    return [line("encryptStream", took.seal), line("decryptStream", took.open)];
  });
}

function from(pieces) {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next === pieces.length) {
        controller.close();
      } else {
        controller.enqueue(pieces[next]);
        next += 1;
      }
    },
  });
}

async function drain(stream) {
  for await (const piece of stream) if (piece.length === 0) throw new Error("an empty piece came");
}

async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** As a network or a file would deliver it: what is sealed not along the segments. */
function cutUp(bytes) {
  const pieces = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) pieces.push(bytes.subarray(at, at + CHUNK_BYTES));
  return pieces;
}
