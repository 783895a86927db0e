/**
 * Opens damaged vaults, one after another, and judges what comes out. A process of its own: a damaged table can end
 * it. Arguments: a folder that holds `sample.json` and trees; the folder to work in.
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCofferError, openVault, recovery } from "../../dist/index.js";
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

async function open(extra, notices) {
  return openVault(vaultPath, {
    unlock: recovery(sample.code),
    onWarning: (notice) => notices.push(notice),
    ...extra,
  });
}

/** Everything must be there and right. */
async function judgeWhole(vault) {
  const { keys } = await vault.kms.listKeys({ limit: 1000 });
  const ids = keys.map(({ keyId }) => keyId).sort();
  const expected = Object.keys(sample.keys).sort();
  if (JSON.stringify(ids) !== JSON.stringify(expected))
    throw new Bad(`keys: ${ids.length} of ${expected.length}`);
  const { aliases } = await vault.kms.listAliases({ limit: 100 });
  const found = Object.fromEntries(aliases.map(({ aliasName, targetKeyId }) => [aliasName, targetKeyId]));
  for (const name of sample.gone) if (name in found) throw new Bad(`${name} came back`);
  for (const [name, keyId] of Object.entries(sample.aliases)) {
    if (found[name] !== keyId) throw new Bad(`${name} points to ${found[name]}`);
  }
  if (aliases.length !== Object.keys(sample.aliases).length)
    throw new Bad("more aliases than there should be");
  for (const [keyId, { description, blob, plaintext }] of Object.entries(sample.keys)) {
    const answer = await vault.kms.decrypt({ ciphertextBlob: blob });
    if (Buffer.from(answer.plaintext).toString() !== plaintext) throw new Bad(`${keyId} decrypted wrongly`);
    const { keyMetadata } = await vault.kms.describeKey({ keyId });
    if (keyMetadata.description !== description)
      throw new Bad(`${keyId} is described as ${keyMetadata.description}`);
  }
}

/** Whatever is there must be right, or have been right once. Returns how many keys came out. */
async function judgeSalvaged(vault) {
  const { aliases } = await vault.kms.listAliases({ limit: 100 });
  for (const { aliasName, targetKeyId } of aliases) {
    // What a case itself adds.
    if (aliasName === "alias/after") continue;
    if (!sample.history[aliasName]?.includes(targetKeyId))
      throw new Bad(`salvage: ${aliasName} was never that`);
  }
  let decrypted = 0;
  for (const { blob, plaintext } of Object.values(sample.keys)) {
    try {
      const answer = await vault.kms.decrypt({ ciphertextBlob: blob });
      if (Buffer.from(answer.plaintext).toString() !== plaintext) throw new Bad("salvage: decrypted wrongly");
      decrypted++;
    } catch (error) {
      typed(error);
    }
  }
  await vault.kms.createKey({}).then(
    () => {
      throw new Bad("salvage: a change went through");
    },
    (error) => typed(error),
  );
  return { keys: decrypted, aliases: aliases.length };
}

async function judge(damage) {
  const before = damagedTree(treeOf, damage);
  writeTree(vaultPath, before);
  const notices = [];
  let code;
  let why;
  let hasOpened = false;
  try {
    const vault = await open({}, notices);
    try {
      await judgeWhole(vault);
      hasOpened = true;
      if (damage.isChanging)
        await vault.kms.createAlias({ aliasName: "alias/after", targetKeyId: Object.keys(sample.keys)[0] });
    } finally {
      await vault.close();
    }
    if (damage.isChanging) {
      const again = await open({}, []);
      await again.kms.deleteAlias({ aliasName: "alias/after" });
      await judgeWhole(again);
      await again.close();
    }
  } catch (error) {
    code = typed(error);
    why = `${error.message} (${error.cause?.message ?? error.cause?.cause?.message ?? ""} ${error.cause?.cause?.message ?? ""})`;
  }
  if (code === undefined) return { outcome: "right", notices: notices.map(({ type }) => type) };
  const difference = hasOpened ? undefined : differenceOf(before, readTree(vaultPath));
  if (difference !== undefined) throw new Bad(`refused with ${code}, but ${difference}: ${why}`);
  const salvage = await judgeSalvage(readTree(vaultPath));
  return { outcome: "refused", code, why, hasOpened, salvage };
}

/** What a process that ended in the middle has left: every byte of the database, and a way to what is in it. */
async function judgeAfterDeath(damage) {
  const before = damagedTree(treeOf, damage);
  const after = readTree(vaultPath);
  const isKept = after.has("db-1.keep");
  for (const [path, { kind, bytes }] of before) {
    if (kind !== "file" || !path.startsWith("db-1/")) continue;
    // A change had been made before, and nothing is kept any more.
    if (damage.isChanging && !isKept) break;
    const kept = after.get(isKept ? path.replace("db-1/", "db-1.keep/") : path);
    if (kept?.bytes?.equals(bytes) !== true) throw new Bad(`after the abort ${path} is not kept`);
  }
  const vault = await open({ salvage: true }, []);
  try {
    return { outcome: "right", salvage: await judgeSalvaged(vault) };
  } finally {
    await vault.close();
  }
}

async function judgeSalvage(before) {
  let salvage;
  try {
    const vault = await open({ salvage: true }, []);
    try {
      salvage = await judgeSalvaged(vault);
    } finally {
      await vault.close();
    }
  } catch (error) {
    salvage = { code: typed(error), keys: 0, aliases: 0 };
  }
  const difference = differenceOf(before, readTree(vaultPath));
  if (difference !== undefined) throw new Bad(`after salvage ${difference}`);
  const left = readdirSync(temporary);
  if (left.length > 0) throw new Bad(`salvage left ${left.join(", ")}`);
  return salvage;
}

process.on("message", async (damage) => {
  let verdict;
  try {
    verdict = await (damage.hasDied ? judgeAfterDeath(damage) : judge(damage));
  } catch (error) {
    verdict = { outcome: "bad", why: error instanceof Bad ? error.message : String(error?.stack ?? error) };
  }
  process.send(verdict);
});
process.on("disconnect", () => process.exit());
process.send("ready");
