/**
 * All commands, and which one a command line means.
 * @module
 */
import { aliasCommands } from "./alias.ts";
import { anchorCommand } from "./anchor.ts";
import { nearestName, UsageError } from "./arguments.ts";
import { backupCommands } from "./backup.ts";
import type { Command } from "./command.ts";
import { dataKeyCommand } from "./data-key.ts";
import { decryptCommand } from "./decrypt.ts";
import { doctorCommand } from "./doctor.ts";
import { withDryRun } from "./dry-run.ts";
import { encryptCommand } from "./encrypt.ts";
import { fileKeyCommands } from "./file-keys.ts";
import { fileCommands } from "./file.ts";
import { initCommand } from "./init.ts";
import { keyChangeCommands } from "./key-changes.ts";
import { keyFactCommands } from "./key-facts.ts";
import { keyCommands } from "./key.ts";
import { ownDataKeyCommands } from "./own-data-key.ts";
import { reEncryptCommand } from "./re-encrypt.ts";
import { rotateRootCommand } from "./rotate-root.ts";
import { slotCommands } from "./slot.ts";
import { statusCommand } from "./status.ts";
import { storeTreeCommands } from "./store-trees.ts";
import { storeCommands } from "./store.ts";
import { tokenCommands } from "./token.ts";

/** Those that perform an operation of the KMS. */
const KMS_COMMANDS: readonly Command[] = [
  ...keyCommands,
  ...keyFactCommands,
  ...keyChangeCommands,
  ...aliasCommands,
  encryptCommand,
  decryptCommand,
  reEncryptCommand,
  dataKeyCommand,
  ...ownDataKeyCommands,
];

export const COMMANDS: readonly Command[] = [
  initCommand,
  statusCommand,
  doctorCommand,
  ...backupCommands,
  anchorCommand,
  ...KMS_COMMANDS.map(withDryRun),
  ...slotCommands,
  ...tokenCommands,
  rotateRootCommand,
  ...fileCommands,
  ...fileKeyCommands,
  ...storeCommands,
  ...storeTreeCommands,
];

/** A command and what follows its name, or the group that help was asked for: the empty one is everything. */
export type Selected =
  | { readonly command: Command; readonly rest: readonly string[] }
  | { readonly command?: undefined; readonly group: string };

/** Finds the command that a line begins with. @throws UsageError */
export function selectCommand(argv: readonly string[]): Selected {
  const [first = "", second = ""] = argv;
  if (isHelp(first)) return { group: "" };
  if (first === "") throw new UsageError("no command is given");
  if (first.startsWith("-")) throw new UsageError("the command comes first, its options after it");
  const single = COMMANDS.find(({ name }) => name === first);
  if (single !== undefined) return { command: single, rest: argv.slice(1) };
  const group = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length === 0) throw unknownCommand("command", first, [...new Set(COMMANDS.map(firstWord))]);
  if (isHelp(second)) return { group: first };
  const command = group.find(({ name }) => name === `${first} ${second}`);
  if (command !== undefined) return { command, rest: argv.slice(2) };
  const names = group.map(({ name }) => name.slice(first.length + 1));
  if (second === "" || second.startsWith("-"))
    throw new UsageError(`coffer ${first} needs one of: ${names.join(", ")}`);
  throw unknownCommand(`command of coffer ${first}`, second, names);
}

function isHelp(word: string): boolean {
  return word === "--help" || word === "-h" || word === "help";
}

function firstWord({ name }: Command): string {
  return name.split(" ")[0] ?? name;
}

/** The word is repeated only where it looks like one: it may be anything that was typed by mistake. */
function unknownCommand(what: string, word: string, names: readonly string[]): UsageError {
  const shown = /^[a-z][a-z-]{0,20}$/u.test(word) ? `unknown ${what}: ${word}` : `unknown ${what}`;
  const nearest = nearestName(word, names);
  return new UsageError(
    `${shown}; ${nearest === undefined ? `there are ${names.join(", ")}` : `did you mean ${nearest}?`}`,
  );
}
