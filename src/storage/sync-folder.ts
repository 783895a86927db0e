/**
 * Whether a vault lies where a sync program works: such programs copy file by file, at their own time, and so mix
 * older files with newer ones. Only told by names and marks that they leave, so what is not found may still be there.
 * @module
 */
import { basename, dirname, join } from "node:path";
import type { FileSystem } from "./file-system.ts";

/** One sign of a sync program. */
export type SyncFinding =
  | { readonly sign: "folder"; /** The program, as people call it. */ readonly program: string }
  | { readonly sign: "conflict-copy"; /** Within the vault. */ readonly name: string };

/** Names that the programs give to their folders. */
const FOLDER_NAMES: readonly (readonly [RegExp, program: string])[] = [
  [/^dropbox(?: \(.+\))?$/iu, "Dropbox"],
  [/^onedrive(?: ?- ?.+)?$/iu, "OneDrive"],
  [/^(?:google ?drive|googledrive-.+|my drive)$/iu, "Google Drive"],
  [/^(?:icloud ?drive|com~apple~clouddocs)$/iu, "iCloud Drive"],
  [/^nextcloud\d*$/iu, "Nextcloud"],
  [/^owncloud\d*$/iu, "ownCloud"],
  [/^(?:pclouddrive|pcloud sync)$/iu, "pCloud"],
  [/^mega(?:sync)?$/iu, "MEGA"],
  [/^synologydrive$/iu, "Synology Drive"],
  [/^seafile$/iu, "Seafile"],
  [/^proton ?drive$/iu, "Proton Drive"],
];

/** What they leave in the folder that they keep in step. */
const MARKS: readonly (readonly [name: string, program: string])[] = [
  [".stfolder", "Syncthing"],
  [".dropbox", "Dropbox"],
  [".dropbox.cache", "Dropbox"],
  [".nextcloudsync.log", "Nextcloud"],
  [".owncloudsync.log", "ownCloud"],
  [".SynologyWorkingDirectory", "Synology Drive"],
];

/** Looks at the folders around a vault's canonical directory, and at the names in it. What cannot be read is no sign. */
export async function findSyncing(fs: FileSystem, directory: string): Promise<SyncFinding[]> {
  const folders = [directory];
  for (let folder = dirname(directory); folder !== folders.at(-1); folder = dirname(folder)) {
    folders.push(folder);
  }
  const programs = await Promise.all(folders.map((folder) => programOf(fs, folder)));
  const program = programs.find((name) => name !== undefined);
  const entries = await fs.readDirectory(directory).catch(() => []);
  const copies = entries.filter(({ name }) => /conflict/iu.test(name));
  return [
    ...(program === undefined ? [] : [{ sign: "folder", program } as const]),
    ...copies.map(({ name }) => ({ sign: "conflict-copy", name }) as const),
  ];
}

async function programOf(fs: FileSystem, folder: string): Promise<string | undefined> {
  const named = FOLDER_NAMES.find(([pattern]) => pattern.test(basename(folder)));
  if (named !== undefined) return named[1];
  const found = await Promise.all(
    MARKS.map(async ([name, program]) =>
      (await fs.lstat(join(folder, name)).catch(() => undefined)) === undefined ? undefined : program,
    ),
  );
  return found.find((program) => program !== undefined);
}
