/**
 * What a command is made of, and the options that several share.
 * @module
 */
import { type Arguments, type ArgumentSpec, type OptionSpec, UsageError } from "./arguments.ts";
import type { Output } from "./output.ts";

/** One run of a command. */
export interface Invocation {
  readonly args: Arguments;
  readonly output: Output;
  /** Aborted by Ctrl-C and by a request to end. */
  readonly signal: AbortSignal;
}

export interface Command extends ArgumentSpec {
  /** One or two words: `encrypt`, `key create`. */
  readonly name: string;
  readonly summary: string;
  /** What follows the name, as in `[--context K=V]… [IN] [-o OUT]`. */
  readonly synopsis: string;
  /** More for `--help`: limits, what happens to files. */
  readonly notes?: readonly string[];
  readonly run: (invocation: Invocation) => Promise<void>;
}

type Options = Readonly<Record<string, OptionSpec>>;

/** Options of every command. */
export const GENERAL_OPTIONS: Options = {
  json: { help: 'print one JSON value; errors as {"error":{"code","message"}} on standard error' },
  help: { short: "h", help: "show this" },
};

export const VAULT_OPTION: Options = {
  vault: {
    short: "V",
    value: "VAULT",
    help: "the folder of the vault (or the environment variable COFFER_VAULT)",
  },
};

export const KEY_OPTION: Options = {
  key: { value: "KEY", help: "a key id, an alias (alias/…) or an ARN" },
};

/** Where files have a key already. */
export const OTHER_KEY_OPTION: Options = {
  key: { value: "KEY", help: "a key id, an alias (alias/…) or an ARN; else the key that each file is under" },
};

export const CONTEXT_OPTION: Options = {
  context: {
    value: "K=V",
    isRepeatable: true,
    help: "a pair of the encryption context; repeatable. Not secret, and needed again to decrypt",
  },
};

export const OUTPUT_OPTIONS: Options = {
  output: { short: "o", value: "OUT", help: "the file to write; - or none is standard output" },
  force: { help: "replace an existing OUT" },
};

/** The directory of `--vault` or COFFER_VAULT. @throws UsageError */
export function vaultDirectory(args: Arguments): string {
  const directory = args.text("vault") ?? process.env["COFFER_VAULT"];
  if (directory !== undefined && directory !== "") return directory;
  throw new UsageError("no vault is named: give -V VAULT, or set COFFER_VAULT");
}

/** The file of `-o`; undefined stands for standard output. */
export function outputFile(args: Arguments): string | undefined {
  const path = args.text("output");
  return path === "-" ? undefined : path;
}

/** The encryption context of `--context`. */
export function encryptionContext(args: Arguments): Record<string, string> {
  return Object.fromEntries(args.pairs("context"));
}
