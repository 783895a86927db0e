/**
 * The numbers of a run as text.
 * @module
 */

const WIDTHS = [46, 12, 12, 20, 9, 10, 5];

/** Returns the lines of a run as a table, one heading for each question. */
export function tableOf(lines) {
  const text = [row("", "Coffer", "beside", "", "ratio", "target", "met")];
  let question;
  for (const line of lines) {
    if (line.question !== question) text.push("", `${line.question}`);
    question = line.question;
    text.push(rowOf(line));
  }
  return `${text.join("\n")}\n`;
}

/** Returns what a run was made on, and how busy that was. */
export function machineText({ machine, load }) {
  const { runtime, system, cores, processor, memoryGiB } = machine;
  const [before, after] = [load.before, load.after].map((minutes) => minutes.toFixed(1));
  return `${runtime}, ${system}, ${cores} × ${processor}, ${memoryGiB} GiB; load ${before} before and ${after} after\n`;
}

/** Whether the target is met; undefined where there is none. */
export function isMet({ target, ...line }) {
  if (target === undefined) return undefined;
  const { of, atLeast = -Infinity, atMost = Infinity } = target;
  return line[of] >= atLeast && line[of] <= atMost;
}

function rowOf(line) {
  const { what, value, unit, baseline, baselineValue, ratio } = line;
  const met = isMet(line);
  return row(
    `  ${what}`,
    valueText(value, unit),
    baseline === undefined ? "" : valueText(baselineValue, unit),
    baseline ?? "",
    ratio === undefined ? "" : ratioText(ratio),
    targetText(line),
    met === undefined ? "" : met ? "yes" : "no",
  );
}

function targetText({ target, unit }) {
  if (target === undefined) return "";
  const { of, atLeast, atMost } = target;
  const bound = atLeast ?? atMost;
  const sign = atLeast === undefined ? "≤" : "≥";
  return `${sign} ${of === "ratio" ? `${bound} x` : valueText(bound, unit, 0)}`;
}

/** A time in microseconds becomes milliseconds where that reads better. */
function valueText(value, unit, digits = 1) {
  if (unit === "us" && value >= 1000) return `${(value / 1000).toFixed(digits)} ms`;
  if (unit === "MB/s" && value >= 10) return `${Math.round(value).toLocaleString("en")} MB/s`;
  return `${value.toFixed(digits)} ${unit}`;
}

function ratioText(ratio) {
  return `${ratio.toFixed(2)} x`;
}

function row(what, ...cells) {
  const padded = cells.map((cell, i) =>
    i === 2 ? ` ${cell}`.padEnd(WIDTHS[3]) : cell.padStart(WIDTHS[i + 1]),
  );
  return `${what.padEnd(WIDTHS[0])}${padded.join("")}`.trimEnd();
}
