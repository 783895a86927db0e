/**
 * Makes and uses a vault under a umask, and prints the modes of all its files at several moments. Arguments: the
 * vault's directory; the umask in octal.
 * @module
 */
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";
import { createVault, openVault } from "../../dist/vault.js";
import { readTree } from "./trees.mjs";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const unlock = () => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });

/** Every mode that a directory's files and folders have, each once. */
function modesIn(directory) {
  const modes = [...readTree(directory).values()].map(({ kind, mode }) => `${kind} ${mode.toString(8)}`);
  return [...new Set(modes)].toSorted();
}

async function underUmask(directory, umask) {
  process.umask(Number.parseInt(umask, 8));
  const seen = {};
  let { vault } = await createVault(directory, { unlock: unlock() });
  seen.made = modesIn(directory);
  const description = "x".repeat(8000);
  for (let count = 0; count < 80; count++) await vault.kms.createKey({ description });
  await vault.lock();
  await vault.unlock(unlock());
  seen.used = modesIn(directory);
  await vault.close();
  seen.closed = modesIn(directory);
  vault = await openVault(directory, { unlock: unlock() });
  await vault.kms.createKey({});
  seen.opened = modesIn(directory);
  await vault.close();
  return seen;
}

/** Opens a vault on a medium that cannot be written: `drive` is mounted and remounted, or else modes are taken. */
async function onReadOnlyMedium(drive, isMounted) {
  const directory = `${drive}/vault`;
  const notices = [];
  const made = await createVault(directory, { unlock: unlock() });
  const { ciphertextBlob } = await made.vault.kms.encrypt({ plaintext: "on a disc" });
  await made.vault.close();
  const entries = [...readTree(directory)].map(([path, { kind }]) => ({
    path: `${directory}/${path}`,
    kind,
  }));
  if (isMounted) {
    execFileSync("mount", ["-o", "remount,ro", drive]);
  } else {
    for (const { path, kind } of entries) chmodSync(path, kind === "directory" ? 0o500 : 0o400);
    chmodSync(directory, 0o500);
  }
  const before = JSON.stringify([...readTree(directory)]);
  const vault = await openVault(directory, { unlock: unlock(), onWarning: (notice) => notices.push(notice) });
  const copies = () => readdirSync(tmpdir());
  const whileOpen = copies().length;
  const { plaintext } = await vault.kms.decrypt({ ciphertextBlob });
  const refusalOf = (/** @type {object} */ request) =>
    vault.kms
      .createKey(request)
      .catch((/** @type {unknown} */ error) => ({ code: error.code, ...error.details }));
  const refused = await refusalOf({});
  const refusedTrial = await refusalOf({ dryRun: true });
  await vault.lock();
  await vault.unlock(unlock());
  const { keys } = await vault.kms.listKeys();
  const { isReadOnly } = vault;
  await vault.close();
  const isUnchanged = before === JSON.stringify([...readTree(directory)]);
  if (!isMounted) for (const { path, kind } of entries) if (kind === "directory") chmodSync(path, 0o700);
  if (!isMounted) chmodSync(directory, 0o700);
  return {
    isReadOnly,
    plaintext: Buffer.from(plaintext).toString(),
    refused,
    refusedTrial,
    keys: keys.length,
    notices: notices.map(({ type }) => type),
    whileOpen,
    afterwards: copies(),
    isUnchanged,
  };
}

const [what, directory, option] = process.argv.slice(2);
if (what === "umask") {
  process.stdout.write(JSON.stringify(await underUmask(directory, option)));
} else {
  // A folder for temporary files of its own, so that nobody else's copies are counted.
  process.env.TMPDIR = option;
  mkdirSync(option, { recursive: true, mode: 0o700 });
  process.stdout.write(JSON.stringify(await onReadOnlyMedium(directory, what === "mounted")));
}
