/**
 * Runs the benches: `npm run bench -- [NAME…] [--quick | --brief | --full] [--publish] [--install-peers] [--output FILE]`, all of
 * them or those named; `store` is all of `store-…`. Prints a table; a run of all, or one with `--output`, writes the numbers as JSON.
 * `--quick` only shows that the benches work: its numbers mean nothing. `--full` takes the largest files, `--brief` smaller
 * ones, for a busy machine.
 * `--publish` puts the run into `bench/README.md`, with its picture, in place of the last one on the same version of Node.
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, loadavg, totalmem } from "node:os";
import { dirname } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describingKeys } from "./describe-key.bench.mjs";
import { eventLoop } from "./event-loop.bench.mjs";
import { fileToFile } from "./files.bench.mjs";
import { inMemory } from "./in-memory.bench.mjs";
import { opening } from "./open.bench.mjs";
import { againstPeers } from "./peers.bench.mjs";
import { installPeers } from "./peers.mjs";
import { pictureOf } from "./picture.mjs";
import { randomReads } from "./random-reads.bench.mjs";
import { segmentSizes } from "./segments.bench.mjs";
import { sizes } from "./sizes.bench.mjs";
import { smallData } from "./small-data.bench.mjs";
import { smallFiles } from "./small-files.bench.mjs";
import { streams } from "./streams.bench.mjs";
import { storeFiles } from "./store-files.bench.mjs";
import { storeInline } from "./store-inline.bench.mjs";
import { storeLarge } from "./store-large.bench.mjs";
import { storeNames } from "./store-names.bench.mjs";
import { storeWrites } from "./store-writes.bench.mjs";
import { isMet, machineText, tableOf } from "./table.mjs";
import { threads } from "./threads.bench.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const BENCHES = {
  "small-data": smallData,
  open: opening,
  "describe-key": describingKeys,
  "in-memory": inMemory,
  peers: againstPeers,
  streams,
  files: fileToFile,
  segments: segmentSizes,
  threads,
  sizes,
  "random-reads": randomReads,
  "small-files": smallFiles,
  "event-loop": eventLoop,
  "store-files": storeFiles,
  "store-large": storeLarge,
  "store-names": storeNames,
  "store-writes": storeWrites,
  "store-inline": storeInline,
};

/** The others' packages leave a heap that slows what comes after them in the same process. */
const LAST = "peers";

const USUAL = {
  rounds: 60,
  callsPerRound: 400,
  opens: 25,
  manyKeys: 10_000,
  bulkRounds: 31,
  memoryBytes: 64 * MIB,
  peerRounds: 3,
  peerBytes: 16 * MIB,
  fileRounds: 5,
  fileBytes: GIB,
  partBytes: 256 * MIB,
  shortBytes: 12 * MIB,
  sizesBytes: [KIB, 32 * KIB, MIB, 15 * MIB, 128 * MIB, GIB],
  sparseBytes: GIB,
  reads: 2000,
  smallFilesCount: 1000,
  storeRounds: 5,
  storeFileBytes: GIB,
  storeFilesCount: 1000,
  storeNamesCount: 10_000,
  storeWritesCount: 1000,
  storeInlineCount: 200,
};
const FULL = {
  ...USUAL,
  sizesBytes: [...USUAL.sizesBytes, 4 * GIB],
  sparseBytes: 10 * GIB,
  reads: 10_000,
  storeFilesCount: 10_000,
  storeNamesCount: 100_000,
};
const BRIEF = {
  ...USUAL,
  rounds: 30,
  opens: 9,
  bulkRounds: 15,
  memoryBytes: 32 * MIB,
  peerRounds: 2,
  peerBytes: 8 * MIB,
  fileBytes: 128 * MIB,
  partBytes: 64 * MIB,
  sizesBytes: [KIB, 32 * KIB, MIB, 15 * MIB, 64 * MIB],
  sparseBytes: 256 * MIB,
  reads: 1000,
  smallFilesCount: 250,
  storeFileBytes: 128 * MIB,
  storeFilesCount: 300,
  storeNamesCount: 3000,
  storeWritesCount: 300,
  storeInlineCount: 100,
};
const QUICK = {
  ...USUAL,
  isQuick: true,
  rounds: 2,
  callsPerRound: 3,
  opens: 1,
  manyKeys: 12,
  bulkRounds: 1,
  memoryBytes: MIB,
  fileRounds: 1,
  fileBytes: 17 * MIB,
  partBytes: 17 * MIB,
  shortBytes: MIB,
  sizesBytes: [KIB],
  sparseBytes: MIB,
  reads: 10,
  smallFilesCount: 10,
  storeRounds: 1,
  storeFileBytes: MIB,
  storeFilesCount: 4,
  storeNamesCount: 10,
  storeWritesCount: 4,
  storeInlineCount: 2,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    brief: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    publish: { type: "boolean", default: false },
    "install-peers": { type: "boolean", default: false },
    output: { type: "string" },
  },
});
const unknown = positionals.find((name) => !Object.keys(BENCHES).some((bench) => isNamed(bench, name)));
if (unknown !== undefined) {
  process.stderr.write(`${unknown}: no such bench. There are: ${Object.keys(BENCHES).join(", ")}\n`);
  process.exitCode = 2;
} else {
  await main();
}

