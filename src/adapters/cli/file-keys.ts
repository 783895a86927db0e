/**
 * `coffer file info`, `rewrap`, `share` and `unshare`: who can open an encrypted file. Its body is never touched.
 * @module
 */
import { type FileInfo, fileInfo, type FileKeyInfo } from "../../index.ts";
import { UsageError } from "./arguments.ts";
import { type Command, encryptionContext, GENERAL_OPTIONS, type Invocation, KEY_OPTION } from "./command.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { type Field, fieldLines } from "./output.ts";
import { newPassphraseOf } from "./secret-input.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const FILE = { name: "FILE", help: "the encrypted file" };
const CONTEXT = {
  context: {
    value: "K=V",
    isRepeatable: true,
    help: "the encryption context, where the file does not hold it; repeatable",
  },
};

export const fileKeyCommands: readonly Command[] = [
  {
    name: "file info",
    summary: "what an encrypted file says of itself, without any key",
    synopsis: "FILE",
    positionals: [FILE],
    options: GENERAL_OPTIONS,
    notes: ["Nothing of it is authenticated: whoever can write the file can make it say anything."],
    run: info,
  },
  {
    name: "file rewrap",
    summary: "put an encrypted file under another key",
    synopsis: "--key KEY [--remove-others] FILE",
    positionals: [FILE],
    options: {
      ...KEY_OPTION,
      "remove-others": { help: "also remove every other entry" },
      ...CONTEXT,
      ...SESSION_OPTIONS,
    },
    notes: ["Who had the file's data key keeps it: rewrapping replaces a key, it takes nothing back."],
    run: rewrap,
  },
  {
    name: "file share",
    summary: "let a passphrase or another key open an encrypted file",
    synopsis: "[--with-passphrase-file F | --key KEY] FILE",
    positionals: [FILE],
    options: {
      "with-passphrase-file": {
        value: "F",
        readsFile: true,
        help: "the new passphrase; without this option it is asked for",
      },
      ...KEY_OPTION,
      ...CONTEXT,
      ...SESSION_OPTIONS,
    },
    run: share,
  },
  {
    name: "file unshare",
    summary: "remove an entry from an encrypted file",
    synopsis: "FILE ENTRY",
    positionals: [FILE, { name: "ENTRY", help: "the entry's id, as file info tells it" }],
    options: { ...CONTEXT, ...SESSION_OPTIONS },
    run: unshare,
  },
];

async function info({ args, output }: Invocation): Promise<void> {
  const told = await fileInfo(args.positional(0));
  await output.result(told, [...fieldLines(fieldsOf(told)), "Nothing of this is authenticated."]);
}

async function rewrap(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const path = args.positional(0);
  const keyId = keyReferenceOf(args.required("key", "alias/default"));
  await withVault(invocation, async (vault) =>
    vault.rewrapFile(path, {
      keyId,
      removeOthers: args.has("remove-others"),
      ...contextOf(invocation),
      signal,
    }),
  );
  await output.result({ file: path }, []);
}

async function share(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const path = args.positional(0);
  const key = args.text("key");
  const passphraseFile = args.text("with-passphrase-file");
  if (key !== undefined && passphraseFile !== undefined) {
    throw new UsageError("give one of --key and --with-passphrase-file");
  }
  const recipient =
    key === undefined ? await newPassphraseOf(passphraseFile, path, signal) : { keyId: keyReferenceOf(key) };
  const { entry } = await withVault(invocation, async (vault) =>
    vault.shareFile(path, { with: recipient, ...contextOf(invocation), signal }),
  );
  await output.result({ file: path, entry }, [`entry ${entry}`]);
}

async function unshare(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const path = args.positional(0);
  const entry = args.positional(1);
  await withVault(invocation, async (vault) =>
    vault.unshareFile(path, entry, { ...contextOf(invocation), signal }),
  );
  await output.result({ file: path, entry }, []);
}

function contextOf({ args }: Invocation): { readonly encryptionContext?: Record<string, string> } {
  return args.has("context") ? { encryptionContext: encryptionContext(args) } : {};
}

function fieldsOf(told: FileInfo): readonly Field[] {
  const { encryptionContext: context } = told;
  const pairs = Object.entries(context ?? {}).map(([name, value]) => `${name}=${value}`);
  return [
    ["file id", told.fileId],
    ["created", told.createdAt?.toISOString() ?? "not told"],
    ["plaintext", `${told.plaintextBytes.toLocaleString("en-GB")} bytes`],
    ["encrypted", `${told.encryptedBytes.toLocaleString("en-GB")} bytes`],
    ["segments", `${told.segmentBytes.toLocaleString("en-GB")} bytes`],
    ["context", context === undefined ? "not stored" : pairs.join(", ")],
    ...told.entries.map((entry): Field => ["entry", entryText(entry)]),
    ...(told.isDamaged ? [["damage", "one key area is damaged; rewrap the file"] as const] : []),
  ];
}

function entryText(entry: FileKeyInfo): string {
  if (entry.kind === "key") return `key ${entry.id}, version ${entry.keyVersion}, vault ${entry.vaultHint}…`;
  if (entry.kind === "unknown") return `of an unknown kind, ${entry.id}`;
  return `${entry.kind} ${entry.id}, made ${entry.createdAt.toISOString()}`;
}
