#!/usr/bin/env node
/**
 * The command line: a thin client of the public API. Exit code 0 done, 1 refused, 2 usage, 130 and 143 interrupted.
 * @module
 */
import { readFileSync } from "node:fs";
import { CofferError, isCofferError } from "../../index.ts";
import { parseArguments, UsageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { selectCommand } from "./commands.ts";
import { commandHelp, groupHelp, usageLine } from "./help.ts";
import { EXIT_DONE, EXIT_REFUSED, Output } from "./output.ts";

const SIGNAL_EXITS = { SIGINT: 130, SIGTERM: 143 } as const;
const EXIT_CANCELLED = SIGNAL_EXITS.SIGINT;
/** From the built file, and from this one, to the root of the package. */
const MANIFEST = "../../../package.json";

/** Runs one command line and returns its exit code. */
async function run(argv: readonly string[]): Promise<number> {
  const output = new Output(argv.includes("--json"));
  const interruption = new AbortController();
  let interruptedExit: number | undefined;
  for (const [name, exit] of Object.entries(SIGNAL_EXITS)) {
    // Once: a second one ends the process at once.
    process.once(name, () => {
      interruptedExit ??= exit;
      interruption.abort(new CofferError("COFFER_ABORTED", "interrupted"));
    });
  }
  let command: Command | undefined;
  try {
    if (argv[0] === "--version") {
      await output.result({ version: packageVersion() }, [packageVersion()]);
      return EXIT_DONE;
    }
    const selected = selectCommand(argv);
    if (selected.command === undefined) return await printHelp(output, groupHelp(selected.group));
    command = selected.command;
    const args = parseArguments(command, selected.rest);
    if (args.has("help")) return await printHelp(output, commandHelp(command));
    await command.run({ args, output, signal: interruption.signal });
    return output.exitCode;
  } catch (error) {
    const shown: unknown = interruption.signal.aborted ? interruption.signal.reason : error;
    const code = output.failure(shown, usageHint(command), command?.options);
    if (interruptedExit !== undefined) return interruptedExit;
    return isCofferError(error, "COFFER_ABORTED") ? EXIT_CANCELLED : code;
  }
}

async function printHelp(output: Output, lines: readonly string[]): Promise<number> {
  await output.result({ help: lines }, lines);
  return EXIT_DONE;
}

function usageHint(command: Command | undefined): readonly string[] {
  if (command === undefined) return ["usage: coffer COMMAND …", "coffer --help lists the commands"];
  return [usageLine(command), `coffer ${command.name} --help tells more`];
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL(MANIFEST, import.meta.url), "utf8"));
  const { version } = manifest as { readonly version?: unknown };
  if (typeof version !== "string") throw new UsageError("the package has no version");
  return version;
}

// Until it is known to be done, it is not: an unanswered prompt must not end as a success.
process.exitCode = EXIT_REFUSED;
void run(process.argv.slice(2)).then((exitCode) => {
  process.exitCode = exitCode;
});
