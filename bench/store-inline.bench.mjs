/**
 * Up to which size is a content better off in the index than in an object? Two copies of the built package are made,
 * one that puts everything into the index that fits, and one that puts nothing there.
 * @module
 */
import { randomBytes } from "node:crypto";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { inRounds, sizeText, timeLine } from "./measure.mjs";
import { withFolder } from "./scratch-files.mjs";
import { copyVault } from "./scratch-vault.mjs";
import { AT_ONCE, each, seconds, StoredFiles } from "./store-ground.mjs";

const KIB = 1024;
const SIZES = [1, 2, 4, 6].map((kib) => kib * KIB);
const CACHE = new URL(".cache/inline/", import.meta.url);

/** @returns {Promise<object[]>} */
export async function storeInline({ storeInlineCount: count, storeRounds: rounds, isQuick }) {
  const packages = { inline: await packageOf(6 * KIB), object: await packageOf(0) };
  try {
    const lines = [];
    for (const bytes of isQuick ? SIZES.slice(0, 1) : SIZES)
      lines.push(...(await withFolder((folder) => compare(packages, folder, { count, rounds, bytes }))));
    return lines;
  } finally {
    await rm(CACHE, { recursive: true });
  }
}

/** The built package, with another threshold. */
async function packageOf(inlineBytes) {
  const folder = new URL(`${inlineBytes}/`, CACHE);
  await rm(folder, { recursive: true, force: true });
  await mkdir(CACHE, { recursive: true });
  await cp(new URL("../dist/", import.meta.url), folder, { recursive: true });
  const file = new URL("store/write-content.js", folder);
  const source = await readFile(file, "utf8");
  const changed = source.replace(/INLINE_BYTES = \d+;/u, `INLINE_BYTES = ${inlineBytes};`);
  if (!changed.includes(`INLINE_BYTES = ${inlineBytes};`)) throw new Error("the threshold was not found");
  await writeFile(file, changed);
  return import(new URL("index.js", folder).href);
}

async function compare(packages, folder, { count, rounds, bytes }) {
  const vaults = {};
  const content = randomBytes(bytes);
  const names = Array.from({ length: count }, (_, at) => `file ${at}`);
  try {
    for (const [name, { openVault, recovery }] of Object.entries(packages)) {
      const directory = `${folder}/${name}`;
      const recoveryCode = await copyVault(directory);
      vaults[name] = await openVault(directory, { unlock: recovery(recoveryCode) });
    }
    const both = (work) =>
      inRounds(
        rounds,
        Object.fromEntries(
          Object.entries(vaults).map(([name, { store }]) => {
            let round = 0;
            return [name, () => work(new StoredFiles(store, `${(round += 1)}`))];
          }),
        ),
        { isWarm: true },
      );
    const took = {
      "write, one after another": await both((files) =>
        seconds(() => each(names, 1, (name) => files.write(`one by one ${name}`, content))),
      ),
      [`write, ${AT_ONCE} at once`]: await both((files) =>
        seconds(() => each(names, AT_ONCE, (name) => files.write(name, content))),
      ),
      read: await both((files) => seconds(() => each(names, 1, (name) => files.read(name)))),
      list: await both((files) => seconds(() => files.list())),
    };
    return Object.entries(took).map(([what, { inline, object }]) =>
      timeLine({
        question: "store: in the index, beside in an object",
        what: `${sizeText(bytes)}, ${what}, a file`,
        took: inline,
        baseline: "object",
        baselineTook: object,
        times: what === "list" ? 2 * count : count,
      }),
    );
  } finally {
    for (const vault of Object.values(vaults)) await vault.close();
  }
}
