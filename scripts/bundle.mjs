/**
 * Puts into one file each what is loaded where a start counts: the command line, `dist/adapters/cli/main.js`, since
 * loading three hundred small files takes longer than most commands, and the thread for long files,
 * `dist/envelope/file-worker.cjs`, which starts in half the time as a CommonJS file, and which whoever bundles an
 * application has to copy. Packages stay outside, and what else runs in a thread or process of its own stays in its file.
 * @module
 */
import { rmSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const OWN_URL = /new URL\("(\.{1,2}\/[^"]+)", import\.meta\.url\)/gu;
// Names stay: they are what a stack trace shows.
const COMPACT = { compress: false, mangle: false, codegen: { removeWhitespace: true } };

const dist = (path) => fileURLToPath(new URL(`../dist/${path}`, import.meta.url));

async function bundle(input, file, { format, minify }) {
  const build = await rolldown({
    input,
    platform: "node",
    external: /^(?![./])/u,
    plugins: [
      {
        name: "own-urls",
        // They are relative to the file that they stand in, and must be to the one that they come into.
        transform(code, id) {
          return code.replaceAll(OWN_URL, (_, specifier) => {
            const path = relative(dirname(file), resolve(dirname(id), specifier)).replaceAll(sep, "/");
            return `new URL(${JSON.stringify(path.startsWith(".") ? path : `./${path}`)}, import.meta.url)`;
          });
        },
      },
    ],
  });
  const { output } = await build.generate({ format, codeSplitting: false, minify, strict: true });
  await build.close();
  if (output.length !== 1) throw new Error(`expected one file, got ${output.length}`);
  writeFileSync(file, output[0].code);
}

const main = dist("adapters/cli/main.js");
await bundle(main, main, { format: "esm", minify: COMPACT });

const worker = dist("envelope/file-worker");
await bundle(`${worker}.js`, `${worker}.cjs`, { format: "cjs", minify: false });
for (const ending of [".js", ".js.map", ".d.ts"]) rmSync(`${worker}${ending}`);
