/**
 * What a command prints: for people, or with `--json` one JSON value on standard output and JSON lines for errors
 * and warnings on standard error.
 * @module
 */
import { CofferError, isCofferError } from "../../index.ts";
import { commandLineAdvice } from "./advice.ts";
import { UsageError } from "./arguments.ts";
import { terminalJson, terminalText } from "./terminal-text.ts";

/** Name and value, shown as one line. */
export type Field = readonly [name: string, value: string];

export const EXIT_DONE = 0;
export const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;

/** Standard output and standard error of one command. */
export class Output {
  readonly isJson: boolean;
  /** Of a command that came to its end; one whose answer is bad news sets another. */
  exitCode: number = EXIT_DONE;

  constructor(isJson: boolean) {
    this.isJson = isJson;
  }

  /** Prints the result of a command: `value` with `--json`, otherwise the lines. */
  async result(value: unknown, lines: readonly string[]): Promise<void> {
    if (this.isJson) return this.data(Buffer.from(`${terminalJson(value)}\n`));
    return this.data(Buffer.from(lines.map((line) => `${terminalText(line)}\n`).join("")));
  }

  /** Writes bytes to standard output as they are. */
  async data(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    // One listener, however many pieces come.
    if (!process.stdout.listeners("error").includes(passOver)) process.stdout.on("error", passOver);
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(writeError(error)) : resolve()));
    });
  }

  /** Says something that fails nothing, of the library or of a command. */
  warning(notice: string): void {
    const message = commandLineAdvice(notice);
    if (this.isJson) process.stderr.write(`${terminalJson({ warning: { message } })}\n`);
    else process.stderr.write(`coffer: warning: ${terminalText(message)}\n`);
  }

  /** Prints lines for a person, beside the result. Nothing with `--json`. */
  note(lines: readonly string[]): void {
    if (!this.isJson) process.stderr.write(lines.map((line) => `${terminalText(line)}\n`).join(""));
  }

  /**
   * Says why nothing was done, in one line with its code, and returns the exit code.
   * @param flags the options of the command, by their names.
   */
  failure(error: unknown, usage: readonly string[], flags: Readonly<Record<string, unknown>> = {}): number {
    const { code, message } = describeError(error, flags);
    if (this.isJson) {
      process.stderr.write(`${terminalJson({ error: { code, message } })}\n`);
    } else if (error instanceof UsageError) {
      process.stderr.write([`coffer: ${terminalText(message)}`, ...usage, ""].join("\n"));
    } else {
      process.stderr.write(`coffer: ${terminalText(message)} (${code})\n`);
    }
    return error instanceof UsageError ? EXIT_USAGE : EXIT_REFUSED;
  }
}

/** A reader that went away is told by the callback; without a listener the same error would end the process. */
function passOver(): void {
  // The callback has it.
}

/** Returns a number and what it counts: `1 file`, `2 files`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Returns fields as aligned lines. */
export function fieldLines(fields: readonly Field[]): readonly string[] {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd());
}

/** Standard Base64 with padding, as JSON and text carry bytes. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function describeError(
  error: unknown,
  flags: Readonly<Record<string, unknown>>,
): { readonly code: string; readonly message: string } {
  if (error instanceof UsageError) return { code: error.code, message: error.message };
  if (isCofferError(error)) return { code: error.code, message: commandLineAdvice(error.message, flags) };
  const message = error instanceof Error ? error.message : "unknown error";
  return { code: "INTERNAL", message: `unexpected: ${message}` };
}

function writeError(error: Error): CofferError {
  const { code } = error as NodeJS.ErrnoException;
  return new CofferError("COFFER_IO", `cannot write to standard output (${code ?? "unknown error"})`, {
    cause: error,
  });
}
