/**
 * The two copies of the vault header on disk: reading and choosing, replacing, healing.
 * They always carry the same bytes at rest. The larger generation of the good ones counts, and it alone.
 * Source: docs/format.md#directory [F-102…F-104], docs/format.md#open [F-120…F-122].
 * @module
 */
import { join } from "node:path";
import { compare } from "../bytes.ts";
import { DamagedError, isCofferError, UnsupportedFormatError, VaultNotFoundError } from "../errors.ts";
import { parseHeader, type ParsedHeader } from "../formats/header.ts";
import { MAX_HEADER_BYTES } from "../limits.ts";
import { publishTemporary, syncFolder, unlinkIfPresent, writeTemporary } from "./atomic-file.ts";
import { type FileSystem, hasErrno, UnexpectedFileError } from "./file-system.ts";
import { ioError } from "./io-error.ts";
import { isKeptName } from "./kept-database.ts";

/** Names of the two copies. */
export const HEADER_COPY_NAMES = ["header.0", "header.1"] as const;
const TEMPORARY_SUFFIX = ".tmp";

/** What one copy is found to be. `older`: good, but of a smaller generation than the other. */
export type CopyCondition = "good" | "older" | "absent" | "damaged";

/** The header that counts, and how the copies were found. */
export interface HeaderCopies {
  readonly header: ParsedHeader;
  readonly conditions: readonly [CopyCondition, CopyCondition];
}

type Copy =
  | { readonly condition: "good"; readonly header: ParsedHeader }
  | { readonly condition: "absent" | "damaged" | "unsupported" };

/**
 * Reads both copies and chooses. Reads only. Salvage takes the first of two that contradict each other.
 * @throws VaultNotFoundError when the directory is none, or holds no trace of a vault.
 * @throws DamagedError when no copy is good, or two of one generation differ.
 * @throws UnsupportedFormatError when the header is of a later version.
 */
export async function readHeaderCopies(
  fs: FileSystem,
  directory: string,
  { isSalvage = false }: { readonly isSalvage?: boolean } = {},
): Promise<HeaderCopies> {
  const [first, second] = [await readCopy(fs, directory, 0), await readCopy(fs, directory, 1)];
  if (first.condition === "good" && second.condition === "good")
    return chooseOfTwo(first.header, second.header, isSalvage);
  if (first.condition === "unsupported" || second.condition === "unsupported") {
    throw new UnsupportedFormatError(
      "This vault was written by a later version of Coffer. Open it with that version or a newer one.",
    );
  }
  if (first.condition === "good") return { header: first.header, conditions: ["good", conditionOf(second)] };
  if (second.condition === "good") return { header: second.header, conditions: [conditionOf(first), "good"] };
  if (first.condition === "absent" && second.condition === "absent") await refuseWithoutHeader(fs, directory);
  throw new DamagedError(
    "No copy of the vault header is intact. Keep the directory as it is and restore a backup beside it.",
    { details: { part: "header" } },
  );
}

function chooseOfTwo(a: ParsedHeader, b: ParsedHeader, isSalvage: boolean): HeaderCopies {
  if (a.generation === b.generation) {
    if (isSalvage || compare(a.bytes, b.bytes) === 0) return { header: a, conditions: ["good", "good"] };
    throw new DamagedError(
      "The two copies of the vault header are both intact but differ: files of two vaults, or of two moments, were mixed. Restore a backup.",
      { details: { part: "header" } },
    );
  }
  return a.generation > b.generation
    ? { header: a, conditions: ["good", "older"] }
    : { header: b, conditions: ["older", "good"] };
}

function conditionOf(copy: Copy): CopyCondition {
  return copy.condition === "unsupported" ? "damaged" : copy.condition;
}

