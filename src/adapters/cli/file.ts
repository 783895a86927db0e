/**
 * `coffer file encrypt` and `coffer file decrypt`: data of any size, from file to file or through pipes.
 * @module
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { addAbortSignal, Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import {
  type ByteStreamPair,
  CofferError,
  decryptFile,
  decryptStream,
  encryptFile,
  encryptStream,
  type Unlocker,
  type Vault,
} from "../../index.ts";
import { type OptionSpec, UsageError } from "./arguments.ts";
import {
  type Command,
  CONTEXT_OPTION,
  encryptionContext,
  type Invocation,
  KEY_OPTION,
  OUTPUT_OPTIONS,
  outputFile,
} from "./command.ts";
import { fileError } from "./file-error.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { assertWritable, type OutputFileOptions, writeOutput } from "./output-file.ts";
import { ProgressLine } from "./progress-line.ts";
import { filePassphraseFrom, passphraseFromFile } from "./secret-input.ts";
import { assertCiphertextNotShown, TERMINAL_NOTE, writeContents } from "./terminal-contents.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const TO_PASSPHRASE: Readonly<Record<string, OptionSpec>> = {
  "to-passphrase-file": {
    value: "F",
    readsFile: true,
    help: "encrypt for the passphrase in this file, without any vault (- is standard input)",
  },
};

const CONTEXT_OF_FILE: Readonly<Record<string, OptionSpec>> = {
  context: {
    value: "K=V",
    isRepeatable: true,
    help: "the encryption context must be exactly this; without the option the stored one is taken",
  },
};

export const fileCommands: readonly Command[] = [
  {
    name: "file encrypt",
    summary: "encrypt a file of any size",
    synopsis: "(--key KEY | --to-passphrase-file F) [--context K=V]… [IN] [-o OUT] [--force]",
    positionals: [
      {
        name: "IN",
        help: "the file to encrypt; - or none is standard input",
        isOptional: true,
        readsFile: true,
      },
    ],
    options: { ...KEY_OPTION, ...TO_PASSPHRASE, ...CONTEXT_OPTION, ...OUTPUT_OPTIONS, ...SESSION_OPTIONS },
    notes: [
      "The context is stored in the file, readable by everybody.",
      "With --to-passphrase-file no vault is needed, neither here nor to decrypt.",
    ],
    run: encrypt,
  },
  {
    name: "file decrypt",
    summary: "decrypt a file of any size",
    synopsis: "[--context K=V]… [IN] [-o OUT] [--force]",
    positionals: [
      {
        name: "IN",
        help: "the file to decrypt; - or none is standard input",
        isOptional: true,
        readsFile: true,
      },
    ],
    options: { ...CONTEXT_OF_FILE, ...OUTPUT_OPTIONS, ...SESSION_OPTIONS },
    notes: [
      "OUT appears only when everything was verified. Into a pipe, each piece is verified before it goes out, and an exit code other than 0 means that it was not all.",
      TERMINAL_NOTE,
      "Without -V VAULT and COFFER_VAULT the file's own passphrase is asked for.",
    ],
    run: decrypt,
  },
];

/** What both directions are made of. */
interface Direction {
  readonly kind: OutputFileOptions["kind"];
  readonly fromFile: (source: string, destination: string, common: CommonOptions) => Promise<unknown>;
  readonly stream: (common: Pick<CommonOptions, "signal">) => ByteStreamPair;
}

interface CommonOptions {
  readonly overwrite: boolean;
  readonly onProgress: ProgressLine["listener"];
  readonly signal: AbortSignal;
}

async function encrypt(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  const key = args.text("key");
  const passphraseFile = args.text("to-passphrase-file");
  if ((key === undefined) === (passphraseFile === undefined)) {
    throw new UsageError("give one of --key and --to-passphrase-file");
  }
  const context = { encryptionContext: encryptionContext(args) };
  await assertTarget(invocation, "ciphertext");
  if (passphraseFile !== undefined) {
    const unlock = await passphraseFromFile(passphraseFile, signal);
    return transfer(invocation, {
      kind: "ciphertext",
      fromFile: (from, to, common) => encryptFile(from, to, { unlock, ...context, ...common }),
      stream: (common) => encryptStream({ unlock, ...context, ...common }),
    });
  }
  const keyId = keyReferenceOf(key ?? "");
  return withVault(invocation, async (vault) =>
    transfer(invocation, {
      kind: "ciphertext",
      fromFile: (from, to, common) => vault.encryptFile(from, to, { keyId, ...context, ...common }),
      stream: (common) => vault.encryptStream({ keyId, ...context, ...common }),
    }),
  );
}

