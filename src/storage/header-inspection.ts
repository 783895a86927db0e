/**
 * Looks at each copy of the vault header by itself, for a diagnosis. What opening makes of both is header-copies.ts.
 * @module
 */
import { join } from "node:path";
import { isCofferError } from "../errors.ts";
import { type ParsedHeader, parseHeader } from "../formats/header.ts";
import { MAX_HEADER_BYTES } from "../limits.ts";
import { type FileSystem, hasErrno, UnexpectedFileError } from "./file-system.ts";
import { HEADER_COPY_NAMES } from "./header-copies.ts";
import { ioError } from "./io-error.ts";

/** One copy as it lies there. */
export type HeaderCopy =
  /** The structure is sound and the public checksum right; nothing is authenticated. */
  | { readonly condition: "good"; readonly header: ParsedHeader }
  | { readonly condition: "absent" }
  /** `field`: what is wrong with it. */
  | { readonly condition: "damaged"; readonly field: string }
  /** A link, a directory, a FIFO or something far too long in its place. */
  | { readonly condition: "planted" }
  /** Sound, and of a later version of the format. */
  | { readonly condition: "unsupported" };

/** Reads both copies, in the order of their names. Never refuses for what they hold. @throws CofferError `COFFER_IO`. */
export async function inspectHeaderCopies(
  fs: FileSystem,
  directory: string,
): Promise<readonly [HeaderCopy, HeaderCopy]> {
  return [
    await inspectCopy(fs, join(directory, HEADER_COPY_NAMES[0])),
    await inspectCopy(fs, join(directory, HEADER_COPY_NAMES[1])),
  ];
}

async function inspectCopy(fs: FileSystem, path: string): Promise<HeaderCopy> {
  try {
    return {
      condition: "good",
      header: parseHeader(await fs.readFile(path, { maxBytes: MAX_HEADER_BYTES })),
    };
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return { condition: "absent" };
    if (error instanceof UnexpectedFileError) return { condition: "planted" };
    if (isCofferError(error, "COFFER_UNSUPPORTED_FORMAT")) return { condition: "unsupported" };
    if (!isCofferError(error, "COFFER_DAMAGED")) throw ioError(error, "read the vault header", path);
    const { field } = error.details;
    return { condition: "damaged", field: typeof field === "string" ? field : "structure" };
  }
}