async function readCopy(fs: FileSystem, directory: string, index: 0 | 1): Promise<Copy> {
  const path = join(directory, HEADER_COPY_NAMES[index]);
  let bytes: Uint8Array;
  try {
    bytes = await fs.readFile(path, { maxBytes: MAX_HEADER_BYTES });
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return { condition: "absent" };
    // A link, a FIFO or a huge file in the header's place is no header.
    if (error instanceof UnexpectedFileError) return { condition: "damaged" };
    throw ioError(error, "read the vault header", path);
  }
  try {
    return { condition: "good", header: parseHeader(bytes) };
  } catch (error) {
    if (isCofferError(error, "COFFER_UNSUPPORTED_FORMAT")) return { condition: "unsupported" };
    if (isCofferError(error, "COFFER_DAMAGED")) return { condition: "damaged" };
    throw error;
  }
}

/** No header: a directory with a database or objects has lost it; any other is no vault. */
async function refuseWithoutHeader(fs: FileSystem, directory: string): Promise<never> {
  let names: string[];
  try {
    names = (await fs.readDirectory(directory)).map((entry) => entry.name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) names = [];
    else throw ioError(error, "read the vault directory", directory);
  }
  if (names.some(isVaultContent)) {
    throw new DamagedError(
      "The vault header is missing although its database is there. Put header.0 or header.1 back, or restore a backup.",
      { details: { part: "header" } },
    );
  }
  throw new VaultNotFoundError(
    "There is no vault in this directory. Check the path, or make one with createVault.",
  );
}

/** True for the name of something that only a vault has. */
export function isVaultContent(name: string): boolean {
  return /^db-\d+$/u.test(name) || isKeptName(name) || name === "objects" || name === "incoming";
}

/** Writes both temporary files and flushes them: space runs out here, or not at all. */
export async function prepareHeader(fs: FileSystem, directory: string, bytes: Uint8Array): Promise<void> {
  for (const name of HEADER_COPY_NAMES) {
    await writeTemporary(fs, join(directory, name + TEMPORARY_SUFFIX), bytes, { leftover: "remove" });
  }
}

/** Renames the prepared files onto both copies and flushes the directory: durable when it resolves. */
export async function publishHeader(fs: FileSystem, directory: string): Promise<void> {
  await publishFirstCopy(fs, directory);
  await publishSecondCopy(fs, directory);
}

/** Renames the prepared file onto the first copy: from then on its header counts, though a power cut may take it back. */
export async function publishFirstCopy(fs: FileSystem, directory: string): Promise<void> {
  await publishCopy(fs, directory, 0);
}

/** Renames the prepared file onto the second copy and flushes the directory: durable when it resolves. */
export async function publishSecondCopy(fs: FileSystem, directory: string): Promise<void> {
  await publishCopy(fs, directory, 1);
  await syncFolder(fs, directory);
}

async function publishCopy(fs: FileSystem, directory: string, index: 0 | 1): Promise<void> {
  const path = join(directory, HEADER_COPY_NAMES[index]);
  await publishTemporary(fs, path + TEMPORARY_SUFFIX, path);
}

/** Removes prepared files of a change that did not come about. Absent ones are fine. */
export async function discardPreparedHeader(fs: FileSystem, directory: string): Promise<void> {
  for (const name of HEADER_COPY_NAMES) await unlinkIfPresent(fs, join(directory, name + TEMPORARY_SUFFIX));
}

/**
 * Makes both copies carry `bytes`, durably: rewrites those that are absent, damaged or older, and flushes the
 * others, which a crash may have left in memory only.
 */
export async function makeCopiesEqual(
  fs: FileSystem,
  directory: string,
  { header, conditions }: HeaderCopies,
): Promise<void> {
  for (const [index, name] of HEADER_COPY_NAMES.entries()) {
    const path = join(directory, name);
    if (conditions[index] === "good") {
      await flushFile(fs, path);
    } else {
      await writeTemporary(fs, path + TEMPORARY_SUFFIX, header.bytes, { leftover: "remove" });
      await publishTemporary(fs, path + TEMPORARY_SUFFIX, path);
    }
  }
  await syncFolder(fs, directory);
}

async function flushFile(fs: FileSystem, path: string): Promise<void> {
  try {
    const handle = await fs.open(path, "update");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw ioError(error, "flush the vault header", path);
  }
}
