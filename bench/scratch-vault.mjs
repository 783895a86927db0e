/**
 * Vaults to measure on, each in a temporary directory of its own.
 * @module
 */
import { rmSync } from "node:fs";
import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createVault, openVault, passphrase, recovery } from "coffer";
import { withFolder } from "./scratch-files.mjs";

const CHANGES_AT_ONCE = 256;

let seed;

/**
 * Copies a closed vault with one key to `directory`.
 * @returns {Promise<string>} its recovery code, which opens it without Argon2id
 */
export async function copyVault(directory) {
  seed ??= makeSeed();
  const made = await seed;
  await cp(made.directory, directory, { recursive: true });
  return made.recoveryCode;
}

/**
 * Makes a vault with `keys` keys in all, and gives it to `use`, which may close it. Removes everything afterwards.
 * @param {number} keys at least 1: `alias/default`
 * @param {(made: { vault: import("coffer").Vault, directory: string, recoveryCode: string }) => Promise<T>} use
 * @returns {Promise<T>}
 * @template T
 */
export async function withVault(keys, use) {
  return withFolder(async (folder) => {
    const directory = join(folder, "my.vault");
    const recoveryCode = await copyVault(directory);
    const vault = await openVault(directory, { unlock: recovery(recoveryCode) });
    try {
      for (let made = 1; made < keys; made += CHANGES_AT_ONCE) {
        const count = Math.min(CHANGES_AT_ONCE, keys - made);
        await Promise.all(Array.from({ length: count }, () => vault.kms.createKey()));
      }
      return await use({ vault, directory, recoveryCode });
    } finally {
      await vault.close();
    }
  });
}

/** Made once, because a passphrase costs Argon2id. */
async function makeSeed() {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const directory = join(folder, "my.vault");
  const { vault, recoveryCode } = await createVault(directory, { unlock: passphrase("for the bench") });
  await vault.close();
  return { directory, recoveryCode };
}
