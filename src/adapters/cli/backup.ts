/**
 * `coffer backup` and `coffer restore`: a vault into one file, and out of it.
 * @module
 */
import { restoreVault } from "../../index.ts";
import { type OptionSpec, type PositionalSpec, UsageError } from "./arguments.ts";
import { type Command, GENERAL_OPTIONS, type Invocation } from "./command.ts";
import { counted } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";
import { SECRET_OPTIONS, unlockerFrom } from "./secret-input.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const FORCE: Readonly<Record<string, OptionSpec>> = { force: { help: "replace an existing DEST" } };
const SOURCE: PositionalSpec = { name: "SRC", help: "a file that coffer backup made" };

export const backupCommands: readonly Command[] = [
  {
    name: "backup",
    summary: "write a whole vault into one file",
    synopsis: "DEST [--without-files] [--force]",
    positionals: [{ name: "DEST", help: "the file to write, best on another drive" }],
    options: {
      "without-files": {
        help: "leave out the contents of stored files above 4 KiB: copy the objects folder apart",
      },
      ...FORCE,
      ...SESSION_OPTIONS,
    },
    notes: [
      "Every record is checked first, and of every stored file that it is there and not another. The file opens with the ways in that the vault has now, for ever.",
      "A copy of the vault's directory is no backup: see docs/backup.md.",
    ],
    run: backup,
  },
  {
    name: "restore",
    summary: "make a vault of a backup, or check one with --verify-only",
    synopsis: "SRC [VAULT] [--verify-only]",
    positionals: [
      SOURCE,
      { name: "VAULT", help: "the folder of the new vault, absent or empty", isOptional: true },
    ],
    options: {
      "verify-only": { help: "check the whole backup and make nothing" },
      ...SECRET_OPTIONS,
      ...GENERAL_OPTIONS,
    },
    notes: ["Nothing is ever replaced. The secret is one of those of the time when the backup was made."],
    run: restore,
  },
];

async function backup(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const destination = args.positional(0);
  const progress = new ProgressLine(output);
  try {
    const store = !args.has("without-files");
    const made = await withVault(invocation, (vault) =>
      vault.backup(destination, {
        store,
        overwrite: args.has("force"),
        onProgress: progress.listener,
        signal,
      }),
    );
    const { recordCount, objectCount, fileBytes } = made;
    const files = store ? `${counted(objectCount, "file")} above 4 KiB` : "without the files above 4 KiB";
    await output.result({ destination, ...made }, [
      `${destination}: ${counted(recordCount, "record")}, ${files}, ${counted(fileBytes, "byte")}`,
    ]);
  } finally {
    progress.end();
  }
}

async function restore({ args, output, signal }: Invocation): Promise<void> {
  const source = args.positional(0);
  const directory = args.optionalPositional(1);
  const verifyOnly = args.has("verify-only");
  if (verifyOnly === (directory !== undefined)) {
    throw new UsageError("give VAULT, the folder of the new vault, or --verify-only");
  }
  const progress = new ProgressLine(output);
  try {
    const restored = await restoreVault(source, directory ?? source, {
      unlock: await unlockerFrom(args, source, signal),
      verifyOnly,
      signal,
      onProgress: progress.listener,
      onWarning: ({ message }) => output.warning(message),
    });
    const { id, keyCount, objectCount, createdAt } = restored;
    const what = `vault ${id} of ${createdAt.toISOString()}, ${counted(keyCount, "key")}, ${counted(objectCount, "file")} above 4 KiB`;
    await output.result({ ...restored, directory: directory ?? null }, [
      directory === undefined ? `${source} is whole: ${what}` : `${what}, is ready in ${directory}`,
    ]);
  } finally {
    progress.end();
  }
}
