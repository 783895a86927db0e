/**
 * A file or directory of the store into a folder of the disk: what is to be written, and where.
 * @module
 */
import { sep } from "node:path";
import { Progress } from "../envelope/progress.ts";
import { InvalidArgumentError, isCofferError } from "../errors.ts";
import { DIRECTORY_MODE, type FileSystem, hasErrno } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { concurrently } from "./concurrently.ts";
import type { ExportedTree, StoreExportOptions } from "./export-options.ts";
import { type ExportFile, ExportWork, type Exporting } from "./export-work.ts";
import { type WalkedEntry, walkEntries } from "./listing.ts";
import type { StoreSession } from "./store-session.ts";

const AT_ONCE = 8;

/** See `FileStore.exportTo`. */
export async function exportTree(
  session: StoreSession,
  source: WalkedEntry | { readonly parts: readonly string[]; readonly directoryId: Uint8Array },
  destination: string,
  options: StoreExportOptions,
  exporting: Exporting,
): Promise<ExportedTree> {
  const { fs, directory } = session.host;
  const root = await makeRoot(fs, destination, directory);
  const work = new ExportWork(session, root, options, exporting);
  const { signal } = exporting;
  const files: ExportFile[] = [];
  // A directory comes before what it holds: its place is known by then.
  const add = async ({ parts, record }: WalkedEntry, depth: number): Promise<void> => {
    signal.throwIfAborted();
    const folder = work.folderOf(parts.slice(depth, -1));
    if (folder === undefined) return work.skipBelow();
    if (record.kind === "directory") return work.makeDirectory(parts, folder, parts.slice(depth));
    // Not the record: it may hold the content, and there may be many.
    files.push({ parts, folder, size: record.size });
  };
  if ("record" in source) await add(source, source.parts.length - 1);
  else {
    const walk = walkEntries(session, source.parts, source.directoryId, { isDeep: true, signal });
    try {
      for await (const entry of walk) await add(entry, source.parts.length);
    } catch (error) {
      // Names that do not open are told last: all others are here by now.
      if (!isCofferError(error, "COFFER_DAMAGED")) throw error;
      work.skip(source.parts, "damaged");
    }
  }
  await work.syncFolders();
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const progress = new Progress(options.onProgress, total);
  await concurrently(files, AT_ONCE, async (file) => {
    signal.throwIfAborted();
    await work.writeFile(file, progress);
  });
  await progress.finish();
  return work.result;
}

/** The folder itself may be reached through links: who asked for it knows where it leads. */
async function makeRoot(fs: FileSystem, destination: string, vault: string): Promise<string> {
  try {
    await fs.mkdir(destination, DIRECTORY_MODE).catch((error: unknown) => {
      if (!hasErrno(error, "EEXIST")) throw error;
    });
    const root = await fs.realpath(destination);
    if (root !== vault && !root.startsWith(vault + sep)) return root;
    throw new InvalidArgumentError("destination: it lies in the vault's own folder. Choose another one.", {
      details: { reason: "inside-vault" },
    });
  } catch (error) {
    throw ioError(error, "make the folder of the export", destination);
  }
}
