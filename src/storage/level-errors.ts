/**
 * What LevelDB's errors mean to us. Its messages hold full paths: they stay in `cause`.
 * @module
 */
import { type CofferError, DamagedError, VaultExistsError, VaultInUseError } from "../errors.ts";
import { ioError } from "./io-error.ts";
import { StoreClosedError } from "./store.ts";

/** `COFFER_DAMAGED` for the database; `what` completes "is damaged:". */
export function damagedError(what: string, cause?: unknown): DamagedError {
  return new DamagedError(
    `The vault's database is damaged: ${what}. Keep the folder as it is and restore a backup, or open it with salvage.`,
    { cause, details: { part: "database" } },
  );
}

/** `COFFER_VAULT_EXISTS`: a database is where one should be created. */
export function existsError(cause: unknown): VaultExistsError {
  return new VaultExistsError("There is a database already. Open it, or choose another folder.", { cause });
}

/** `COFFER_VAULT_IN_USE`: LevelDB's own lock, or our look before it, says so. */
export function databaseInUseError(cause?: unknown): VaultInUseError {
  return new VaultInUseError("The vault's database is open elsewhere. Close it there and try again.", {
    cause,
  });
}

/** What a refused open means. */
export function openError(error: unknown): CofferError {
  const { code, text } = levelCause(error);
  if (code === "LEVEL_LOCKED") return databaseInUseError(error);
  if (text.includes("error_if_exists")) return existsError(error);
  if (code === "LEVEL_IO_ERROR") {
    const cause = systemError(error);
    return lackOf(cause, error) ?? ioError(cause, "open the database");
  }
  return damagedError("LevelDB refuses it", error);
}

/** What a failed read means. */
export function readError(error: unknown): Error {
  const { code } = levelCause(error);
  if (code === "LEVEL_CORRUPTION") return damagedError("a part of it cannot be read", error);
  if (code === "LEVEL_IO_ERROR") {
    const cause = systemError(error);
    return lackOf(cause, error) ?? ioError(cause, "read the database");
  }
  if (
    code === "LEVEL_DATABASE_NOT_OPEN" ||
    code === "LEVEL_ITERATOR_NOT_OPEN" ||
    code === "LEVEL_SNAPSHOT_NOT_OPEN"
  ) {
    return new StoreClosedError({ cause: error });
  }
  return error instanceof TypeError ? error : damagedError("a part of it cannot be read", error);
}

/** A file that LevelDB's own records name, and that is gone or too short, is damage, not a mistake in the path. */
function lackOf({ code }: { readonly code: string }, error: unknown): DamagedError | undefined {
  if (code === "ENOENT") return damagedError("one of its files is missing", error);
  // What LevelDB says of a read beyond the end of a file that it has mapped.
  return code === "EINVAL" ? damagedError("one of its files is too short", error) : undefined;
}

// The reason proper is one level down: the error itself only says that the database is not open.
function levelCause(error: unknown): { readonly code: string; readonly text: string } {
  const { cause } = error as { cause?: unknown };
  const inner = cause instanceof Error ? cause : error;
  const { code, message } = inner as { code?: unknown; message?: unknown };
  return { code: typeof code === "string" ? code : "", text: typeof message === "string" ? message : "" };
}

const ERRNO_BY_TEXT: readonly (readonly [text: string, errno: string])[] = [
  ["No space left on device", "ENOSPC"],
  ["Disk quota exceeded", "EDQUOT"],
  ["Read-only file system", "EROFS"],
  ["Permission denied", "EACCES"],
  ["Operation not permitted", "EPERM"],
  ["Too many open files in system", "ENFILE"],
  ["Too many open files", "EMFILE"],
  ["File too large", "EFBIG"],
  ["Input/output error", "EIO"],
  ["No such file or directory", "ENOENT"],
  ["Invalid argument", "EINVAL"],
  ["resource busy", "EBUSY"],
  ["Device or resource busy", "EBUSY"],
];

/** The error with the `code` that the C library would give. LevelDB gives the C library's text, not its number. */
export function systemError(error: unknown): { code: string; cause: unknown } {
  const { text } = levelCause(error);
  const errno = ERRNO_BY_TEXT.find(([part]) => text.includes(part))?.[1] ?? "UNKNOWN";
  return { code: errno, cause: error };
}
