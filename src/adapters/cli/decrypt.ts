/**
 * `coffer decrypt`: what `coffer encrypt` or `coffer data-key` made.
 * @module
 */
import { CIPHERTEXT_INPUT, readCiphertext } from "./ciphertext-file.ts";
import {
  type Command,
  CONTEXT_OPTION,
  encryptionContext,
  type Invocation,
  KEY_OPTION,
  OUTPUT_OPTIONS,
  outputFile,
} from "./command.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { base64 } from "./output.ts";
import { assertWritable, type OutputFileOptions, writeOutput } from "./output-file.ts";
import { assertShowable, isShown } from "./terminal-contents.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

export const decryptCommand: Command = {
  name: "decrypt",
  summary: "decrypt what encrypt or data-key made",
  synopsis: "[--key KEY] [--context K=V]… [--base64] [IN] [-o OUT] [--force]",
  positionals: [CIPHERTEXT_INPUT],
  options: {
    ...KEY_OPTION,
    ...CONTEXT_OPTION,
    base64: { help: "the input is Base64; recognised without this flag too" },
    ...OUTPUT_OPTIONS,
    ...SESSION_OPTIONS,
  },
  notes: [
    "The ciphertext names its key; --key only refuses any other.",
    "OUT is readable by its owner alone, and there only when everything was verified.",
  ],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const key = args.text("key");
  const context = encryptionContext(args);
  const target = outputFile(args);
  const options: OutputFileOptions = { kind: "plaintext", force: args.has("force") };
  if (target !== undefined) await assertWritable(target, options);
  const ciphertextBlob = await readCiphertext(args, signal, args.has("base64"));
  const { plaintext, ...rest } = await withVault(invocation, async ({ kms }) =>
    kms.decrypt({
      ciphertextBlob,
      encryptionContext: context,
      keyId: key === undefined ? undefined : keyReferenceOf(key),
    }),
  );
  try {
    if (target !== undefined) {
      await writeOutput(target, plaintext, options);
      if (output.isJson) await output.result({ ...rest, output: target }, []);
    } else if (output.isJson) {
      await output.result({ ...rest, plaintext: base64(plaintext) }, []);
    } else {
      if (isShown(args)) assertShowable(plaintext);
      await output.data(plaintext);
    }
  } finally {
    plaintext.fill(0);
  }
}
