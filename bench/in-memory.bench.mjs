/**
 * How much of the speed of node:crypto does bulk encryption keep, in one thread and in memory alone?
 * @module
 */
import { inRounds, rateLine, sizeText } from "./measure.mjs";
import { coffersSegments, rawSegments } from "./raw-gcm.mjs";
import { isInstalled, run } from "./scratch-files.mjs";

const QUESTION = "in memory, one thread";
const SEGMENTS = [65_536, 262_144, 1_048_576];
const TARGET = 0.85;
/** Several times in each round: the collector comes at its own times, which should be more than one in each. */
const TIMES = 4;

/** @returns {Promise<object[]>} */
export async function inMemory({ bulkRounds, memoryBytes, isQuick }) {
  const lines = [];
  for (const segmentBytes of SEGMENTS) {
    const count = Math.ceil((TIMES * memoryBytes) / segmentBytes);
    const own = coffersSegments(segmentBytes, count);
    const raw = rawSegments(segmentBytes, count);
    for (const [direction, name] of [
      ["seal", "encrypt"],
      ["open", "decrypt"],
    ]) {
      const took = await inRounds(bulkRounds, { raw: raw[direction], own: own[direction] });
      lines.push(
        rateLine({
          question: QUESTION,
          what: `${name}, ${sizeText(segmentBytes)} segments`,
          bytes: count * segmentBytes,
          took: took.own,
          baseline: "raw AES-GCM",
          baselineTook: took.raw,
          target: TARGET,
        }),
      );
    }
  }
  if (!isQuick && isInstalled("openssl")) lines.push(await opensslSpeed());
  return lines;
}

/** Context: another build of the same cipher, without JavaScript, on one buffer. */
async function opensslSpeed() {
  const args = ["speed", "-mr", "-seconds", "1", "-bytes", String(SEGMENTS[0]), "-evp", "aes-256-gcm"];
  const [, bytesPerSecond] = /^\+F:[^\n]*:([\d.]+)$/mu.exec(await run("openssl", ...args));
  return { question: QUESTION, what: "openssl speed", value: Number(bytesPerSecond) / 1e6, unit: "MB/s" };
}
