/**
 * Vaults to measure on, each in a temporary directory of its own.
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createVault, passphrase } from "coffer";

const CHANGES_AT_ONCE = 256;

/**
 * Makes a vault with `keys` keys in all, and gives it to `use`, which may close it. Removes everything afterwards.
 * @param {number} keys at least 1: `alias/default`
 * @param {(made: { vault: import("coffer").Vault, directory: string, recoveryCode: string }) => Promise<T>} use
 * @returns {Promise<T>}
 * @template T
 */
export async function withVault(keys, use) {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-"));
  const directory = join(folder, "my.vault");
  try {
    const { vault, recoveryCode } = await createVault(directory, { unlock: passphrase("for the bench") });
    try {
      for (let made = 1; made < keys; made += CHANGES_AT_ONCE) {
        const count = Math.min(CHANGES_AT_ONCE, keys - made);
        await Promise.all(Array.from({ length: count }, () => vault.kms.createKey()));
      }
      return await use({ vault, directory, recoveryCode });
    } finally {
      await vault.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
