/**
 * `coffer store import`, `export`, `verify`, `rewrap` and `reencrypt`: work on many files of the store.
 * @module
 */
import type {
  DamagedRange,
  ExportedTree,
  ImportedTree,
  ProgressListener,
  StoreProblem,
  StoreUsage,
  Vault,
} from "../../index.ts";
import type { OptionSpec } from "./arguments.ts";
import { type Command, type Invocation, KEY_OPTION, OTHER_KEY_OPTION } from "./command.ts";
import { counted, EXIT_REFUSED } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";
import { DIRECTORY, storePathOf, storeKeyOf } from "./store.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const RESUME: Readonly<Record<string, OptionSpec>> = {
  resume: { help: "pass over files that are there with the same length and time" },
  force: { help: "replace files that are there" },
};

export const storeTreeCommands: readonly Command[] = [
  {
    name: "store import",
    summary: "bring a folder into the store",
    synopsis: "FOLDER [DIR] [--resume] [--force] [--relaxed] [--key KEY]",
    positionals: [{ name: "FOLDER", help: "a folder or file on the disk" }, DIRECTORY],
    options: {
      ...RESUME,
      relaxed: {
        help: "flush contents once, at the end: after a power cut before it, import again with --force",
      },
      ...KEY_OPTION,
      ...SESSION_OPTIONS,
    },
    notes: ["Symbolic links are not followed. What is left out is told, and then the exit code is 1."],
    run: importFolder,
  },
  {
    name: "store export",
    summary: "write a directory of the store into a folder",
    synopsis: "DIR FOLDER [--resume] [--force] [--salvage] [--portable-names]",
    positionals: [
      { name: "DIR", help: "a directory or file in the store; / is all of it" },
      { name: "FOLDER", help: "a folder on the disk, which is made if need be" },
    ],
    options: {
      ...RESUME,
      "portable-names": { help: "write names as Windows takes them, which it does itself in any case" },
      salvage: { help: "write damaged files too, with zeros for what does not verify" },
      ...SESSION_OPTIONS,
    },
    notes: ["Nothing is written through links. What is left out is told, and then the exit code is 1."],
    run: exportDirectory,
  },
  {
    name: "store verify",
    summary: "check every file of the store",
    synopsis: "[--quick]",
    positionals: [],
    options: { quick: { help: "that each is there, without reading all of it" }, ...SESSION_OPTIONS },
    notes: ["Exit code 1 when anything is wrong."],
    run: verify,
  },
  {
    name: "store rewrap",
    summary: "seal the data keys of all files anew, after a rotation",
    synopsis: "[--key KEY]",
    positionals: [],
    options: { ...OTHER_KEY_OPTION, ...SESSION_OPTIONS },
    run: rewrap,
  },
  {
    name: "store reencrypt",
    summary: "encrypt files anew under new data keys",
    synopsis: "[NAME] [--key KEY]",
    positionals: [
      { name: "NAME", help: "a file or directory in the store; none or / is all of it", isOptional: true },
    ],
    options: { ...OTHER_KEY_OPTION, ...SESSION_OPTIONS },
    run: reencrypt,
  },
];

/** Something that was left out, for people and for JSON. */
interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/** A part of a file that was written as zeros. */
type SalvagedRange = DamagedRange & { readonly path: string };

async function importFolder(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  await tree(invocation, (vault, options) =>
    vault.store.importFrom(args.positional(0), storePathOf(args, 1), {
      ...storeKeyOf(args),
      durability: args.has("relaxed") ? "relaxed" : "durable",
      ...options,
      signal,
    }),
  );
}

async function exportDirectory(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  await tree(invocation, (vault, options, onDamage) =>
    vault.store.exportTo(storePathOf(args, 0), args.positional(1), {
      ...options,
      ...(args.has("portable-names") && { portableNames: true }),
      ...(args.has("salvage") && { onDamage }),
      signal,
    }),
  );
}

interface TreeOptions {
  readonly overwrite: boolean;
  readonly resume: boolean;
  readonly onProgress: ProgressLine["listener"];
  readonly onSkip: (skipped: Skipped) => void;
}

