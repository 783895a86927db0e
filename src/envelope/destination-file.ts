/**
 * A file that is written beside its place and appears there whole, or not at all.
 * @module
 */
import { dirname } from "node:path";
import { AlreadyExistsError, InvalidArgumentError, IoError, isCofferError } from "../errors.ts";
import { publishTemporary, syncFolder } from "../storage/atomic-file.ts";
import {
  FILE_MODE,
  type FileHandle,
  type FileStats,
  type FileSystem,
  hasErrno,
  ignoreNoModes,
  UnexpectedFileError,
} from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { temporaryPathFor } from "./temporary-names.ts";

export interface DestinationOptions {
  /** Replace what is there; else it is refused. */
  readonly overwrite: boolean;
  /** The file that is read from, which must not be the one that is replaced. */
  readonly source: FileStats;
}

/** A new file under a temporary name. Ended by {@link DestinationFile.publish} or {@link DestinationFile.discard}. */
export class DestinationFile {
  readonly path: string;
  readonly temporaryPath: string;
  readonly handle: FileHandle;
  readonly #fs: FileSystem;
  readonly #overwrite: boolean;
  #flushing: Promise<void> | undefined;

  private constructor(
    fs: FileSystem,
    path: string,
    temporaryPath: string,
    handle: FileHandle,
    overwrite: boolean,
  ) {
    this.#fs = fs;
    this.path = path;
    this.temporaryPath = temporaryPath;
    this.handle = handle;
    this.#overwrite = overwrite;
  }

  /**
   * Looks at the place, before anything costs time.
   * @param looking what {@link lookAt} answers for it, where that was asked already.
   * @throws AlreadyExistsError, InvalidArgumentError reason `same-file`, IoError.
   */
  static async check(
    fs: FileSystem,
    path: string,
    { overwrite, source }: DestinationOptions,
    looking: Promise<FileStats | undefined> = lookAt(fs, path),
  ): Promise<void> {
    const there = await looking;
    if (there === undefined) return;
    const real = await fs.stat(path).catch(() => there);
    if (real.device === source.device && real.inode === source.inode) {
      throw new InvalidArgumentError(
        "Source and destination are the same file. Write to another place and replace the source afterwards.",
        { details: { reason: "same-file" } },
      );
    }
    if (!overwrite) throw alreadyExists();
    if (there.kind === "directory" || there.kind === "other") {
      throw ioError(new UnexpectedFileError("not-a-file"), "replace the destination", path);
    }
  }

  /** Makes the temporary file, empty, with mode 0600. @throws IoError. */
  static async create(fs: FileSystem, path: string, overwrite: boolean): Promise<DestinationFile> {
    const temporaryPath = await temporaryPathFor(path);
    try {
      const handle = await fs.open(temporaryPath, "create", FILE_MODE);
      try {
        // An umask may have taken bits away.
        if (handle.opened.mode !== FILE_MODE) await handle.chmod(FILE_MODE).catch(ignoreNoModes);
      } catch (error) {
        await handle.close().catch(() => undefined);
        throw error;
      }
      return new DestinationFile(fs, path, temporaryPath, handle, overwrite);
    } catch (error) {
      // The random name is nobody else's, unless it was there before.
      if (!hasErrno(error, "EEXIST")) await fs.unlink(temporaryPath).catch(() => undefined);
      throw ioError(error, "write the destination", path);
    }
  }

  /** @throws IoError. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      await this.handle.write(bytes, position);
    } catch (error) {
      throw ioError(error, "write the destination", this.path);
    }
  }

  /** Begins to make the content durable, when all is written; {@link DestinationFile.publish} waits for it. */
  beginFlush(): void {
    this.#flushing ??= this.handle.sync();
    this.#flushing.catch(() => undefined);
  }

  /**
   * Makes the content durable, gives it its name, makes the name durable. When only the last step fails, the file is in
   * its place, and may be gone again after a power cut: reason `outcome-unknown`.
   * @param signal that ends it until the file has its name.
   * @throws AlreadyExistsError for something that appeared meanwhile. @throws IoError.
   */
  async publish(signal?: AbortSignal): Promise<void> {
    this.beginFlush();
    try {
      await this.#flushing;
      // What is flushed can be named while it is closed, but not on every system.
      const closing = this.handle.close();
      closing.catch(() => undefined);
      if (this.#fs.platform === "win32") await closing;
    } catch (error) {
      throw ioError(error, "write the destination", this.path);
    }
    signal?.throwIfAborted();
    if (this.#overwrite) await publishTemporary(this.#fs, this.temporaryPath, this.path);
    else await this.#publishWithoutReplacing();
    try {
      await syncFolder(this.#fs, dirname(this.path));
    } catch (cause) {
      const details = isCofferError(cause) ? cause.details : {};
      throw new IoError(
        "The destination is written and has its name, but that could not be made durable: after a power cut it may be missing, or the old one be back. Look at it before you repeat the call.",
        { cause, details: { ...details, reason: "outcome-unknown" } },
      );
    }
    // Closed by now, or soon: a failure of that takes nothing back that was flushed.
    await this.handle.close().catch(() => undefined);
  }

  /** Removes the temporary file. The error that led here is what counts, so this never fails. */
  async discard(): Promise<void> {
    await this.handle.close().catch(() => undefined);
    await this.#fs.unlink(this.temporaryPath).catch(() => undefined);
  }

  /** A rename would replace what has just appeared; a second name is refused where one is taken. */
  async #publishWithoutReplacing(): Promise<void> {
    try {
      await this.#fs.link(this.temporaryPath, this.path);
    } catch (error) {
      if (hasErrno(error, "EEXIST")) throw alreadyExists();
      // Not every file system has second names.
      if ((await lookAt(this.#fs, this.path)) !== undefined) throw alreadyExists();
      await publishTemporary(this.#fs, this.temporaryPath, this.path);
      return;
    }
    try {
      await this.#fs.unlink(this.temporaryPath);
    } catch (error) {
      await this.#fs.unlink(this.path).catch(() => undefined);
      throw ioError(error, "write the destination", this.path);
    }
  }
}

/** Returns what has the destination's name, or undefined. @throws IoError. */
export async function lookAt(fs: FileSystem, path: string): Promise<FileStats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw ioError(error, "write the destination", path);
  }
}

function alreadyExists(): AlreadyExistsError {
  return new AlreadyExistsError(
    "Something of the destination's name exists already. Choose another name, or pass { overwrite: true }.",
  );
}
