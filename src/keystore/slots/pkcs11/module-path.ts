/**
 * The file of a PKCS#11 module: code that this user runs. It is named by the caller alone, never by a vault or a URI,
 * and must be one that nobody else can change.
 * @module
 */
import { dirname, isAbsolute } from "node:path";
import { InvalidArgumentError } from "../../../errors.ts";
import { type FileStats, nodeFileSystem } from "../../../storage/file-system.ts";
import { errorOf } from "./token-errors.ts";

const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/** @throws TypeError unless it is text. @throws InvalidArgumentError reason `module-path` for a relative one. */
export function assertModulePath(module: unknown): asserts module is string {
  if (typeof module !== "string") throw new TypeError(`module: expected a path, got ${typeof module}`);
  // The loader would look for a bare name in places of its own, and take the empty one for this program.
  if (isAbsolute(module) && !module.includes("\0")) return;
  throw new InvalidArgumentError(
    "The PKCS#11 module must be named by its absolute path, such as /usr/lib/x86_64-linux-gnu/libykcs11.so.",
    { details: { reason: "module-path" } },
  );
}

/** Returns the module's canonical path. @throws TokenError `COFFER_PKCS11_MODULE_LOAD_FAILED` */
export async function findModule(module: string): Promise<string> {
  const fs = nodeFileSystem;
  let file: FileStats;
  let folder: FileStats;
  let canonical: string;
  try {
    canonical = await fs.realpath(module);
    file = await fs.stat(canonical);
    folder = await fs.stat(dirname(canonical));
  } catch (cause) {
    throw loadFailed(
      "missing",
      "There is no PKCS#11 module at this path, or it cannot be read. Install it.",
      cause,
    );
  }
  if (file.kind !== "file") {
    throw loadFailed("no-library", "The PKCS#11 module's path names no file. Name the module's own file.");
  }
  if (fs.platform === "win32") return canonical;
  const isExchangeable = (folder.mode & OTHERS_WRITE) !== 0 && (folder.mode & STICKY) === 0;
  if (!isTrusted(file) || isExchangeable) {
    throw loadFailed(
      "untrusted",
      "The PKCS#11 module can be changed by other users, who would get the PIN. Use one that only root or you can write.",
    );
  }
  return canonical;
}

function isTrusted({ owner, mode }: FileStats): boolean {
  const user = process.geteuid?.();
  return (owner === 0 || owner === user) && (mode & OTHERS_WRITE) === 0;
}

function loadFailed(reason: string, message: string, cause?: unknown): Error {
  return errorOf("COFFER_PKCS11_MODULE_LOAD_FAILED", message, { stage: "load", reason }, cause);
}