async function tree(
  invocation: Invocation,
  work: (
    vault: Vault,
    options: TreeOptions,
    onDamage: (range: SalvagedRange) => void,
  ) => Promise<ImportedTree & Partial<ExportedTree>>,
): Promise<void> {
  const { args, output } = invocation;
  const leftOut: Skipped[] = [];
  const zeros: SalvagedRange[] = [];
  const done = await withProgress(invocation, (vault, onProgress) =>
    work(
      vault,
      {
        overwrite: args.has("force"),
        resume: args.has("resume"),
        onProgress,
        onSkip: (skipped) => leftOut.push(skipped),
      },
      (range) => zeros.push(range),
    ),
  );
  const { unchanged, skipped, renamed = [] } = done;
  if (skipped > 0 || zeros.length > 0) output.exitCode = EXIT_REFUSED;
  await output.result({ ...done, leftOut, ...(args.has("salvage") && { zeros }) }, [
    ...leftOut.map(({ path, reason }) => `left out (${reason}): ${path === "" ? "/" : path}`),
    ...zeros.map(({ path, start, end }) => `zeros: ${path}, bytes ${start} to ${end}`),
    ...renamed.map(({ path, name }) => `renamed: ${path} is written as ${name}`),
    `${totalsText(done)}; ${unchanged} unchanged, ${skipped} left out`,
  ]);
}

async function verify(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const contents = !args.has("quick");
  const found = await withProgress(invocation, ({ store }, onProgress) =>
    store.verify({ contents, onProgress, signal }),
  );
  const { problems } = found;
  if (problems.length > 0) output.exitCode = EXIT_REFUSED;
  await output.result(found, [
    ...problems.map(problemText),
    `${totalsText(found)}; ${counted(problems.length, "problem")}`,
  ]);
}

function totalsText({ files, directories, bytes }: StoreUsage): string {
  const tree = `${counted(files, "file")} and ${counted(directories, "directory", "directories")}`;
  return `${tree}, ${counted(bytes, "byte")}`;
}

function problemText(found: StoreProblem): string {
  switch (found.problem) {
    case "index":
      return `index: ${counted(found.found, "record")} instead of ${found.expected}; of them do not open: ${found.unreadable}`;
    case "rot":
      return `rot: ${counted(found.blocks, "block")} of the database altered on disk, so that names may be hidden; run coffer doctor --repair`;
    case "names":
      return `names: ${counted(found.count, "name does", "names do")} not open in ${found.path === "" ? "the topmost directory" : found.path}`;
    case "damaged":
      return `damaged: ${found.path}, ${rangesText(found.ranges)}`;
    case "key-area":
      return `key area: one of the two of ${found.path} is damaged; coffer store reencrypt writes both anew`;
    case "missing":
      return `missing: the content of ${found.path}`;
    case "unreadable":
      return `unreadable (${found.errno}): ${found.path}`;
    case "key":
      return `key (${found.code}): ${found.path}`;
    case "orphan":
      return `orphan: content ${found.content} has no name`;
    default:
      return `foreign: ${found.name} is not the store's`;
  }
}

/** Without a range every byte of the content verifies. */
function rangesText(ranges: readonly DamagedRange[]): string {
  if (ranges.length === 0) return "whole, but something was added behind it";
  return `bytes ${ranges.map(({ start, end }) => `${start} to ${end}`).join(", ")}`;
}

async function rewrap(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const done = await withProgress(invocation, ({ store }, onProgress) =>
    store.rewrapAll({ ...storeKeyOf(args), onProgress, signal }),
  );
  await output.result(done, [`${counted(done.rewrapped, "file")} wrapped anew, ${done.unchanged} unchanged`]);
}

async function reencrypt(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const done = await withProgress(invocation, ({ store }, onProgress) =>
    store.reencrypt(storePathOf(args, 0), { ...storeKeyOf(args), onProgress, signal }),
  );
  await output.result(done, [`${counted(done.files, "file")} encrypted anew`]);
}

/** Opens the vault and shows progress of the work alone: whoever types a passphrase takes time of his own. */
async function withProgress<Result>(
  invocation: Invocation,
  work: (vault: Vault, onProgress: ProgressListener) => Promise<Result>,
): Promise<Result> {
  return withVault(invocation, async (vault) => {
    const progress = new ProgressLine(invocation.output);
    try {
      return await work(vault, progress.listener);
    } finally {
      progress.end();
    }
  });
}
