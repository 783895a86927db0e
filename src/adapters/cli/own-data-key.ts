/**
 * `coffer encrypt-data-key`, `coffer decrypt-data-key`: a data key that somebody made, checked by its SHA-256.
 * @module
 */
import { createHash } from "node:crypto";
import { CofferError } from "../../index.ts";
import { UsageError } from "./arguments.ts";
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
import { readInput } from "./input-file.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { base64, fieldLines } from "./output.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const MAX_DATA_KEY_BYTES = 1024;
const SHA256_HEX = /^[0-9a-f]{64}$/iu;

export const ownDataKeyCommands: readonly Command[] = [
  {
    name: "encrypt-data-key",
    summary: "encrypt a data key that you made, up to 1,024 bytes",
    synopsis: "--key KEY [--digest HEX] [--context K=V]… [--base64] [IN] [-o OUT] [--force]",
    positionals: [
      {
        name: "IN",
        help: "the file with the data key; - or none is standard input",
        isOptional: true,
        readsFile: true,
      },
    ],
    options: {
      ...KEY_OPTION,
      digest: { value: "HEX", help: "the data key's SHA-256; another key is refused" },
      ...CONTEXT_OPTION,
      ...BASE64_OUTPUT_OPTION,
      ...OUTPUT_OPTIONS,
      ...SESSION_OPTIONS,
    },
    run: encryptDataKey,
  },
  {
    name: "decrypt-data-key",
    summary: "decrypt a data key, and tell its SHA-256",
    synopsis: "[--key KEY] [--context K=V]… [IN]",
    positionals: [CIPHERTEXT_INPUT],
    options: { ...KEY_OPTION, ...CONTEXT_OPTION, ...SESSION_OPTIONS },
    notes: ["Printed as Base64. coffer decrypt writes the bytes."],
    run: decryptDataKey,
  },
];

async function encryptDataKey(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  const keyId = keyReferenceOf(args.required("key", "alias/default"));
  const context = encryptionContext(args);
  const given = args.text("digest");
  if (given !== undefined && !SHA256_HEX.test(given))
    throw new UsageError("--digest takes 64 hexadecimal digits");
  await assertCiphertextOutput(invocation);
  const plaintext = await readInput(args.optionalPositional(0) ?? "-", MAX_DATA_KEY_BYTES, signal);
  if (plaintext === undefined) throw tooLong();
  try {
    const digest =
      given === undefined ? createHash("sha256").update(plaintext).digest() : Buffer.from(given, "hex");
    const { ciphertextBlob, ...facts } = await withVault(invocation, async ({ kms }) =>
      kms.encryptDataKey({ keyId, plaintext, digest, encryptionContext: context }),
    );
    await writeCiphertext(invocation, ciphertextBlob, facts);
  } finally {
    plaintext.fill(0);
  }
}

async function decryptDataKey(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const key = args.text("key");
  const context = encryptionContext(args);
  const ciphertextBlob = await readCiphertext(args, signal, false);
  const { plaintext, digest, ...facts } = await withVault(invocation, async ({ kms }) =>
    kms.decryptDataKey({
      ciphertextBlob,
      encryptionContext: context,
      keyId: key === undefined ? undefined : keyReferenceOf(key),
    }),
  );
  try {
    const shown = { plaintext: base64(plaintext), digest: Buffer.from(digest).toString("hex") };
    await output.result(
      { ...facts, ...shown },
      fieldLines([
        ["key", facts.keyId],
        ["version", String(facts.keyVersion)],
        ["plaintext", shown.plaintext],
        ["sha-256", shown.digest],
      ]),
    );
  } finally {
    plaintext.fill(0);
  }
}

function tooLong(): CofferError {
  return new CofferError("COFFER_LIMIT_EXCEEDED", "a data key has at most 1,024 bytes");
}
