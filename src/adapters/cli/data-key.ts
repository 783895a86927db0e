/**
 * `coffer data-key`: a fresh key for somebody's own encryption, in clear and under a key of the vault.
 * @module
 */
import { type Command, CONTEXT_OPTION, encryptionContext, type Invocation, KEY_OPTION } from "./command.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { base64, type Field, fieldLines } from "./output.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const MAX_BYTES = 1024;
const DEFAULT_BYTES = 32;

export const dataKeyCommand: Command = {
  name: "data-key",
  summary: "make a random data key, in clear and encrypted",
  synopsis: "--key KEY [--bytes N] [--without-plaintext] [--context K=V]…",
  positionals: [],
  options: {
    ...KEY_OPTION,
    bytes: { value: "N", help: "its length, 1 to 1,024; 32 unless told otherwise" },
    "without-plaintext": { help: "print the encrypted form only" },
    ...CONTEXT_OPTION,
    ...SESSION_OPTIONS,
  },
  notes: [
    "Printed as Base64. Keep the ciphertext beside the data; coffer decrypt gives the plaintext again.",
  ],
  run,
};

async function run(invocation: Invocation): Promise<void> {
  const { args, output } = invocation;
  const request = {
    keyId: keyReferenceOf(args.required("key", "alias/default")),
    numberOfBytes: args.integer("bytes", 1, MAX_BYTES) ?? DEFAULT_BYTES,
    encryptionContext: encryptionContext(args),
  };
  const isSealedOnly = args.has("without-plaintext");
  const { keyId, keyVersion, ciphertextBlob, plaintext } = await withVault(invocation, async ({ kms }) =>
    isSealedOnly
      ? { ...(await kms.generateDataKeyWithoutPlaintext(request)), plaintext: undefined }
      : kms.generateDataKey(request),
  );
  try {
    const ciphertextText = base64(ciphertextBlob);
    const plaintextText = plaintext && base64(plaintext);
    const fields: Field[] = [
      ["key", keyId],
      ["version", String(keyVersion)],
      ["ciphertext", ciphertextText],
    ];
    if (plaintextText !== undefined) fields.push(["plaintext", plaintextText]);
    await output.result(
      { keyId, keyVersion, ciphertextBlob: ciphertextText, plaintext: plaintextText },
      fieldLines(fields),
    );
  } finally {
    plaintext?.fill(0);
  }
}
