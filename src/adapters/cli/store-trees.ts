/**
 * `coffer store import`, `export`, `verify`, `rewrap` and `reencrypt`: work on many files of the store.
 * @module
 */
import type { ExportedTree, ImportedTree, StoreProblem, Vault } from "../../index.ts";
import type { OptionSpec, PositionalSpec } from "./arguments.ts";
import { type Command, type Invocation, KEY_OPTION } from "./command.ts";
import { EXIT_REFUSED } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";
import { storeKeyOf } from "./store.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

const RESUME: Readonly<Record<string, OptionSpec>> = {
  resume: { help: "pass over files that are there with the same length and time" },
  force: { help: "replace files that are there" },
};
const DIRECTORY: PositionalSpec = {
  name: "DIR",
  help: "a directory of the store; none is all of it",
  isOptional: true,
};

export const storeTreeCommands: readonly Command[] = [
  {
    name: "store import",
    summary: "bring a folder into the store",
    synopsis: "SRCDIR [DIR] [--resume] [--force] [--key KEY]",
    positionals: [{ name: "SRCDIR", help: "a folder or file on the disk" }, DIRECTORY],
    options: { ...RESUME, ...KEY_OPTION, ...SESSION_OPTIONS },
    notes: ["Symbolic links are not followed. What is left out is told, and then the exit code is 1."],
    run: importFolder,
  },
  {
    name: "store export",
    summary: "write a directory of the store into a folder",
    synopsis: "DIR DESTDIR [--resume] [--force] [--salvage]",
    positionals: [
      { name: "DIR", help: 'a directory or file of the store; "" is all of it' },
      { name: "DESTDIR", help: "a folder on the disk, which is made if need be" },
    ],
    options: {
      ...RESUME,
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
    options: { ...KEY_OPTION, ...SESSION_OPTIONS },
    run: rewrap,
  },
  {
    name: "store reencrypt",
    summary: "encrypt files anew under new data keys",
    synopsis: "[NAME] [--key KEY]",
    positionals: [
      { name: "NAME", help: "a file or directory of the store; none is all of it", isOptional: true },
    ],
    options: { ...KEY_OPTION, ...SESSION_OPTIONS },
    run: reencrypt,
  },
];

/** Something that was left out, for people and for JSON. */
interface Skipped {
  readonly path: string;
  readonly reason: string;
}

async function importFolder(invocation: Invocation): Promise<void> {
  const { args, signal } = invocation;
  await tree(invocation, (vault, options) =>
    vault.store.importFrom(args.positional(0), args.optionalPositional(1) ?? "", {
      ...storeKeyOf(args),
      ...options,
      signal,
    }),
  );
}

async function exportDirectory(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const salvage = {
    onDamage: ({ path, start, end }: { path: string; start: number; end: number }) =>
      output.warning(`${path}: bytes ${start} to ${end} do not verify, and are zeros`),
  };
  await tree(invocation, (vault, options) =>
    vault.store.exportTo(args.positional(0), args.positional(1), {
      ...options,
      ...(args.has("salvage") && salvage),
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
  work: (vault: Vault, options: TreeOptions) => Promise<ImportedTree | ExportedTree>,
): Promise<void> {
  const { args, output } = invocation;
  const progress = new ProgressLine(output);
  const leftOut: Skipped[] = [];
  try {
    const done = await withVault(invocation, (vault) =>
      work(vault, {
        overwrite: args.has("force"),
        resume: args.has("resume"),
        onProgress: progress.listener,
        onSkip: (skipped) => leftOut.push(skipped),
      }),
    );
    if (done.skipped > 0) output.exitCode = EXIT_REFUSED;
    const { files, directories, bytes, unchanged } = done;
    await output.result({ ...done, leftOut }, [
      ...leftOut.map(({ path, reason }) => `left out (${reason}): ${path}`),
      `${files} files and ${directories} directories, ${bytes} bytes; ${unchanged} unchanged, ${done.skipped} left out`,
    ]);
  } finally {
    progress.end();
  }
}

async function verify(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const progress = new ProgressLine(output);
  try {
    const options = { contents: !args.has("quick"), onProgress: progress.listener, signal };
    const found = await withVault(invocation, ({ store }) => store.verify(options));
    if (found.problems.length > 0) output.exitCode = EXIT_REFUSED;
    const { files, directories, bytes, problems } = found;
    await output.result(found, [
      ...problems.map(problemText),
      `${files} files and ${directories} directories, ${bytes} bytes; ${problems.length} problems`,
    ]);
  } finally {
    progress.end();
  }
}

function problemText(found: StoreProblem): string {
  switch (found.problem) {
    case "index":
      return `index: ${found.found} records instead of ${found.expected}, ${found.unreadable} of them do not open`;
    case "names":
      return `names: ${found.count} names do not open in ${found.path === "" ? "the topmost directory" : found.path}`;
    case "damaged":
      return `damaged: ${found.path}, bytes ${found.ranges.map(({ start, end }) => `${start} to ${end}`).join(", ")}`;
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

async function rewrap(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const progress = new ProgressLine(output);
  try {
    const options = { ...storeKeyOf(args), onProgress: progress.listener, signal };
    const done = await withVault(invocation, ({ store }) => store.rewrapAll(options));
    await output.result(done, [`${done.rewrapped} files wrapped anew, ${done.unchanged} unchanged`]);
  } finally {
    progress.end();
  }
}

async function reencrypt(invocation: Invocation): Promise<void> {
  const { args, output, signal } = invocation;
  const progress = new ProgressLine(output);
  try {
    const options = { ...storeKeyOf(args), onProgress: progress.listener, signal };
    const done = await withVault(invocation, ({ store }) =>
      store.reencrypt(args.optionalPositional(0) ?? "", options),
    );
    await output.result(done, [`${done.files} files encrypted anew`]);
  } finally {
    progress.end();
  }
}
