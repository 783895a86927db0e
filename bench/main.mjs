/**
 * Runs all benches: `node bench/main.mjs [--quick] [--output FILE]`. Prints a table and writes the numbers as JSON.
 * `--quick` only shows that the benches work: its numbers mean nothing.
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describingKeys } from "./describe-key.bench.mjs";
import { opening } from "./open.bench.mjs";
import { smallData } from "./small-data.bench.mjs";

const FULL = { rounds: 60, callsPerRound: 400, opens: 25, manyKeys: 10_000 };
const QUICK = { rounds: 2, callsPerRound: 3, opens: 1, manyKeys: 12 };

const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, output: { type: "string" } },
});
const counts = values.quick ? QUICK : FULL;
const machine = machineOf();
print(
  `${machine.runtime}, ${machine.system}, ${machine.cores} × ${machine.processor}, ${machine.memoryGiB} GiB`,
);
print(`median of ${counts.rounds} rounds of ${counts.callsPerRound} calls, of ${counts.opens} opens\n`);
print(row("", "Coffer", "raw AES-GCM", "ratio", "target", "met"));
const lines = [];
for (const bench of [smallData, opening, describingKeys]) {
  for (const measured of await bench(counts)) {
    const line = { ...measured, isMet: isMet(measured) };
    lines.push(line);
    print(rowOf(line));
  }
}
const defaultOutput = fileURLToPath(new URL("results/last.json", import.meta.url));
const output = values.output ?? defaultOutput;
await mkdir(dirname(output), { recursive: true });
const result = { measuredAt: new Date().toISOString(), isQuick: values.quick, counts, machine, lines };
await writeFile(output, `${JSON.stringify(result, undefined, 2)}\n`);

function isMet({ ratio, microseconds, target }) {
  if (target === undefined) return undefined;
  return target.ratio === undefined ? microseconds <= target.milliseconds * 1000 : ratio <= target.ratio;
}

function rowOf({ what, microseconds, baselineMicroseconds, ratio, target, isMet: met }) {
  const targetText =
    target?.ratio === undefined ? target && `${target.milliseconds} ms` : `${target.ratio} x`;
  return row(
    what,
    timeText(microseconds),
    baselineMicroseconds === undefined ? "" : timeText(baselineMicroseconds),
    ratio === undefined ? "" : `${ratio.toFixed(2)} x`,
    targetText ?? "",
    met === undefined ? "" : met ? "yes" : "no",
  );
}

function row(what, ...cells) {
  return `${what.padEnd(40)}${cells.map((cell) => cell.padStart(13)).join("")}`.trimEnd();
}

function timeText(microseconds) {
  return microseconds < 1000 ? `${microseconds.toFixed(1)} us` : `${(microseconds / 1000).toFixed(1)} ms`;
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

function print(text) {
  process.stdout.write(`${text}\n`);
}
