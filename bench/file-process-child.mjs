/**
 * The other side of `file-process.mjs`: opens the vault, does jobs, and says what each of them cost.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { once } from "node:events";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import process from "node:process";
import { ReadableStream } from "node:stream/web";
import { Worker } from "node:worker_threads";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

const RESOLUTION_MS = 1;
const CHUNK = new Uint8Array(65_536);

let vault;
let flush;

const JOBS = {
  encrypt: ({ source, destination, segmentBytes }) =>
    vault.encryptFile(source, destination, segmentBytes && { segmentBytes }),
  decrypt: ({ source, destination }) => vault.decryptFile(source, destination),
  encryptAll: ({ pairs }) => Promise.all(pairs.map(([from, to]) => vault.encryptFile(from, to))),
  encryptStream: ({ bytes }) => drain(chunks(bytes).pipeThrough(vault.encryptStream())),
  busyThreads: ({ seconds }) => fillInThreads(seconds * 1000),
  inTurns: ({ seconds }) => workInTurns(seconds * 1000),
  copiesInTurns: ({ bytes }) => copyInTurns(bytes),
};

process.on("message", async (job) => {
  try {
    process.send(job.type === "open" ? await openVaultFor(job) : await measured(job));
  } catch (error) {
    process.send({ failure: error.stack });
  }
});
process.on("disconnect", () => vault?.close());

async function openVaultFor({ directory, recoveryCode, threads }) {
  if (threads !== undefined) {
    os.availableParallelism = () => threads;
    syncBuiltinESMExports();
  }
  const { openVault, recovery } = await import("coffer");
  vault = await openVault(directory, { unlock: recovery(recoveryCode) });
  const handle = await open(process.execPath);
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  const flushInEarnest = prototype.sync;
  flush = (isFlushed) => {
    prototype.sync = isFlushed ? flushInEarnest : async () => undefined;
  };
  return {};
}

async function measured({ type, isFlushed = false, ...job }) {
  flush(isFlushed);
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  forgetPeak();
  const beforeBytes = process.memoryUsage.rss();
  delay.enable();
  // Its first tick counts nothing.
  await sleep(5 * RESOLUTION_MS);
  const startedMs = performance.now();
  await JOBS[type](job);
  const seconds = (performance.now() - startedMs) / 1000;
  // So that a delay at the very end is counted too.
  await sleep(2 * RESOLUTION_MS);
  delay.disable();
  return {
    seconds,
    peakBytes: Math.max(0, peakBytes() - beforeBytes),
    latestMs: Math.max(0, delay.max / 1e6 - RESOLUTION_MS),
  };
}

/** Only Linux can; elsewhere the peak is that of the process's whole life. */
function forgetPeak() {
  if (process.platform === "linux") writeFileSync("/proc/self/clear_refs", "5");
}

function peakBytes() {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS * 1024;
  return Number(/^VmHWM:\s*(\d+) kB/mu.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
}

function chunks(bytes) {
  let left = bytes;
  return new ReadableStream({
    pull(controller) {
      if (left <= 0) {
        controller.close();
      } else {
        left -= CHUNK.length;
        controller.enqueue(CHUNK);
      }
    },
  });
}

/** One thread for each core, as long work has them, each filling memory of its own again and again. */
async function fillInThreads(milliseconds) {
  const source = `const bytes = new Uint8Array(2 ** 20); const endMs = performance.now() + ${milliseconds};
    while (performance.now() < endMs) bytes.fill(1);`;
  const threads = Array.from({ length: os.availableParallelism() }, () => new Worker(source, { eval: true }));
  await Promise.all(threads.map((thread) => once(thread, "exit")));
}

/** Half a millisecond of work in each turn of the event loop. */
async function workInTurns(milliseconds) {
  const endMs = performance.now() + milliseconds;
  while (performance.now() < endMs) {
    const turnEndMs = performance.now() + 0.5;
    while (performance.now() < turnEndMs);
    await nextTurn();
  }
}

/** Copies as many bytes as a stream makes, a quarter of a MiB in each turn: new memory, and its collection. */
async function copyInTurns(bytes) {
  for (let at = 0; at < bytes; at += CHUNK.length) {
    if (CHUNK.slice().length === 0) throw new Error("an empty copy came");
    if ((at / CHUNK.length) % 4 === 3) await nextTurn();
  }
}

async function drain(stream) {
  for await (const piece of stream) if (piece.length === 0) throw new Error("an empty piece came");
}
