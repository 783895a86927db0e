/**
 * Small ciphertext in and out: a file or a standard stream, as bytes or as Base64 text.
 * @module
 */
import { CofferError } from "../../index.ts";
import { type Arguments, type OptionSpec, type PositionalSpec, UsageError } from "./arguments.ts";
import { type Invocation, outputFile } from "./command.ts";
import { readInput } from "./input-file.ts";
import { base64 } from "./output.ts";
import { assertWritable, type OutputFileOptions, writeOutput } from "./output-file.ts";
import { isShown } from "./terminal-contents.ts";

/** Well above the Base64 text of the longest ciphertext. */
const MAX_INPUT_BYTES = 65_536;
const BASE64_TEXT = /^[A-Za-z0-9+/=\s]+$/u;

export const CIPHERTEXT_INPUT: PositionalSpec = {
  name: "IN",
  help: "the file with the ciphertext, in bytes or Base64; - or none is standard input",
  isOptional: true,
  readsFile: true,
};

export const BASE64_OUTPUT_OPTION: Readonly<Record<string, OptionSpec>> = {
  base64: { help: "write the ciphertext as one line of Base64" },
};

/** Reads IN; Base64 is recognised, as a ciphertext in bytes begins with bytes that are in no such text. */
export async function readCiphertext(
  args: Arguments,
  signal: AbortSignal,
  isText: boolean,
): Promise<Uint8Array | string> {
  const bytes = await readInput(args.optionalPositional(0) ?? "-", MAX_INPUT_BYTES, signal);
  if (bytes === undefined) throw tooLong();
  const text = Buffer.from(bytes).toString("latin1");
  return isText || BASE64_TEXT.test(text) ? text.replaceAll(/\s/gu, "") : bytes;
}

/**
 * Refuses an output that would fail at the end, before any work.
 * @throws UsageError, CofferError
 */
export async function assertCiphertextOutput({ args, output }: Invocation): Promise<void> {
  const target = outputFile(args);
  if (target !== undefined) return assertWritable(target, optionsOf(args));
  if (isShown(args) && !args.has("base64") && !output.isJson) {
    throw new UsageError(
      "ciphertext is not for a terminal; give -o FILE or --base64, or -o - to have it anyway",
    );
  }
}

/** Writes a ciphertext where the arguments say; `facts` go with it into the JSON. */
export async function writeCiphertext(
  { args, output }: Invocation,
  ciphertextBlob: Uint8Array,
  facts: object,
): Promise<void> {
  const target = outputFile(args);
  const text = base64(ciphertextBlob);
  const bytes = args.has("base64") ? Buffer.from(`${text}\n`) : ciphertextBlob;
  if (target !== undefined) await writeOutput(target, bytes, optionsOf(args));
  if (output.isJson) {
    return output.result(
      { ...facts, ...(target === undefined ? { ciphertextBlob: text } : { output: target }) },
      [],
    );
  }
  if (target === undefined) await output.data(bytes);
}

function optionsOf(args: Arguments): OutputFileOptions {
  return { kind: "ciphertext", force: args.has("force") };
}

function tooLong(): CofferError {
  return new CofferError(
    "COFFER_INVALID_CIPHERTEXT",
    "the input is longer than any ciphertext of coffer encrypt; coffer file decrypt opens larger files",
  );
}
