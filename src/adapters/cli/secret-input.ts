/**
 * Where secrets come from: a prompt, a file or standard input; never an argument, never the environment.
 * Held as bytes and wiped; text that had to be decoded is the exception that JavaScript leaves.
 * @module
 */
import {
  CofferError,
  combined,
  normalizePassphrase,
  passphrase,
  pkcs11,
  recovery,
  type Unlocker,
} from "../../index.ts";
import { type Arguments, type OptionSpec, UsageError } from "./arguments.ts";
import { readInput } from "./input-file.ts";
import { StrengthEstimator } from "./strength-hint.ts";
import { askSecrets } from "./terminal-prompt.ts";
import { namesToken, TOKEN_KEY_OPTIONS, tokenKeyOf } from "./token-input.ts";

/** Far above any passphrase or code; more is a file given by mistake. */
const MAX_SECRET_FILE_BYTES = 16_384;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

const PASSPHRASE_FILE: OptionSpec = {
  value: "FILE",
  readsFile: true,
  help: "take the passphrase from a file (- is standard input); one newline at its end is dropped",
};

/** Options of a command that makes a passphrase slot. */
export const NEW_SECRET_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  "passphrase-file": PASSPHRASE_FILE,
};

/** Options of a command that adds or changes a passphrase of an open vault. */
export const NEW_PASSPHRASE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  "new-passphrase-file": {
    value: "FILE",
    readsFile: true,
    help: "take the new passphrase from a file (- is standard input); one newline at its end is dropped",
  },
};

/** Options of a command that opens a vault with what is known, and not with a token. */
export const KNOWN_SECRET_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  "passphrase-file": PASSPHRASE_FILE,
  "recovery-code-file": {
    value: "FILE",
    readsFile: true,
    help: "take the recovery code from a file (- is standard input)",
  },
};

/** Options of a command that opens a vault. */
export const SECRET_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...KNOWN_SECRET_OPTIONS,
  ...TOKEN_KEY_OPTIONS,
  "with-passphrase": { help: "open with the token and a passphrase together, as the slot was made" },
};

/** Returns the way into an existing vault. It serves once. @throws UsageError, CofferError */
export async function unlockerFrom(
  args: Arguments,
  directory: string,
  signal: AbortSignal,
): Promise<Unlocker> {
  if (!namesToken(args)) {
    if (args.has("with-passphrase"))
      throw new UsageError("--with-passphrase is for a token: name its --module");
    return knownUnlockerFrom(args, directory, signal);
  }
  if (args.has("recovery-code-file")) {
    throw new UsageError("give one of --module and --recovery-code-file: a recovery code opens alone");
  }
  const isCombined = args.has("with-passphrase") || args.has("passphrase-file");
  const known = isCombined ? await knownUnlockerFrom(args, directory, signal) : undefined;
  const token = await tokenUnlockerFrom(args, signal);
  return known === undefined ? token : combined(known, token);
}

/** Returns a token as a way in, of the options that name it. @throws UsageError, CofferError */
export async function tokenUnlockerFrom(args: Arguments, signal: AbortSignal): Promise<Unlocker> {
  return pkcs11(await tokenKeyOf(args, signal, pinFromFile));
}

/** Returns the way in of a passphrase or a recovery code. @throws UsageError, CofferError */
export async function knownUnlockerFrom(
  args: Arguments,
  directory: string,
  signal: AbortSignal,
): Promise<Unlocker> {
  const passphraseFile = args.text("passphrase-file");
  const codeFile = args.text("recovery-code-file");
  if (passphraseFile !== undefined && codeFile !== undefined) {
    throw new UsageError("give one of --passphrase-file and --recovery-code-file");
  }
  if (codeFile !== undefined) {
    const code = isTyped(codeFile)
      ? await askForBytes(`Recovery code of ${directory} (not shown):`, signal)
      : await readSecret(codeFile, signal);
    return useBytes(code, recovery);
  }
  if (passphraseFile !== undefined && !isTyped(passphraseFile)) {
    return passphraseFromFile(passphraseFile, signal);
  }
  const [answer = ""] = await askSecrets([`Passphrase of ${directory} (not shown):`], signal);
  return useBytes(normalizePassphrase(answer), passphrase);
}

