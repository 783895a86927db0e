/**
 * Words errors of the file system for people: what could not be done, why, and what to do.
 * @module
 */
import { basename } from "node:path";
import { type CofferError, IoError, isCofferError } from "../errors.ts";
import { UnexpectedFileError } from "./file-system.ts";

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the drive. Free some space and try again.",
  EDQUOT: "the disk quota is used up. Free some space or raise the quota, and try again.",
  EFBIG: "the file would be larger than this file system or this user may have. Use another drive.",
  EROFS: "the drive is read-only. Make it writable, or work on a copy elsewhere.",
  EACCES: "access was denied. Check the owner and the permissions of the file and its folder.",
  EPERM: "the operation is not permitted. Check the owner and the permissions of the file and its folder.",
  EBUSY: "another program is using it. Close that program and try again.",
  EMFILE: "this process has too many open files. Close some, or raise the limit, and try again.",
  ENFILE: "the computer has too many open files. Close some programs and try again.",
  ENOENT: "it does not exist. Check the path.",
  ENOTDIR: "a part of the path is not a folder. Check the path.",
  EISDIR: "it is a folder, where a file was expected. Check the path.",
  EEXIST: "something of that name exists already. Choose another name, or remove it.",
  ENOTEMPTY: "the folder is not empty. Choose another one.",
  ELOOP: "it is a symbolic link, where none is allowed. Give the path that it points to.",
  ENAMETOOLONG: "the name is too long. Choose a shorter one.",
  EXDEV: "the two places are on different drives. Choose a place on the same drive.",
  EIO: "the drive reported an error. Check the drive, and make a backup before anything else.",
};

const UNEXPECTED: Readonly<Record<UnexpectedFileError["reason"], string>> = {
  symlink: "it is a symbolic link, where none is allowed. Find out who put it there, and remove it.",
  "not-a-file": "it is not a regular file. Find out what it is, and remove it or choose another path.",
  "too-large":
    "it is larger than such a file can be. Find out what it is, and remove it or choose another path.",
  swapped: "it was exchanged while it was being opened. Find out by whom, and try again.",
};

/**
 * Returns an error that says what could not be done and what to do. An error of ours passes as it is.
 *
 * `details`: `errno` (`"ENOSPC"`, `"UNKNOWN"` when there is none), `action`, and for a file of the wrong kind
 * `reason`. The message names the last part of `path` only.
 * @param action what was tried, to follow "Could not": `"write the vault header"`.
 */
export function ioError(error: unknown, action: string, path?: string): CofferError {
  if (isCofferError(error)) return error;
  const subject = path === undefined ? "" : ` ("${basename(path)}")`;
  if (error instanceof UnexpectedFileError) {
    const { reason } = error;
    const errno = reason === "symlink" ? "ELOOP" : "EINVAL";
    const message = `Could not ${action}${subject}: ${UNEXPECTED[reason]}`;
    return new IoError(message, { cause: error, details: { errno, action, reason } });
  }
  const errno = errnoOf(error);
  const advice = ADVICE[errno] ?? `the operating system answered ${errno}. Check the drive and try again.`;
  return new IoError(`Could not ${action}${subject}: ${advice}`, {
    cause: error,
    details: { errno, action },
  });
}

function errnoOf(error: unknown): string {
  const code = typeof error === "object" && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === "string" && /^E[A-Z0-9]{1,30}$/u.test(code) ? code : "UNKNOWN";
}
