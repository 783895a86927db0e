/**
 * How long does work on files keep everything else in the process waiting? The baseline is a process with as many threads
 * that do nothing but fill memory of their own, or, beside work in its own thread, works half a millisecond in each turn,
 * or, beside a stream, copies as many bytes: what it shows is the machine's doing, and the collector's.
 * @module
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { withProcesses } from "./file-process.mjs";
import { median, sizeText } from "./measure.mjs";
import { makeFile } from "./scratch-files.mjs";

const MAX_MS = 5;
const FILES_AT_ONCE = 8;
/** The longest delay of one job is mostly the machine's: only the median of many says something. */
const ROUNDS_FACTOR = 3;

/** @returns {Promise<object[]>} */
export async function eventLoop({ fileRounds, partBytes, shortBytes, isQuick }) {
  return withProcesses(async ({ folder, start }) => {
    const [source, short, sealed, opened, many] = ["source", "short", "sealed", "opened", "many"].map(
      (name) => join(folder, name),
    );
    await makeFile(source, partBytes);
    await makeFile(short, shortBytes);
    const pairs = Array.from({ length: FILES_AT_ONCE }, (_, i) => [short, join(many, `${i}`)]);
    const jobs = {
      [`encryptFile, ${sizeText(partBytes)}`]: { type: "encrypt", source, destination: sealed },
      [`decryptFile, ${sizeText(partBytes)}`]: { type: "decrypt", source: sealed, destination: opened },
      [`encryptFile, ${FILES_AT_ONCE} of ${sizeText(shortBytes)} at once`]: { type: "encryptAll", pairs },
      [`encryptStream, ${sizeText(partBytes)}`]: { type: "encryptStream", bytes: partBytes },
    };
    const baselines = { encryptAll: "inTurns", encryptStream: "copiesInTurns" };
    const baselineOf = ({ type }) => baselines[type] ?? "busyThreads";
    const names = { busyThreads: "busy threads", inTurns: "0.5 ms a turn", copiesInTurns: "copies in turns" };
    const child = await start();
    const late = Object.fromEntries(Object.keys(jobs).map((name) => [name, { own: [], beside: [] }]));
    for (let round = isQuick ? 1 : 0; round <= fileRounds * ROUNDS_FACTOR; round += 1) {
      for (const [name, job] of Object.entries(jobs)) {
        await mkdir(many);
        const own = await child.ask(job);
        const beside = await child.ask({ type: baselineOf(job), seconds: own.seconds, bytes: job.bytes });
        await rm(many, { recursive: true });
        if (round === 0) continue;
        late[name].own.push(own.latestMs);
        late[name].beside.push(beside.latestMs);
      }
    }
    return Object.entries(late).map(([what, { own, beside }]) => ({
      question: "event loop late, at most",
      what,
      value: median(own) * 1000,
      unit: "us",
      baseline: names[baselineOf(jobs[what])],
      baselineValue: median(beside) * 1000,
      worst: Math.max(...own) * 1000,
      target: { of: "value", atMost: MAX_MS * 1000 },
    }));
  });
}
