/**
 * `coffer store …`: the encrypted file store on the command line, one file or name at a time.
 * @module
 */
import { addAbortSignal } from "node:stream";
import { type CofferError, isCofferError, type StoreEntry } from "../../index.ts";
import { type Arguments, type OptionSpec, type PositionalSpec, UsageError } from "./arguments.ts";
import {
  type Command,
  KEY_OPTION,
  type Invocation,
  OTHER_KEY_OPTION,
  OUTPUT_OPTIONS,
  outputFile,
} from "./command.ts";
import { fileError } from "./file-error.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { counted, fieldLines } from "./output.ts";
import { assertWritable, writeOutput } from "./output-file.ts";
import { ProgressLine } from "./progress-line.ts";
import { TERMINAL_NOTE, writeContents } from "./terminal-contents.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const NAME: PositionalSpec = { name: "NAME", help: "a path in the store, such as photos/cat.jpg" };
export const DIRECTORY: PositionalSpec = {
  name: "DIR",
  help: "a directory in the store; none or / is all of it",
  isOptional: true,
};
const FORCE: Readonly<Record<string, OptionSpec>> = { force: { help: "replace an existing file" } };
const METADATA: Readonly<Record<string, OptionSpec>> = {
  metadata: {
    value: "K=V",
    isRepeatable: true,
    help: "a name and a value to keep with the file; repeatable",
  },
};

export const storeCommands: readonly Command[] = [
  {
    name: "store put",
    summary: "write a file into the store",
    synopsis: "SRC NAME [--metadata K=V]… [--key KEY] [--force]",
    positionals: [{ name: "SRC", help: "the file to store; - is standard input", readsFile: true }, NAME],
    options: { ...METADATA, ...KEY_OPTION, ...FORCE, ...SESSION_OPTIONS },
    notes: ["Directories on the way are made."],
    run: put,
  },
  {
    name: "store get",
    summary: "read a file of the store",
    synopsis: "NAME [-o OUT] [--force]",
    positionals: [NAME],
    options: { ...OUTPUT_OPTIONS, ...SESSION_OPTIONS },
    notes: [
      "Into a pipe, each piece is verified before it goes out, and an exit code other than 0 means that it was not all.",
      TERMINAL_NOTE,
    ],
    run: get,
  },
  {
    name: "store ls",
    summary: "list a directory of the store",
    synopsis: "[DIR] [--long] [--recursive]",
    positionals: [DIRECTORY],
    options: {
      long: { short: "l", help: "with lengths in bytes and times of change; a directory ends in /" },
      recursive: { short: "R", help: "with all below it" },
      ...SESSION_OPTIONS,
    },
    run: list,
  },
  {
    name: "store stat",
    summary: "describe a file or directory of the store",
    synopsis: "NAME",
    positionals: [NAME],
    options: SESSION_OPTIONS,
    run: describe,
  },
  {
    name: "store mkdir",
    summary: "make a directory in the store",
    synopsis: "NAME",
    positionals: [NAME],
    options: SESSION_OPTIONS,
    run: (invocation) =>
      withVault(invocation, async ({ store }) => {
        const name = storePathOf(invocation.args, 0);
        await store.createDirectory(name, { signal: invocation.signal });
        await invocation.output.result({ name }, []);
      }),
  },
  {
    name: "store mv",
    summary: "move or rename a file or directory of the store",
    synopsis: "FROM TO [--force]",
    positionals: [
      { ...NAME, name: "FROM" },
      { ...NAME, name: "TO" },
    ],
    options: { ...FORCE, ...SESSION_OPTIONS },
    run: (invocation) =>
      withVault(invocation, async ({ store }) => {
        const [from, to] = [storePathOf(invocation.args, 0), storePathOf(invocation.args, 1)];
        await store.move(from, to, { overwrite: invocation.args.has("force"), signal: invocation.signal });
        await invocation.output.result({ from, to }, []);
      }),
  },
  {
    name: "store cp",
    summary: "copy a file or directory of the store",
    synopsis: "FROM TO [--key KEY] [--force]",
    positionals: [
      { ...NAME, name: "FROM" },
      { ...NAME, name: "TO" },
    ],
    options: { ...OTHER_KEY_OPTION, ...FORCE, ...SESSION_OPTIONS },
    run: copy,
  },
  {
    name: "store rm",
    summary: "remove a file or directory of the store",
    synopsis: "NAME [--recursive] [--purge]",
    positionals: [NAME],
    options: {
      recursive: { short: "r", help: "a directory with all in it" },
      purge: { help: "wait until its bytes are gone from the vault's files" },
      ...SESSION_OPTIONS,
    },
    run: (invocation) =>
      withVault(invocation, async ({ store }) => {
        const { args, output, signal } = invocation;
        const name = storePathOf(args, 0);
        await store.remove(name, { recursive: args.has("recursive"), purge: args.has("purge"), signal });
        await output.result({ name }, []);
      }),
  },
  {
    name: "store du",
    summary: "count the files of a directory of the store",
    synopsis: "[DIR]",
    positionals: [DIRECTORY],
    options: SESSION_OPTIONS,
    run: (invocation) =>
      withVault(invocation, async ({ store }) => {
        const { args, output, signal } = invocation;
        const usage = await store.usage(storePathOf(args, 0), { signal });
        const { files, directories, bytes } = usage;
        await output.result(usage, [
          `${counted(files, "file")} in ${counted(directories, "directory", "directories")}, ${counted(bytes, "byte")}`,
        ]);
      }),
  },
];

