/**
 * `coffer encrypt`: small data under a key.
 * @module
 */
import { CofferError } from "../../index.ts";
import { UsageError } from "./arguments.ts";
import {
  type Command,
  CONTEXT_OPTION,
  encryptionContext,
  type Invocation,
  KEY_OPTION,
  OUTPUT_OPTIONS,
  outputFile,
} from "./command.ts";
import { readInput } from "./input-file.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { base64 } from "./output.ts";
import { assertWritable, type OutputFileOptions, writeOutput } from "./output-file.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

/** Well above what encrypt takes, so that the vault's own limit decides, and well below what would be felt. */
const MAX_INPUT_BYTES = 65_536;

export const encryptCommand: Command = {
  name: "encrypt",
  summary: "encrypt small data, up to 6,144 bytes",
  synopsis: "--key KEY [--context K=V]… [--base64] [IN] [-o OUT] [--force]",
  positionals: [
    {
      name: "IN",
      help: "the file to encrypt; - or none is standard input",
      isOptional: true,
      readsFile: true,
    },
  ],
  options: {
    ...KEY_OPTION,
    ...CONTEXT_OPTION,
    base64: { help: "write the ciphertext as one line of Base64" },
    ...OUTPUT_OPTIONS,
    ...SESSION_OPTIONS,
  },
  notes: ["For more than 6,144 bytes there is coffer file encrypt."],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const keyId = keyReferenceOf(args.required("key", "alias/default"));
  const context = encryptionContext(args);
  const target = outputFile(args);
  const options: OutputFileOptions = { kind: "ciphertext", force: args.has("force") };
  const isText = args.has("base64");
  if (target !== undefined) await assertWritable(target, options);
  else if (process.stdout.isTTY && !isText && !output.isJson && !args.has("output")) {
    throw new UsageError(
      "ciphertext is not for a terminal; give -o FILE or --base64, or -o - to have it anyway",
    );
  }
  const plaintext = await readInput(args.optionalPositional(0) ?? "-", MAX_INPUT_BYTES, signal);
  if (plaintext === undefined) throw tooLong();
  try {
    const { ciphertextBlob, ...rest } = await withVault(invocation, async ({ kms }) =>
      kms.encrypt({ keyId, plaintext, encryptionContext: context }),
    );
    const text = base64(ciphertextBlob);
    const bytes = isText ? Buffer.from(`${text}\n`) : ciphertextBlob;
    if (target !== undefined) {
      await writeOutput(target, bytes, options);
      if (output.isJson) await output.result({ ...rest, output: target }, []);
    } else if (output.isJson) await output.result({ ...rest, ciphertextBlob: text }, []);
    else await output.data(bytes);
  } finally {
    plaintext.fill(0);
  }
}

function tooLong(): CofferError {
  return new CofferError(
    "COFFER_LIMIT_EXCEEDED",
    "the input is too long for encrypt, which takes at most 6,144 bytes; use coffer file encrypt, which takes any size",
  );
}
