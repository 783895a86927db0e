/**
 * `coffer init`: makes a vault.
 * @module
 */
import { CofferError, createVault, describeVault } from "../../index.ts";
import { type Command, GENERAL_OPTIONS, type Invocation } from "./command.ts";
import { recoveryLines } from "./recovery-lines.ts";
import { NEW_SECRET_OPTIONS, newPassphraseFrom } from "./secret-input.ts";
import { closeVault } from "./vault-session.ts";

export const initCommand: Command = {
  name: "init",
  summary: "make a vault in a new or empty directory",
  synopsis: "VAULT [--no-recovery-code] [--passphrase-file FILE]",
  positionals: [{ name: "VAULT", help: "the folder of the new vault" }],
  options: {
    "no-recovery-code": { help: "make no recovery code: then a forgotten passphrase loses everything" },
    ...NEW_SECRET_OPTIONS,
    ...GENERAL_OPTIONS,
  },
  notes: [
    "The recovery code is shown once, on standard error (with --json in the JSON), and kept nowhere.",
    "The vault has one key to begin with, alias/default.",
  ],
  run,
};

async function run({ args, output, signal }: Invocation): Promise<void> {
  const directory = args.positional(0);
  await assertNoVault(directory);
  const unlock = await newPassphraseFrom(args, directory, signal);
  const { vault, recoveryCode } = await createVault(directory, {
    unlock,
    recoveryCode: !args.has("no-recovery-code"),
    signal,
    onWarning: ({ message }) => output.warning(message),
  });
  const { id } = vault;
  await closeVault(vault, output);
  if (recoveryCode !== undefined) output.note(recoveryLines(recoveryCode));
  const value = { id, directory, ...(recoveryCode !== undefined && { recoveryCode }) };
  await output.result(value, [`vault ${id} is ready in ${directory}`]);
}

/** Asked before the passphrase: nobody should think of one in vain. */
async function assertNoVault(directory: string): Promise<void> {
  const { exists } = await describeVault(directory);
  if (exists) {
    throw new CofferError(
      "COFFER_VAULT_EXISTS",
      `there is a vault in ${directory}; choose another directory`,
    );
  }
}