/** The path in the store that a positional argument names: none and `/` stand for the topmost directory, whose name is empty. */
export function storePathOf(args: Arguments, index: number): string {
  const path = args.optionalPositional(index) ?? "";
  return path === "/" ? "" : path;
}

/** The key of `--key`, for an options object. */
export function storeKeyOf(args: Arguments): { readonly keyId?: string } {
  const key = args.text("key");
  return key === undefined ? {} : { keyId: keyReferenceOf(key) };
}

async function put(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const [source, name] = [args.positional(0), storePathOf(args, 1)];
  const metadata = Object.fromEntries(args.pairs("metadata"));
  const entry = await withVault(invocation, async ({ store }) => {
    const progress = new ProgressLine(output);
    try {
      return await store.write(name, source === "-" ? standardInput(signal) : { path: source }, {
        ...storeKeyOf(args),
        metadata,
        overwrite: args.has("force"),
        onProgress: ({ bytes, totalBytes }) =>
          progress.tell(bytes, Number.isFinite(totalBytes) ? totalBytes : undefined),
        signal,
      });
    } finally {
      progress.end();
    }
  });
  await output.result(entry, [`${entry.path}: ${counted(entry.size, "byte")}`]);
}

async function* standardInput(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  addAbortSignal(signal, process.stdin);
  try {
    yield* process.stdin as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw fileError("read", "standard input", error);
  }
}

async function get(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const name = storePathOf(args, 0);
  const target = outputFile(args);
  const options = { kind: "plaintext", force: args.has("force") } as const;
  // Asked before any secret: nobody should type it for nothing.
  if (target !== undefined) await assertWritable(target, options);
  else if (args.has("json"))
    throw new UsageError("--json needs -o OUT: standard output takes one of the two");
  const size = await withVault(invocation, async ({ store }) => {
    await using file = await store.open(name, { signal });
    const progress = new ProgressLine(output, target === undefined && process.stdout.isTTY);
    try {
      const pieces = withProgress(file.stream(), file.size, progress);
      if (target !== undefined) await writeOutput(target, pieces, options);
      else await writeContents(invocation, pieces);
      return file.size;
    } finally {
      progress.end();
    }
  });
  if (target !== undefined) await output.result({ name, size, output: target }, []);
}

async function* withProgress(
  pieces: AsyncIterable<Uint8Array>,
  totalBytes: number,
  progress: ProgressLine,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of pieces) {
    yield piece;
    bytes += piece.length;
    progress.tell(bytes, totalBytes);
  }
}

async function list(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const directory = storePathOf(args, 0);
  const isDeep = args.has("recursive");
  const entries: StoreEntry[] = [];
  let damage: CofferError | undefined;
  await withVault(invocation, async ({ store }) => {
    const listing = isDeep ? store.walk(directory, { signal }) : store.list(directory, { signal });
    try {
      for await (const entry of listing) entries.push(entry);
    } catch (error) {
      // Names that do not open come last, and hide no others.
      if (!isCofferError(error, "COFFER_DAMAGED")) throw error;
      damage = error;
    }
  });
  const shown = (entry: StoreEntry): string =>
    (isDeep ? entry.path : entry.name) + (entry.kind === "directory" ? "/" : "");
  const width = Math.max(0, ...entries.map(({ size }) => String(size).length));
  const lines = entries.map((entry) =>
    args.has("long")
      ? `${String(entry.size).padStart(width)}  ${entry.modifiedAt.toISOString()}  ${shown(entry)}`
      : shown(entry),
  );
  await output.result(entries, lines);
  if (damage !== undefined) throw damage;
}

async function describe(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const entry = await withVault(invocation, ({ store }) => store.stat(storePathOf(args, 0), { signal }));
  const { path, kind, size, createdAt, modifiedAt, metadata } = entry;
  await output.result(
    entry,
    fieldLines([
      ["path", path],
      ["kind", kind],
      ["bytes", String(size)],
      ["created", createdAt.toISOString()],
      ["modified", modifiedAt.toISOString()],
      ...Object.entries(metadata).map(([name, value]) => ["metadata", `${name}=${value}`] as const),
    ]),
  );
}

async function copy(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const [from, to] = [storePathOf(args, 0), storePathOf(args, 1)];
  await withVault(invocation, async ({ store }) => {
    const progress = new ProgressLine(output);
    const { listener: onProgress } = progress;
    try {
      await store.copy(from, to, { ...storeKeyOf(args), overwrite: args.has("force"), onProgress, signal });
    } finally {
      progress.end();
    }
  });
  await output.result({ from, to }, []);
}
