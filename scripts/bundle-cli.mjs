/**
 * Puts the command line into one file, `dist/adapters/cli/main.js`: loading three hundred small ones takes longer than
 * most commands. Packages stay outside, and what runs in a thread or process of its own stays in its own file.
 * @module
 */
import { writeFileSync } from "node:fs";
import { dirname, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const MAIN = fileURLToPath(new URL("../dist/adapters/cli/main.js", import.meta.url));
const OWN_URL = /new URL\("(\.{1,2}\/[^"]+)", import\.meta\.url\)/gu;

const bundle = await rolldown({
  input: MAIN,
  platform: "node",
  external: /^(?![./])/u,
  plugins: [
    {
      name: "own-urls",
      // They are relative to the file that they stand in, and must be to the one that they come into.
      transform(code, id) {
        return code.replaceAll(OWN_URL, (_, specifier) => {
          const path = relative(dirname(MAIN), resolve(dirname(id), specifier)).replaceAll(sep, "/");
          return `new URL(${JSON.stringify(path.startsWith(".") ? path : `./${path}`)}, import.meta.url)`;
        });
      },
    },
  ],
});
// Names stay: they are what a stack trace shows.
const layout = { compress: false, mangle: false, codegen: { removeWhitespace: true } };
const { output } = await bundle.generate({ format: "esm", codeSplitting: false, minify: layout });
await bundle.close();
if (output.length !== 1) throw new Error(`expected one file, got ${output.length}`);
writeFileSync(MAIN, output[0].code);
