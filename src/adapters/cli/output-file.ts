/**
 * Writes the user's files: whole or not at all, and never over an existing file unless told to.
 * @module
 */
import { randomBytes } from "node:crypto";
import { link, lstat, open, realpath, rename, stat, unlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CofferError } from "../../index.ts";
import { fileError } from "./file-error.ts";

/** Plaintext is for its owner alone; ciphertext is what the umask makes it. */
const MODES = { plaintext: 0o600, ciphertext: 0o666 } as const;

/** All at once, or as they come; an error of theirs leaves what was there. */
export type OutputBytes = Uint8Array | AsyncIterable<Uint8Array>;

export interface OutputFileOptions {
  readonly kind: keyof typeof MODES;
  /** Replaces an existing file. */
  readonly force: boolean;
}

/**
 * Refuses an output that cannot be written, before any work is done for it.
 * @throws CofferError `COFFER_ALREADY_EXISTS`, `COFFER_IO`
 */
export async function assertWritable(path: string, { force }: OutputFileOptions): Promise<void> {
  const kind = await kindOf(path);
  if (kind === "file" && !force) throw exists(path);
  if (kind === "directory") throw fileError("write", path, { code: "EISDIR" });
  if (kind === "none" && (await kindOf(dirname(path))) !== "directory") {
    throw fileError("write", path, { code: "ENOENT" });
  }
}

/**
 * Writes the bytes beside the target, makes them durable and moves them into place; a failure leaves what was there.
 * A device or a pipe is written to as it is.
 * @throws CofferError `COFFER_ALREADY_EXISTS`, `COFFER_IO`
 */
export async function writeOutput(
  path: string,
  bytes: OutputBytes,
  options: OutputFileOptions,
): Promise<void> {
  await assertWritable(path, options);
  try {
    const kind = await kindOf(path);
    if (kind === "special") return await writeFile(path, bytes, { flag: "w" });
    // A link that is to be replaced keeps pointing where it does.
    const target = kind === "file" ? await realpath(path) : path;
    await writeBeside(target, bytes, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw exists(path);
    throw fileError("write", path, error);
  }
}

async function writeBeside(
  target: string,
  bytes: OutputBytes,
  { kind, force }: OutputFileOptions,
): Promise<void> {
  const temporary = join(
    dirname(target),
    `.${basename(target).slice(0, 100)}.${randomBytes(8).toString("hex")}`,
  );
  try {
    const file = await open(temporary, "wx", MODES[kind]);
    try {
      await writeFile(file, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    if (force) await rename(temporary, target);
    else await moveIfAbsent(temporary, target);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(target));
}

/** A link fails where something is there by now; some file systems have no links. */
async function moveIfAbsent(temporary: string, target: string): Promise<void> {
  try {
    await link(temporary, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw error;
    if ((await kindOf(target)) !== "none") throw exists(target);
    await rename(temporary, target);
    return;
  }
  await unlink(temporary);
}

/** Windows cannot sync a directory, and the bytes themselves are durable by then. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r").catch(() => undefined);
  await directory?.sync().catch(() => undefined);
  await directory?.close();
}

async function kindOf(path: string): Promise<"none" | "file" | "directory" | "special"> {
  try {
    // A link to nothing counts as a file: writing through it is not what was asked for.
    const found = await stat(path).catch(async () => lstat(path));
    if (found.isDirectory()) return "directory";
    return found.isFile() || found.isSymbolicLink() ? "file" : "special";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "none";
    throw fileError("write", path, error);
  }
}

function exists(path: string): CofferError {
  return new CofferError(
    "COFFER_ALREADY_EXISTS",
    `${path} exists; give another name, or --force to replace it`,
  );
}
