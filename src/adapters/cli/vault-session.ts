/**
 * Opens the vault of a command for one piece of work.
 * @module
 */
import { CofferError, describeVault, openVault, type Vault, type VaultDescription } from "../../index.ts";
import type { OptionSpec } from "./arguments.ts";
import { GENERAL_OPTIONS, type Invocation, VAULT_OPTION, vaultDirectory } from "./command.ts";
import { DryRunEnd, dryRunOf } from "./dry-run.ts";
import type { Output } from "./output.ts";
import { SECRET_OPTIONS, unlockerFrom } from "./secret-input.ts";

/** Options of every command that opens a vault. */
export const SESSION_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...VAULT_OPTION,
  ...SECRET_OPTIONS,
  ...GENERAL_OPTIONS,
};

/** Opens the vault, does the work, and closes it, however the work ended. @param unlockWith where the way in comes from. */
export async function withVault<Result>(
  { args, output, signal }: Invocation,
  work: (vault: Vault) => Promise<Result>,
  unlockWith: typeof unlockerFrom = unlockerFrom,
): Promise<Result> {
  const directory = vaultDirectory(args);
  // Asked before the passphrase: nobody should type it for nothing.
  await describeExistingVault(directory);
  const unlock = await unlockWith(args, directory, signal);
  const vault = await openVault(directory, {
    unlock,
    signal,
    onWarning: ({ message }) => output.warning(message),
  });
  vault.on("warning", ({ message }) => output.warning(message));
  vault.on("damage", ({ message }) => output.warning(message));
  try {
    if (!args.has("dry-run")) return await work(vault);
    await work(dryRunOf(vault));
    throw new DryRunEnd();
  } finally {
    await closeVault(vault, output);
  }
}

/**
 * Closes a vault after its work. What was done is done, and its answer may be a recovery code that is shown once: it is
 * not given up because the end did not come off in full.
 */
export async function closeVault(vault: Vault, output: Pick<Output, "warning">): Promise<void> {
  try {
    await vault.close();
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown error";
    output.warning(`The vault was not closed in full: ${why}`);
  }
}

/** Says what there is without a secret. @throws CofferError `COFFER_VAULT_NOT_FOUND` */
export async function describeExistingVault(
  directory: string,
): Promise<Extract<VaultDescription, { readonly exists: true }>> {
  const description = await describeVault(directory);
  if (description.exists) return description;
  throw new CofferError("COFFER_VAULT_NOT_FOUND", `there is no vault in ${directory}; coffer init makes one`);
}
