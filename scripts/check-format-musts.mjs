/**
 * Fails when a numbered MUST of docs/format.md is cited in no source file or in no test file, when a number is cited
 * that the document does not define, or when it defines one twice.
 * The same for a link to a heading that the document lacks.
 * A citation is `[F-12]`, or `[F-10…F-14]` for a range, anywhere in a file under src/ or test/.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const problems = [];

const text = readFileSync(join(root, "docs/format.md"), "utf8");
const headings = new Set(
  [...text.matchAll(/^#+ (.+)$/gmu)].map(([, heading]) => heading.toLowerCase().replaceAll(" ", "-")),
);
const defined = new Set();
for (const [, number] of text.matchAll(/\*\*\[F-(\d+)\]\*\*/gu)) {
  if (defined.has(Number(number))) problems.push(`docs/format.md defines F-${number} twice`);
  defined.add(Number(number));
}
if (defined.size === 0) problems.push("docs/format.md defines no MUST");

for (const folder of ["src", "test"]) {
  const cited = new Set();
  for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
    const path = join(entry.parentPath, entry.name);
    const content = readFileSync(path, "utf8");
    for (const [, anchor] of content.matchAll(/docs\/format\.md#([\w-]+)/gu)) {
      if (!headings.has(anchor))
        problems.push(`${path.slice(root.length)} links to #${anchor}, which is no heading`);
    }
    for (const number of citations(content)) {
      if (!defined.has(number))
        problems.push(`${path.slice(root.length)} cites F-${number}, which is not defined`);
      cited.add(number);
    }
  }
  for (const number of defined) {
    if (!cited.has(number)) problems.push(`F-${number} is cited in no file under ${folder}/`);
  }
}

for (const problem of problems) console.error(problem);
console.log(`${defined.size} MUSTs, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** Returns the numbers that a text cites. A range stands for the defined numbers in it. */
function citations(content) {
  const numbers = [];
  for (const [, first, last] of content.matchAll(/\[F-(\d+)(?:…F-(\d+))?\]/gu)) {
    if (last === undefined) numbers.push(Number(first));
    else numbers.push(...[...defined].filter((number) => number >= Number(first) && number <= Number(last)));
  }
  return numbers;
}
