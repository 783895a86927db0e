/**
 * `coffer encrypt`: small data under a key.
 * @module
 */
import { CofferError } from "../../index.ts";
import { assertCiphertextOutput, BASE64_OUTPUT_OPTION, writeCiphertext } from "./ciphertext-file.ts";
import {
  type Command,
  CONTEXT_OPTION,
  encryptionContext,
  type Invocation,
  KEY_OPTION,
  OUTPUT_OPTIONS,
} from "./command.ts";
import { readInput } from "./input-file.ts";
import { keyReferenceOf } from "./key-argument.ts";
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
    ...BASE64_OUTPUT_OPTION,
    ...OUTPUT_OPTIONS,
    ...SESSION_OPTIONS,
  },
  notes: ["For more than 6,144 bytes there is coffer file encrypt."],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  const keyId = keyReferenceOf(args.required("key", "alias/default"));
  const context = encryptionContext(args);
  await assertCiphertextOutput(invocation);
  const plaintext = await readInput(args.optionalPositional(0) ?? "-", MAX_INPUT_BYTES, signal);
  if (plaintext === undefined) throw tooLong();
  try {
    const { ciphertextBlob, ...facts } = await withVault(invocation, async ({ kms }) =>
      kms.encrypt({ keyId, plaintext, encryptionContext: context }),
    );
    await writeCiphertext(invocation, ciphertextBlob, facts);
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