async function main() {
  if (values["install-peers"]) await installPeers();
  const [, counts = USUAL] =
    Object.entries({ quick: QUICK, brief: BRIEF, full: FULL }).find(([name]) => values[name]) ?? [];
  const before = loadavg()[0];
  const startedMs = performance.now();
  const lines = [];
  const asked = Object.keys(BENCHES).filter(
    (name) => positionals.length === 0 || positionals.some((given) => isNamed(name, given)),
  );
  const measured = {};
  for (const name of asked.toSorted((a, b) => (a === LAST) - (b === LAST))) {
    process.stderr.write(`${name} …\n`);
    measured[name] = await BENCHES[name](counts);
  }
  for (const line of asked.flatMap((name) => measured[name])) lines.push({ ...line, isMet: isMet(line) });
  const result = {
    measuredAt: new Date().toISOString(),
    tookSeconds: Math.round((performance.now() - startedMs) / 1000),
    isQuick: values.quick,
    counts,
    machine: machineOf(),
    load: { before, after: loadavg()[0] },
    lines,
  };
  process.stdout.write(`${machineText(result)}\n${tableOf(lines)}`);
  await keep(result);
}

/** By its name, or with others by what their names begin with. */
function isNamed(bench, name) {
  return bench === name || bench.startsWith(`${name}-`);
}

async function keep(result) {
  const isWhole = positionals.length === 0;
  const output = values.output ?? (isWhole ? fileOf("results/last.json") : undefined);
  if (output !== undefined) {
    await mkdir(dirname(output), { recursive: true });
    await writeFile(output, `${JSON.stringify(result, undefined, 2)}\n`);
  }
  if (!values.publish) return;
  if (!isWhole || values.quick) throw new Error("Only a whole run can be published.");
  await publish(result);
}

/** Replaces the README's section of this Node version, or adds one at its end; and the section's picture. */
async function publish(result) {
  const [major] = process.versions.node.split(".");
  const heading = `## Last run on Node ${major}\n`;
  const picture = `speed-node${major}.svg`;
  const section = `${heading}\nOn ${result.measuredAt.slice(0, 10)}, in ${result.tookSeconds} seconds.\n\n![Rates](${picture})\n\n\`\`\`text\n${machineText(result)}\n${tableOf(result.lines)}\`\`\`\n`;
  const readme = await readFile(fileOf("README.md"), "utf8");
  const sections = readme.split(/^(?=## )/mu);
  const at = sections.findIndex((text) => text.startsWith(heading));
  const isNotLast = at >= 0 && at < sections.length - 1;
  if (at < 0) sections.push(`\n${section}`);
  else sections[at] = `${section}${isNotLast ? "\n" : ""}`;
  await writeFile(fileOf("README.md"), sections.join(""));
  await writeFile(fileOf(picture), pictureOf(result));
}

function fileOf(path) {
  return fileURLToPath(new URL(path, import.meta.url));
}

function machineOf() {
  return {
    runtime: `Node ${process.versions.node}`,
    system: `${process.platform} ${process.arch}`,
    processor: cpus()[0]?.model ?? "unknown processor",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  };
}
