import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { canary, canaryBytes, showsCanary } from "./canary.ts";
import { root } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const bytes = canaryBytes("shape", 40);
const buffer = Buffer.from(bytes);
const shifted = (by: number): Buffer => Buffer.concat([Buffer.alloc(by, 7), buffer]);

describe("the search for planted secrets", () => {
  // The shapes are printed by name only: this file's output is searched as well.
  const shapes: Record<string, () => string> = {
    text: () => `Error: cannot use "${canary("text")}"`,
    "other case": () => canary("text").toUpperCase(),
    hexadecimal: () => buffer.toString("hex"),
    "hexadecimal in capitals": () => buffer.toString("hex").toUpperCase(),
    Base64: () => buffer.toString("base64"),
    "Base64 one byte further": () => shifted(1).toString("base64"),
    "Base64 two bytes further": () => shifted(2).toString("base64url"),
    "an inspected array": () => inspect(bytes),
    "an inspected array after other bytes": () => inspect(new Uint8Array(shifted(5))),
    "an inspected buffer": () => inspect(buffer),
    "an inspected list": () => inspect([...bytes], { maxArrayLength: null }),
    "the JSON of an array": () => JSON.stringify({ key: bytes }),
    "the indented JSON of an array": () => JSON.stringify({ key: bytes }, undefined, 2),
    "the JSON of a buffer": () => JSON.stringify(buffer),
    "an array made text": () => String(bytes),
    "an array inside": () => inspect({ a: { b: { c: bytes } } }, { depth: 9 }),
  };

  test.each(Object.keys(shapes))("finds one as %s", (shape) => {
    expect(showsCanary(shapes[shape]?.() ?? "")).toBe(true);
  });

  test("finds none in other text", () => {
    expect(showsCanary(inspect({ bytes: new Uint8Array(64), text: "planted", secret: "[Secret]" }))).toBe(
      false,
    );
  });
});

describe("the watch on the suite's output", () => {
  const scratch = scratchDirectories();

  const run = async (body: string): Promise<{ code: number; output: string }> => {
    const directory = await scratch();
    const canaryUrl = JSON.stringify(join(root, "test/canary.ts"));
    await writeFile(
      join(directory, "sample.test.mjs"),
      `import { test } from "vitest"; import { canaryBytes } from ${canaryUrl};\n test("prints", () => { ${body} });\n`,
    );
    const watcher = JSON.stringify(join(root, "test/canary-watch.ts"));
    await writeFile(
      join(directory, "vitest.config.mjs"),
      `export default { root: ${JSON.stringify(directory)}, test: { include: ["*.test.mjs"], pool: "forks", globalSetup: [${watcher}] } };\n`,
    );
    const args = ["--no-install", "vitest", "run", "--config", join(directory, "vitest.config.mjs")];
    return new Promise((resolve) => {
      execFile("npx", args, { cwd: root, timeout: 50_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
      });
    });
  };

  test("fails a run that prints one, in which no test fails", async () => {
    const body = `process.stdout.write(Buffer.from(canaryBytes("printed")).toString("base64") + "\\n");`;
    const { code, output } = await run(body);
    expect(/1 passed/u.test(output)).toBe(true);
    expect(output.includes("A planted secret was printed")).toBe(true);
    expect(code).toBe(1);
  });

  test("passes a run that prints none", async () => {
    const { code, output } = await run(`process.stdout.write("nothing of value\\n");`);
    expect(/1 passed/u.test(output)).toBe(true);
    expect(code).toBe(0);
  });
});
