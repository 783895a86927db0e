/**
 * `coffer rotate-root`: a new root key, and new ways in.
 * @module
 */
import { type Command, type Invocation, vaultDirectory } from "./command.ts";
import { recoveryLines } from "./recovery-lines.ts";
import { NEW_PASSPHRASE_OPTIONS, newPassphraseOf } from "./secret-input.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

export const rotateRootCommand: Command = {
  name: "rotate-root",
  summary: "give the vault a new root key, where the old one may be known",
  synopsis: "[--no-recovery-code] [--new-passphrase-file FILE]",
  positionals: [],
  options: {
    "no-recovery-code": { help: "make no recovery code: then a forgotten passphrase loses everything" },
    ...NEW_PASSPHRASE_OPTIONS,
    ...SESSION_OPTIONS,
  },
  notes: [
    "All ways in end: the new passphrase and the new recovery code are what opens the vault from then on.",
    "Tokens are enrolled again afterwards, with slot add-token.",
    "The recovery code is shown once, on standard error (with --json in the JSON), and kept nowhere.",
    "Keys, and what they encrypted, stay. Rotate the keys too where somebody may have had the old root key.",
    "Stopped at any moment, the vault opens the old way or the new way; then run it again.",
  ],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const rotated = await withVault(invocation, async (vault) => {
    const unlocker = await newPassphraseOf(args.text("new-passphrase-file"), vaultDirectory(args), signal);
    const recoveryCode = !args.has("no-recovery-code");
    return vault.rotateRootKey({ slots: [{ unlocker }], recoveryCode, signal });
  });
  const { recoveryCode, isOldRootDead } = rotated;
  if (recoveryCode !== undefined) output.note(recoveryLines(recoveryCode));
  await output.result(rotated, [
    isOldRootDead ? "the old root key opens nothing any more" : "the old root key counts no longer",
  ]);
}