async function decrypt(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  const context = args.has("context") ? { encryptionContext: encryptionContext(args) } : {};
  await assertTarget(invocation, "plaintext");
  const isOfVault = args.has("vault") || (process.env["COFFER_VAULT"] ?? "") !== "";
  if (isOfVault) {
    return withVault(invocation, async (vault: Vault) =>
      transfer(invocation, {
        kind: "plaintext",
        fromFile: (from, to, common) => vault.decryptFile(from, to, { ...context, ...common }),
        stream: (common) => vault.decryptStream({ ...context, ...common }),
      }),
    );
  }
  const unlock: Unlocker = await filePassphraseFrom(args, signal);
  return transfer(invocation, {
    kind: "plaintext",
    fromFile: (from, to, common) => decryptFile(from, to, { unlock, ...context, ...common }),
    stream: (common) => decryptStream({ unlock, ...context, ...common }),
  });
}

/** Asked before any secret: nobody should type it for nothing. */
async function assertTarget({ args }: Invocation, kind: OutputFileOptions["kind"]): Promise<void> {
  const target = outputFile(args);
  if (target !== undefined) await assertWritable(target, { kind, force: args.has("force") });
  else if (args.has("json"))
    throw new UsageError("--json needs -o OUT: standard output takes one of the two");
  else if (kind === "ciphertext") assertCiphertextNotShown(args);
}

async function transfer(invocation: Invocation, direction: Direction): Promise<void> {
  const { args, output, signal } = invocation;
  const source = args.optionalPositional(0) ?? "-";
  const target = outputFile(args);
  const overwrite = args.has("force");
  const progress = new ProgressLine(output, target === undefined && process.stdout.isTTY);
  let facts: unknown = {};
  try {
    if (source !== "-" && target !== undefined) {
      facts = await direction.fromFile(source, target, { overwrite, onProgress: progress.listener, signal });
    } else {
      const bytes = readable(source, signal, progress).pipeThrough(direction.stream({ signal }));
      if (target !== undefined) await writeOutput(target, bytes, { kind: direction.kind, force: overwrite });
      else await writeContents(invocation, bytes);
    }
  } finally {
    progress.end();
  }
  if (output.isJson) await output.result({ ...(facts as object), output: target }, []);
}

function readable(path: string, signal: AbortSignal, progress: ProgressLine): ReadableStream<Uint8Array> {
  const source: Readable = path === "-" ? process.stdin : createReadStream(path);
  addAbortSignal(signal, source);
  const named = path === "-" ? "standard input" : path;
  return Readable.toWeb(
    Readable.from(
      (async function* (): AsyncGenerator<Uint8Array> {
        let before: FileFacts | undefined;
        let bytes = 0;
        try {
          before = path === "-" ? undefined : await factsOf(path);
          for await (const piece of source as AsyncIterable<Uint8Array>) {
            yield piece;
            bytes += piece.length;
            progress.tell(bytes, before?.size);
          }
        } catch (error) {
          throw fileError("read", named, error);
        }
        if (before !== undefined) await assertUnchanged(path, before, bytes);
      })(),
      { objectMode: false },
    ),
  ) as ReadableStream<Uint8Array>;
}

/** What tells a regular file's content: a device or a pipe has none of it. */
interface FileFacts {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
}

async function factsOf(path: string): Promise<FileFacts | undefined> {
  const stats = await stat(path);
  return stats.isFile() ? stats : undefined;
}

/** Half of one content and half of another must not pass for a file, though the bytes are on their way. */
async function assertUnchanged(path: string, before: FileFacts, bytes: number): Promise<void> {
  const now = await factsOf(path).catch(() => undefined);
  const isSame = now?.size === before.size && now.mtimeMs === before.mtimeMs && now.ino === before.ino;
  if (isSame && bytes === before.size) return;
  throw new CofferError(
    "COFFER_SOURCE_CHANGED",
    "The source changed while it was read: what was written is not to be used. Stop what writes it, and try again.",
  );
}
