/**
 * `coffer slot …`: the ways into a vault.
 * @module
 */
import { combined, type SlotDescription, type Vault } from "../../index.ts";
import { type OptionSpec, type PositionalSpec, UsageError } from "./arguments.ts";
import { type Command, GENERAL_OPTIONS, type Invocation, VAULT_OPTION, vaultDirectory } from "./command.ts";
import { recoveryLines } from "./recovery-lines.ts";
import {
  KNOWN_SECRET_OPTIONS,
  knownUnlockerFrom,
  NEW_PASSPHRASE_OPTIONS,
  newPassphraseOf,
  tokenUnlockerFrom,
} from "./secret-input.ts";
import { anyTokenOf, TOKEN_KEY_OPTIONS, tokenModuleOf } from "./token-input.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const ID: PositionalSpec = { name: "ID", help: "a slot's id, as slot list shows it" };
const LABEL_OPTION: Readonly<Record<string, OptionSpec>> = {
  label: { value: "TEXT", help: "a name for people; it can be read without any secret" },
};
const COPIES =
  "Copies of the vault that were made before still open the old way: where that matters, follow with rotate-root.";

export const slotCommands: readonly Command[] = [
  {
    name: "slot list",
    summary: "list all ways in",
    synopsis: "",
    positionals: [],
    options: SESSION_OPTIONS,
    run: listSlots,
  },
  {
    name: "slot add-passphrase",
    summary: "add a passphrase; the others stay",
    synopsis: "[--label TEXT] [--new-passphrase-file FILE]",
    positionals: [],
    options: { ...LABEL_OPTION, ...NEW_PASSPHRASE_OPTIONS, ...SESSION_OPTIONS },
    run: addPassphrase,
  },
  {
    name: "slot add-recovery",
    summary: "make one more recovery code; the others stay",
    synopsis: "[--label TEXT]",
    positionals: [],
    options: { ...LABEL_OPTION, ...SESSION_OPTIONS },
    notes: ["The code is shown once, on standard error (with --json in the JSON), and kept nowhere."],
    run: addRecovery,
  },
  {
    name: "slot add-token",
    summary: "add a key of a hardware token; the other ways in stay",
    synopsis: "--module PATH [--token-label TEXT] [--key-id HEX] [--combined] [--label TEXT]",
    positionals: [],
    options: {
      ...TOKEN_KEY_OPTIONS,
      combined: { help: "make a slot that needs the token and a new passphrase, both" },
      ...NEW_PASSPHRASE_OPTIONS,
      ...LABEL_OPTION,
      ...VAULT_OPTION,
      ...KNOWN_SECRET_OPTIONS,
      "open-with-token": {
        help: "open the vault with a token of the same module that it knows already, and not with a passphrase",
      },
      ...GENERAL_OPTIONS,
    },
    notes: [
      "The token must be there: its key is tried once, which asks for its PIN and may ask for a touch.",
      "The vault is opened with --passphrase-file, --recovery-code-file, or a prompt; --pin-file is the new token's.",
      "docs/yubikey.md shows how to make a key on a YubiKey, and what to do when one is lost.",
    ],
    run: addToken,
  },
  {
    name: "slot remove",
    summary: "remove a way in",
    synopsis: "ID",
    positionals: [ID],
    options: SESSION_OPTIONS,
    notes: ["The last way in cannot be removed.", COPIES],
    run: removeSlot,
  },
  {
    name: "slot change-passphrase",
    summary: "put a new passphrase into the place of one",
    synopsis: "[ID] [--new-passphrase-file FILE]",
    positionals: [{ ...ID, isOptional: true, help: "the passphrase's slot, where there are several" }],
    options: { ...NEW_PASSPHRASE_OPTIONS, ...SESSION_OPTIONS },
    notes: [COPIES],
    run: changePassphrase,
  },
  {
    name: "slot label",
    summary: "give a way in another name",
    synopsis: "ID TEXT",
    positionals: [ID, { name: "TEXT", help: "the name; it can be read without any secret" }],
    options: SESSION_OPTIONS,
    run: labelSlot,
  },
];

async function listSlots(invocation: Invocation): Promise<void> {
  const slots = await withVault(invocation, async (vault) => vault.slots.list());
  await invocation.output.result({ slots }, slots.map(lineOf));
}

async function addPassphrase(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const label = args.text("label");
  const slot = await withVault(invocation, async (vault) => {
    const unlocker = await newPassphrase(invocation);
    return vault.slots.add(unlocker, { label, signal });
  });
  await output.result({ slot }, [lineOf(slot)]);
}

async function addToken(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  // Before any secret: nobody should type one for nothing.
  tokenModuleOf(args);
  if (args.has("new-passphrase-file") && !args.has("combined")) {
    throw new UsageError("--new-passphrase-file is for a slot that needs both: give --combined too");
  }
  const label = args.text("label");
  const slot = await withVault(
    invocation,
    async (vault) => {
      const known = args.has("combined") ? await newPassphrase(invocation) : undefined;
      const token = await tokenUnlockerFrom(args, signal);
      return vault.slots.add(known === undefined ? token : combined(known, token), { label, signal });
    },
    async (...given) =>
      args.has("open-with-token") ? anyTokenOf(args, signal) : knownUnlockerFrom(...given),
  );
  await output.result({ slot }, [lineOf(slot)]);
}

async function addRecovery(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const label = args.text("label");
  const added = await withVault(invocation, async (vault) =>
    vault.slots.addRecovery({ ...(label !== undefined && { label }), signal }),
  );
  output.note(recoveryLines(added.recoveryCode));
  await output.result(added, [lineOf(added.slot)]);
}

async function removeSlot(invocation: Invocation): Promise<void> {
  const id = invocation.args.positional(0);
  await withVault(invocation, async (vault) => vault.slots.remove(id));
  await invocation.output.result({ id }, [`${id} is removed`]);
}

async function changePassphrase(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const slot = await withVault(invocation, async (vault) => {
    const id = args.optionalPositional(0) ?? (await onlyPassphrase(vault));
    return vault.slots.replace(id, await newPassphrase(invocation), { signal });
  });
  await output.result({ slot }, [lineOf(slot)]);
}

async function labelSlot(invocation: Invocation): Promise<void> {
  const { args, output } = invocation;
  const [id, label] = [args.positional(0), args.positional(1)];
  await withVault(invocation, async (vault) => vault.slots.setLabel(id, label));
  await output.result({ id, label }, [`${id}  ${label}`]);
}

function newPassphrase({ args, signal }: Invocation): ReturnType<typeof newPassphraseOf> {
  return newPassphraseOf(args.text("new-passphrase-file"), vaultDirectory(args), signal);
}

async function onlyPassphrase(vault: Vault): Promise<string> {
  const found = (await vault.slots.list()).filter(({ kind }) => kind === "passphrase");
  const [only] = found;
  if (only !== undefined && found.length === 1) return only.id;
  throw new UsageError(
    found.length === 0
      ? "the vault has no passphrase to change; slot add-passphrase adds one"
      : "the vault has several passphrases: name the slot's ID, as slot list shows it",
  );
}

function lineOf({ id, kind, label, createdAt, tokens = [] }: SlotDescription): string {
  const named = tokens.map((token) => ` (${token.label}, serial ${token.serial})`).join("");
  return `${id}  ${kind.padEnd(10)}  ${createdAt.toISOString().slice(0, 10)}  ${label}${named}`;
}
