/**
 * Draws the rates of a run: `node bench/picture.mjs RESULTS.json PICTURE.svg`. No number is in it that is not in the JSON.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { pathToFileURL } from "node:url";

const WIDTH = 760;
const LABELS_WIDTH = 250;
const BAR_HEIGHT = 16;
const ROW_HEIGHT = 22;
const HEADING_HEIGHT = 40;
/** Questions that a picture of rates answers. */
const SHOWN = ["in memory, against other packages", "file to file"];

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [from, to] = process.argv.slice(2);
  await writeFile(to, pictureOf(JSON.parse(await readFile(from, "utf8"))));
}

/** Returns an SVG with one bar for each rate. */
export function pictureOf({ lines, machine, load, measuredAt }) {
  const groups = groupsOf(lines.filter(({ unit, question }) => unit === "MB/s" && isShown(question)));
  const parts = [];
  let y = 24;
  const title = `${machine.runtime}, ${machine.cores} × ${machine.processor}, ${measuredAt.slice(0, 10)}, load ${load.before.toFixed(1)}`;
  parts.push(text(12, y, `Coffer: rates in MB/s, longer is better. ${title}.`, "note"));
  for (const [question, bars] of groups) {
    y += HEADING_HEIGHT;
    parts.push(text(12, y, question, "heading"));
    y += 8;
    const most = Math.max(...bars.map(({ value }) => value));
    for (const { name, value, isOurs } of bars) {
      const length = Math.max(1, (value / most) * (WIDTH - LABELS_WIDTH - 90));
      parts.push(text(LABELS_WIDTH - 8, y + 13, name, "name"));
      parts.push(
        `<rect x="${LABELS_WIDTH}" y="${y}" width="${length.toFixed(1)}" height="${BAR_HEIGHT}" class="${isOurs ? "ours" : "other"}"/>`,
      );
      parts.push(text(LABELS_WIDTH + length + 6, y + 13, Math.round(value).toLocaleString("en"), "value"));
      y += ROW_HEIGHT;
    }
  }
  const height = y + 12;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Rates of Coffer and others">
<style>
text { font: 13px system-ui, sans-serif; fill: #222 }
.heading { font-weight: 600 } .note { fill: #555 } .name { text-anchor: end }
.ours { fill: #1f6f5c } .other { fill: #b9c2c6 }
</style>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join("\n")}
</svg>
`;
}

function isShown(question) {
  return SHOWN.some((beginning) => question.startsWith(beginning));
}

/** Each rate once: ours, and what it stood beside. */
function groupsOf(lines) {
  const groups = new Map();
  for (const { question, what, value, baseline, baselineValue } of lines) {
    const bars = groups.get(question) ?? [];
    groups.set(question, bars);
    const direction = what.replace(/(?:File)?,.*|File$/u, "");
    add(bars, { name: `Coffer, ${direction}`, value, isOurs: true });
    if (baseline === undefined) continue;
    const hasDirection = !["cp", "openssl enc"].includes(baseline);
    add(bars, {
      name: hasDirection ? `${baseline}, ${direction}` : baseline,
      value: baselineValue,
      isOurs: false,
    });
  }
  return groups;
}

function add(bars, bar) {
  if (!bars.some(({ name }) => name === bar.name)) bars.push(bar);
}

function text(x, y, content, name) {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}" class="${name}">${escaped}</text>`;
}
