/**
 * `coffer anchor`: the text that tells an older vault from a newer one, shown and held against a vault.
 * @module
 */
import { openVault } from "../../index.ts";
import { type Command, type Invocation, vaultDirectory } from "./command.ts";
import { readInput } from "./input-file.ts";
import { unlockerFrom } from "./secret-input.ts";
import { describeExistingVault, SESSION_OPTIONS } from "./vault-session.ts";

/** Far above any anchor; more is a file given by mistake. */
const MAX_ANCHOR_FILE_BYTES = 1024;

export const anchorCommand: Command = {
  name: "anchor",
  summary: "show the vault's anchor; with --check refuse a vault that is older than one",
  synopsis: "[--check FILE] [--accept-rollback]",
  positionals: [],
  options: {
    check: { value: "FILE", readsFile: true, help: "an anchor from before (- is standard input)" },
    "accept-rollback": { help: "take the older vault as the newest from now on" },
    ...SESSION_OPTIONS,
  },
  notes: [
    "Keep the anchor where who can write the vault cannot write. It is no secret, and opens nothing.",
    "--accept-rollback is for a backup that you have restored yourself: give the anchor with --check too.",
  ],
  run,
};

async function run({ args, output, signal }: Invocation): Promise<void> {
  const directory = vaultDirectory(args);
  await describeExistingVault(directory);
  const file = args.text("check");
  const given = file === undefined ? undefined : await readAnchor(file, signal);
  const unlock = await unlockerFrom(args, directory, signal);
  const vault = await openVault(directory, {
    unlock,
    signal,
    acceptRollback: args.has("accept-rollback"),
    ...(given !== undefined && { anchor: given }),
    onWarning: ({ message }) => output.warning(message),
  });
  try {
    const anchor = await vault.anchor();
    await output.result({ id: vault.id, anchor }, [anchor]);
  } finally {
    await vault.close();
  }
}

async function readAnchor(file: string, signal: AbortSignal): Promise<string> {
  const bytes = await readInput(file, MAX_ANCHOR_FILE_BYTES, signal);
  return Buffer.from(bytes ?? [])
    .toString("latin1")
    .trim();
}
