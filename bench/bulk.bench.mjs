/**
 * How fast is bulk encryption? `node bench/bulk.bench.mjs [--mebibytes N] [--rounds N] [--output FILE]`, on the built
 * package. Every figure is a ratio to a baseline that ran in the same round: raw node:crypto in memory, `cp` for files,
 * `cp` and `sync` of each file for small files.
 * @module
 */
import { execFileSync } from "node:child_process";
import { createCipheriv, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import process from "node:process";
import { ReadableStream } from "node:stream/web";
import { parseArgs } from "node:util";
import { createFloe } from "../dist/crypto/floe.js";
import { FloeSegments } from "../dist/crypto/floe-segments.js";
import { decryptFileWith } from "../dist/envelope/decrypt-file.js";
import { encryptFileWith } from "../dist/envelope/encrypt-file.js";
import { openFileWith } from "../dist/envelope/file-reader.js";
import { sealingStream } from "../dist/envelope/file-streams.js";
import { blobEntry } from "../dist/formats/key-area.js";
import { sealBlob } from "../dist/formats/blob.js";
import { createFileSystem, nodeCalls, nodeFileSystem } from "../dist/storage/file-system.js";
import { median } from "./measure.mjs";

const MEBIBYTE = 1_048_576;
const SEGMENTS = [65_536, 262_144, 1_048_576];
const SMALL_FILES = 200;
const SMALL_BYTES = 10_240;

const { values } = parseArgs({
  options: {
    mebibytes: { type: "string", default: "512" },
    rounds: { type: "string", default: "5" },
    output: { type: "string" },
  },
});
const mebibytes = Number(values.mebibytes);
const rounds = Number(values.rounds);
const directory = mkdtempSync(join(tmpdir(), "coffer-bench-"));
const lines = [];

/** A key of a vault costs some 50 microseconds; here it costs nothing, so that only the file is measured. */
const dek = randomBytes(32);
const ids = new Uint8Array(16);
const access = {
  kind: "blob",
  create: async () => ({ dek: new Uint8Array(dek), entry: entry() }),
  wrap: async () => entry(),
  prepare: () => undefined,
  open: async () => ({ dek: new Uint8Array(dek) }),
  end: () => undefined,
};
const noFlush = createFileSystem({
  ...nodeCalls,
  open: async (...args) => ({ ...(await nodeCalls.open(...args)), sync: async () => undefined }),
});

try {
  inMemory();
  await streams();
  for (const segmentBytes of SEGMENTS) await files(segmentBytes, noFlush, "no flush", () => undefined);
  await files(SEGMENTS[0], nodeFileSystem, "flushed", (path) => execFileSync("sync", [path]));
  await randomReads();
  await smallFiles();
  if (values.output !== undefined) {
    mkdirSync(dirname(values.output), { recursive: true });
    writeFileSync(values.output, `${JSON.stringify({ mebibytes, rounds, lines }, undefined, 2)}\n`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** One thread, nothing but memory: segments against one GCM call for each, with the same slices. */
function inMemory() {
  for (const segmentBytes of SEGMENTS) {
    const plaintext = new Uint8Array(segmentBytes);
    const count = (128 * MEBIBYTE) / segmentBytes;
    const own = [];
    const raw = [];
    for (let round = 0; round <= rounds; round++) {
      raw.push(secondsOf(() => rawSeals(plaintext, count)));
      const { keys } = createFloe(dek, { aad: ids, segmentBytes: segmentBytes + 32 });
      const segments = new FloeSegments(keys);
      own.push(
        secondsOf(() => {
          for (let position = 0; position < count; position++) {
            segments.sealSlices({ position, isLast: false }, plaintext);
          }
        }),
      );
    }
    report(`in memory, ${segmentBytes >> 10} KiB segments`, own, raw, 128, "raw AES-GCM");
  }
}

function rawSeals(plaintext, count) {
  for (let i = 0; i < count; i++) {
    const cipher = createCipheriv("aes-256-gcm", dek, randomBytes(12), { authTagLength: 16 });
    for (let at = 0; at < plaintext.length; at += 32_768) cipher.update(plaintext.subarray(at, at + 32_768));
    cipher.final();
    cipher.getAuthTag();
  }
}

/** A stream of 64 KiB chunks, against the raw calls. */
async function streams() {
  const piece = new Uint8Array(65_536);
  const own = [];
  const raw = [];
  for (let round = 0; round <= rounds; round++) {
    raw.push(secondsOf(() => rawSeals(piece, 128 * 16)));
    let left = 128 * 16;
    const source = new ReadableStream({
      pull: (controller) => (left-- > 0 ? controller.enqueue(piece) : controller.close()),
    });
    const fields = { context: {}, storeContext: false, segmentPlaintextBytes: 65_536, createdAtMs: 0 };
    const startedMs = performance.now();
    let bytes = 0;
    for await (const sealed of source.pipeThrough(sealingStream(access, fields))) bytes += sealed.length;
    own.push((performance.now() - startedMs) / 1000);
    if (bytes < 128 * MEBIBYTE) throw new Error("the stream ended early");
  }
  report("Web Stream, 64 KiB chunks", own, raw, 128, "raw AES-GCM");
}

/** From file to file in both directions, against `cp` of the same source; all new files each time. */
async function files(segmentBytes, fs, name, flush) {
  const [source, sealed, opened, copy] = ["source", "sealed", "opened", "copy"].map((n) =>
    join(directory, n),
  );
  writeSource(source);
  const ground = { fs, clock: Date.now, report: ({ message }) => print(message), mayUseWorkers: true };
  const took = { encrypt: [], decrypt: [], cp: [] };
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let peak = 0;
  for (let round = 0; round <= rounds; round++) {
    for (const path of [sealed, opened, copy]) rmSync(path, { force: true });
    const timed = async (list, work) => {
      const startedMs = performance.now();
      await work();
      list.push((performance.now() - startedMs) / 1000);
      peak = Math.max(peak, process.memoryUsage().rss);
    };
    await timed(took.encrypt, () =>
      encryptFileWith(ground, access, { source, destination: sealed }, { segmentBytes }),
    );
    await timed(took.decrypt, () =>
      decryptFileWith(ground, access, { source: sealed, destination: opened }, {}),
    );
    delay.disable();
    await timed(took.cp, async () => {
      execFileSync("cp", [source, copy]);
      flush(copy);
    });
    if (round === 0) execFileSync("cmp", [source, opened]);
    delay.enable();
  }
  delay.disable();
  const what = `${segmentBytes >> 10} KiB segments, ${name}`;
  report(`encryptFile, ${what}`, took.encrypt, took.cp, mebibytes, "cp");
  report(`decryptFile, ${what}`, took.decrypt, took.cp, mebibytes, "cp");
  const loopMs = delay.percentile(99) / 1e6;
  print(
    `    event loop late by ${loopMs.toFixed(1)} ms at p99; resident at most ${(peak / MEBIBYTE) | 0} MiB`,
  );
}

/** 4 KiB from random places of one open file. */
async function randomReads() {
  const source = join(directory, "source");
  const sealed = join(directory, "random");
  writeSource(source);
  const ground = { fs: noFlush, clock: Date.now, report: () => undefined, mayUseWorkers: true };
  await encryptFileWith(ground, access, { source, destination: sealed }, {});
  const reader = await openFileWith(ground, access, sealed, {});
  const took = [];
  for (let i = 0; i < 2000; i++) {
    const at = Math.floor(Math.random() * (reader.size - 4096));
    const startedMs = performance.now();
    await reader.read(at, 4096);
    took.push(performance.now() - startedMs);
  }
  await reader.close();
  const sorted = took.toSorted((a, b) => a - b);
  const [p50, p99] = [sorted[1000], sorted[1980]];
  lines.push({ what: "random 4 KiB read", milliseconds: p50, p99Milliseconds: p99 });
  print(`random 4 KiB read of ${mebibytes} MiB: ${p50.toFixed(3)} ms median, ${p99.toFixed(3)} ms p99`);
}

/** Many small files, each flushed, against a plain copy with the same flushes. */
async function smallFiles() {
  const source = join(directory, "small");
  writeFileSync(source, randomBytes(SMALL_BYTES));
  const ground = { fs: nodeFileSystem, clock: Date.now, report: () => undefined, mayUseWorkers: true };
  const own = [];
  const plain = [];
  for (let round = 0; round <= Math.min(rounds, 3); round++) {
    const folder = mkdtempSync(join(directory, "many-"));
    let startedMs = performance.now();
    for (let i = 0; i < SMALL_FILES; i++) {
      await encryptFileWith(ground, access, { source, destination: join(folder, `${i}.cof`) }, {});
    }
    own.push((performance.now() - startedMs) / 1000);
    startedMs = performance.now();
    for (let i = 0; i < SMALL_FILES; i++) await flushedCopy(source, join(folder, `${i}`));
    plain.push((performance.now() - startedMs) / 1000);
    rmSync(folder, { recursive: true });
  }
  report(
    `${SMALL_FILES} files of 10 KiB, flushed`,
    own,
    plain,
    (SMALL_FILES * SMALL_BYTES) / MEBIBYTE,
    "copies",
  );
}

async function flushedCopy(from, to) {
  const [source, target] = [await open(from), await open(`${to}.tmp`, "wx")];
  await target.writeFile(await source.readFile());
  await target.sync();
  await Promise.all([source.close(), target.close()]);
  await nodeFileSystem.rename(`${to}.tmp`, to);
  await nodeFileSystem.syncDirectory(dirname(to));
}

function entry() {
  const header = { keyId: ids, version: 1, vaultHint: new Uint8Array(4) };
  return blobEntry(sealBlob(dek, header, new Uint8Array(2), dek));
}

function writeSource(path) {
  rmSync(path, { force: true });
  const block = randomBytes(MEBIBYTE);
  for (let i = 0; i < mebibytes; i++) writeFileSync(path, block, { flag: "a" });
}

function secondsOf(work) {
  const startedMs = performance.now();
  work();
  return (performance.now() - startedMs) / 1000;
}

/** The first round warms up, and does not count. */
function report(what, own, baseline, size, baselineName) {
  const seconds = median(own.slice(1));
  const ratio = median(own.slice(1).map((took, i) => baseline[i + 1] / took));
  lines.push({ what, seconds, mebibytesPerSecond: size / seconds, baseline: baselineName, ratio });
  const rate = `${(size / seconds).toFixed(0)} MiB/s`;
  print(`${what.padEnd(48)}${rate.padStart(12)}   ${ratio.toFixed(2)} × ${baselineName}`);
}

function print(text) {
  process.stdout.write(`${text}\n`);
}
