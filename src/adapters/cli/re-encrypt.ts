/**
 * `coffer re-encrypt`: small ciphertext under another key or context; its plaintext is never shown.
 * @module
 */
import {
  assertCiphertextOutput,
  BASE64_OUTPUT_OPTION,
  CIPHERTEXT_INPUT,
  readCiphertext,
  writeCiphertext,
} from "./ciphertext-file.ts";
import {
  type Command,
  CONTEXT_OPTION,
  encryptionContext,
  type Invocation,
  KEY_OPTION,
  OUTPUT_OPTIONS,
} from "./command.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

export const reEncryptCommand: Command = {
  name: "re-encrypt",
  summary: "encrypt small ciphertext anew, under another key, version or context",
  synopsis: "--key KEY [--context K=V]… [--new-context K=V]… [--base64] [IN] [-o OUT] [--force]",
  positionals: [CIPHERTEXT_INPUT],
  options: {
    ...KEY_OPTION,
    ...CONTEXT_OPTION,
    "new-context": {
      value: "K=V",
      isRepeatable: true,
      help: "a pair of the new encryption context; repeatable. None is taken over from the old one",
    },
    ...BASE64_OUTPUT_OPTION,
    ...OUTPUT_OPTIONS,
    ...SESSION_OPTIONS,
  },
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  const destinationKeyId = keyReferenceOf(args.required("key", "alias/default"));
  const sourceEncryptionContext = encryptionContext(args);
  const destinationEncryptionContext = Object.fromEntries(args.pairs("new-context"));
  await assertCiphertextOutput(invocation);
  const source = await readCiphertext(args, signal, false);
  const { ciphertextBlob, ...facts } = await withVault(invocation, async ({ kms }) =>
    kms.reEncrypt({
      ciphertextBlob: source,
      sourceEncryptionContext,
      destinationKeyId,
      destinationEncryptionContext,
    }),
  );
  await writeCiphertext(invocation, ciphertextBlob, facts);
}