/** Returns the first way into a new vault; on a terminal it is asked for twice. @throws UsageError, CofferError */
export async function newPassphraseFrom(
  args: Arguments,
  directory: string,
  signal: AbortSignal,
): Promise<Unlocker> {
  return newPassphraseOf(args.text("passphrase-file"), directory, signal);
}

/** Returns a new passphrase for something, of a file or asked for twice. @throws UsageError, CofferError */
export async function newPassphraseOf(
  file: string | undefined,
  subject: string,
  signal: AbortSignal,
): Promise<Unlocker> {
  if (file !== undefined && !isTyped(file)) return passphraseFromFile(file, signal);
  const questions = [`New passphrase for ${subject} (not shown):`, "The same passphrase again:"];
  const [answer = "", repeated = ""] = await askRated(questions, signal);
  if (answer !== repeated) {
    throw new CofferError(
      "COFFER_INVALID_ARGUMENT",
      "the two passphrases differ; nothing was made, try again",
    );
  }
  return useBytes(normalizePassphrase(answer), passphrase);
}

/** Asks twice for a new passphrase, and says how strong it is when both answers are the same. */
async function askRated(questions: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  const estimator = new StrengthEstimator();
  try {
    return await askSecrets(questions, signal, async ([answer = "", repeated]) =>
      answer === repeated ? estimator.hint(normalizePassphrase(answer), signal) : undefined,
    );
  } finally {
    await estimator.end();
  }
}

/** Returns the passphrase, or the token, of an encrypted file, without any vault. @throws UsageError, CofferError */
export async function filePassphraseFrom(args: Arguments, signal: AbortSignal): Promise<Unlocker> {
  if (args.has("recovery-code-file")) {
    throw new UsageError("a recovery code opens a vault: name it with -V VAULT");
  }
  if (namesToken(args)) return tokenUnlockerFrom(args, signal);
  const file = args.text("passphrase-file");
  if (file !== undefined && !isTyped(file)) return passphraseFromFile(file, signal);
  const [answer = ""] = await askSecrets(["Passphrase of the file (not shown):"], signal);
  return useBytes(normalizePassphrase(answer), passphrase);
}

/** Standard input that is a terminal would show what is typed: it is asked for instead. */
function isTyped(path: string): boolean {
  return path === "-" && process.stdin.isTTY;
}

async function askForBytes(question: string, signal: AbortSignal): Promise<Uint8Array> {
  const [answer = ""] = await askSecrets([question], signal);
  return new TextEncoder().encode(answer);
}

/** Returns the passphrase in a file, `-` being standard input. @throws CofferError */
export async function passphraseFromFile(path: string, signal: AbortSignal): Promise<Unlocker> {
  const bytes = await readSecret(path, signal);
  return useBytes(useBytes(bytes, normalizedOf), passphrase);
}

/** A byte order mark at the beginning, which some editors write, is no part of the passphrase. */
function normalizedOf(bytes: Uint8Array): Uint8Array {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(withoutNewline(bytes));
  } catch {
    throw new CofferError(
      "COFFER_INVALID_ARGUMENT",
      "the passphrase file is not UTF-8 text; save it as UTF-8 and try again",
    );
  }
  return normalizePassphrase(text);
}

async function pinFromFile(path: string, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = isTyped(path)
    ? await askForBytes("PIN (not shown):", signal)
    : await readSecret(path, signal);
  const pin = Uint8Array.from(withoutNewline(bytes));
  bytes.fill(0);
  return pin;
}

async function readSecret(path: string, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = await readInput(path, MAX_SECRET_FILE_BYTES, signal);
  if (bytes !== undefined) return bytes;
  throw new CofferError(
    "COFFER_LIMIT_EXCEEDED",
    "the file is too long for a secret; was another file meant?",
  );
}

function withoutNewline(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  if (bytes[end - 1] === LINE_FEED) end -= bytes[end - 2] === CARRIAGE_RETURN ? 2 : 1;
  return bytes.subarray(0, end);
}

function useBytes<Result>(bytes: Uint8Array, use: (bytes: Uint8Array) => Result): Result {
  try {
    return use(bytes);
  } finally {
    bytes.fill(0);
  }
}
