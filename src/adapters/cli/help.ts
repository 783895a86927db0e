/**
 * The text of `--help`, made from what the commands say of themselves.
 * @module
 */
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { fieldLines } from "./output.ts";

/** Returns the one line that says how a command is used. */
export function usageLine({ name, synopsis, options }: Command): string {
  const vault = "vault" in options ? " -V VAULT" : "";
  return `usage: coffer ${name}${vault} ${synopsis}`.trimEnd();
}

/** Returns the help of a command. */
export function commandHelp(command: Command): readonly string[] {
  const { summary, positionals, options, notes = [] } = command;
  const rows = [
    ...positionals.map(({ name, help }) => [name, help] as const),
    ...Object.entries(options).map(([name, { short, value, help }]) => {
      const flag = `${short === undefined ? "" : `-${short}, `}--${name}`;
      return [value === undefined ? flag : `${flag} ${value}`, help] as const;
    }),
  ];
  const note = notes.length === 0 ? [] : ["", ...notes];
  return [usageLine(command), "", `  ${summary}`, "", ...fieldLines(rows).map((row) => `  ${row}`), ...note];
}

/** Returns the list of commands: all, or those of a group such as `key`. */
export function groupHelp(group: string): readonly string[] {
  const members = COMMANDS.filter(({ name }) => group === "" || name.startsWith(`${group} `));
  return [
    `usage: coffer ${group === "" ? "COMMAND" : `${group} COMMAND`} …`,
    "",
    ...fieldLines(members.map(({ name, summary }) => [name, summary])).map((row) => `  ${row}`),
    "",
    "coffer COMMAND --help tells more of a command; coffer --version tells the version.",
    "Name the vault with -V VAULT or COFFER_VAULT. The passphrase is asked for, or comes from --passphrase-file FILE; --module PATH opens with a token.",
  ];
}
