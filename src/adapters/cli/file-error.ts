/**
 * Errors of the user's files in plain words.
 * @module
 */
import { CofferError } from "../../index.ts";

const SENTENCES: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or directory",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is not a directory",
  ENOSPC: "no space left",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "the name is too long",
};

/** Returns the error for a path that the user gave; an abort is passed on. */
export function fileError(action: "read" | "write", path: string, error: unknown): unknown {
  const { code, name } = error as NodeJS.ErrnoException;
  if (code === undefined || name === "AbortError") return error;
  return new CofferError("COFFER_IO", `cannot ${action} ${path}: ${SENTENCES[code] ?? code}`, {
    cause: error,
  });
}
