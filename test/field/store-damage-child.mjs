/**
 * Opens vaults whose files or index were damaged, one after another, and judges what comes out. A process of its own: a
 * damaged table can end it. Arguments: a folder that holds `sample.json` and trees; the folder to work in.
 * @module
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCofferError, openVault, recovery } from "../../dist/index.js";
import { bytesOf } from "./random.mjs";
import { damagedTree, differenceOf, readTree, writeTree } from "./trees.mjs";

const [samples, work] = process.argv.slice(2);
const sample = JSON.parse(readFileSync(join(samples, "sample.json"), "utf8"));
const vaultPath = join(work, "vault");
const temporary = join(work, "tmp");
rmSync(temporary, { recursive: true, force: true });
mkdirSync(temporary, { recursive: true });
process.env.TMPDIR = temporary;

const trees = new Map();
function treeOf(name) {
  if (!trees.has(name)) trees.set(name, readTree(join(samples, name)));
  return trees.get(name);
}

class Bad extends Error {}

function typed(error) {
  if (error instanceof Bad) throw error;
  if (!isCofferError(error)) throw new Bad(`untyped error: ${error?.stack ?? error}`);
  return error.code;
}

function open(extra = {}) {
  return openVault(vaultPath, { unlock: recovery(sample.code), onWarning: () => undefined, ...extra });
}

const contents = new Map();
function contentOf({ size, seed }) {
  const name = `${size} ${seed}`;
  if (!contents.has(name)) contents.set(name, Buffer.from(bytesOf(size, seed)));
  return contents.get(name);
}

/** Returns all names that can be listed, and how listing ended. */
async function walked(vault) {
  const entries = new Map();
  try {
    for await (const entry of vault.store.walk("")) entries.set(entry.path, entry);
    return { entries };
  } catch (error) {
    return { entries, code: typed(error) };
  }
}

/** Reads around damage: all but the ranges must be right, and those must be zeros. Returns how many bytes are lost. */
async function bytesLost(vault, path, expected) {
  const ranges = [];
  const pieces = [];
  try {
    const stream = await vault.store.readStream(path, { onDamage: (range) => ranges.push(range) });
    for await (const piece of stream) pieces.push(piece);
  } catch (error) {
    typed(error);
    return expected.length;
  }
  const masked = Buffer.from(expected);
  for (const { start, end } of ranges) masked.fill(0, start, end);
  if (!Buffer.concat(pieces).equals(masked)) throw new Bad(`${path}: wrong bytes around the damage`);
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Every file is as it was, or there is a typed error for it and a check that says so. */
async function judgeStore(vault) {
  const { problems } = await vault.store.verify();
  const hasIndexProblem = problems.some(({ problem }) => ["index", "names", "rot"].includes(problem));
  const { entries, code } = await walked(vault);
  if (code !== undefined && !hasIndexProblem) throw new Bad(`listing: ${code}, and verify found nothing`);
  const found = { files: 0, lost: 0, bytesLost: 0, older: 0, problems: problems.length };
  const told = new Set(problems.map(({ path }) => path));
  for (const [path, file] of Object.entries(sample.files)) {
    const expected = contentOf(file);
    const wasOnce = (bytes) => sample.history[path].some((version) => contentOf(version).equals(bytes));
    try {
      const bytes = Buffer.from(await vault.store.read(path));
      const { metadata } = await vault.store.stat(path);
      if (bytes.equals(expected) && metadata.title === file.title) found.files += 1;
      else if (hasIndexProblem && wasOnce(bytes)) found.older += 1;
      else throw new Bad(`${path}: wrong bytes or metadata`);
    } catch (error) {
      const why = typed(error);
      if (!told.has(path) && !hasIndexProblem) throw new Bad(`${path}: ${why}, and verify found nothing`);
      found.lost += 1;
      found.bytesLost += await bytesLost(vault, path, expected);
    }
    if (!entries.has(path) && !hasIndexProblem) throw new Bad(`${path} is not listed`);
  }
  for (const path of entries.keys()) {
    if (path in sample.files || sample.directories.includes(path)) continue;
    if (!hasIndexProblem || !(path in sample.history)) throw new Bad(`${path} came back`);
    found.older += 1;
  }
  return found;
}

/** The store works on beside the damage. */
async function change(vault) {
  const content = Buffer.from(bytesOf(80_000, 5));
  await vault.store.write("after/x", content);
  if (!content.equals(await vault.store.read("after/x"))) throw new Bad("what was written now is not right");
  await vault.store.remove("after", { recursive: true, purge: true });
}

async function judge(damage) {
  const before = damagedTree(treeOf, damage);
  writeTree(vaultPath, before);
  let found;
  let code;
  let why;
  let isOpen = false;
  try {
    const vault = await open();
    isOpen = true;
    try {
      found = await judgeStore(vault);
      if (damage.isChanging) await change(vault);
    } finally {
      await vault.close();
    }
  } catch (error) {
    code = typed(error);
    why = `${error.message} (${error.cause?.message ?? ""})`;
  }
  if (code === undefined) return { outcome: found.problems === 0 ? "right" : "told", ...found };
  if (found !== undefined) return { outcome: "refused", code, why, hasOpened: true };
  // A block that no open reads: LevelDB has begun to write by then.
  const difference = isOpen ? undefined : differenceOf(before, readTree(vaultPath));
  if (difference !== undefined) throw new Bad(`refused with ${code}, but ${difference}: ${why}`);
  return { outcome: "refused", code, why, salvaged: await judgeSalvage() };
}

/** Whatever salvage gives must be right, or have been right once. Returns how many files came out. */
async function judgeSalvage() {
  let vault;
  try {
    vault = await open({ salvage: true });
  } catch (error) {
    typed(error);
    return 0;
  }
  try {
    let files = 0;
    for (const [path, versions] of Object.entries(sample.history)) {
      try {
        const bytes = Buffer.from(await vault.store.read(path));
        if (!versions.some((version) => contentOf(version).equals(bytes)))
          throw new Bad(`salvage: ${path} has wrong bytes`);
        if (path in sample.files) files += 1;
      } catch (error) {
        typed(error);
      }
    }
    return files;
  } finally {
    await vault.close();
  }
}

process.on("message", async (damage) => {
  let verdict;
  try {
    verdict = damage.hasDied ? { outcome: "right", salvaged: await judgeSalvage() } : await judge(damage);
  } catch (error) {
    verdict = { outcome: "bad", why: error instanceof Bad ? error.message : String(error?.stack ?? error) };
  }
  process.send(verdict);
});
process.on("disconnect", () => process.exit());
process.send("ready");
