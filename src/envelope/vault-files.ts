/**
 * Encrypted files under the keys of a vault: what `vault.encryptFile` and its siblings do.
 * @module
 */
import { formatKeyId } from "../keystore/key-reference.ts";
import { type Unlocker, WayIn, wayInOf } from "../keystore/slots/way-in.ts";
import { fromHex } from "../bytes.ts";
import type { ByteStreamPair } from "./byte-stream.ts";
import { type DecryptedFile, decryptFileWith } from "./decrypt-file.ts";
import { type EncryptedFile, encryptFileWith, type EncryptOptions } from "./encrypt-file.ts";
import { anySignal, type EnvelopeGround } from "./envelope-ground.ts";
import { type FileInfo, readFileInfo } from "./file-info.ts";
import {
  assertFileOptions,
  assertPath,
  pathsNow,
  type ContextOptions,
  DEFAULT_SEGMENT_BYTES,
  type FileToFileOptions,
  type KeyOption,
  type NewFileOptions,
} from "./file-options.ts";
import { type FileReader, openFileWith } from "./file-reader.ts";
import { openingStream, sealingStream } from "./file-streams.ts";
import { type DataKeys, type KeyAccess, slotAccess, vaultAccess } from "./key-access.ts";
import { rewrapFileWith, type RewrapOptions, shareFileWith, unshareFileWith } from "./key-entries.ts";

/** What encrypted files need from their vault. */
export interface VaultFilesHost extends EnvelopeGround {
  kms(): DataKeys;
  /**
   * Performs work that counts as use of the vault until it ends. It ends itself when `ended` aborts, with a LockedError.
   * @throws LockedError while the vault is locked or closed.
   */
  run<T>(work: (ended: AbortSignal) => Promise<T>): Promise<T>;
  /**
   * Returns what ends streams and readers when the vault is locked, aborted with a LockedError. Counts as use.
   * @throws LockedError while the vault is locked or closed.
   */
  ended(): AbortSignal;
}

/** Options of `vault.encryptFile`. */
export type EncryptFileOptions = EncryptOptions & KeyOption;
/** Options of `vault.decryptFile`. */
export type DecryptFileOptions = FileToFileOptions;
/** Options of `vault.encryptStream`. */
export type EncryptStreamOptions = NewFileOptions & KeyOption;
/** Options of `vault.decryptStream` and `vault.openFile`. */
export type ReadFileOptions = ContextOptions;
/** Options of `vault.rewrapFile`. */
export type RewrapFileOptions = RewrapOptions & KeyOption;

/** Options of `vault.shareFile`. */
export interface ShareFileOptions extends ContextOptions {
  /** `passphrase(…)` or `pkcs11(…)`, which open the file without any vault; or another key of this vault. */
  readonly with: Unlocker | { readonly keyId: string };
}

/**
 * The file functions of a vault, for data of any size. Each file has a data key of its own, sealed under a CMK and kept
 * in the file. Every method @throws LockedError, also when the vault is locked while it runs; and what the CMK answers
 * (NotFoundError, KeyDisabledError, InvalidKeyStateError).
 */
export class VaultFiles {
  readonly #host: VaultFilesHost;

  /** The vault makes its own. */
  constructor(host: VaultFilesHost) {
    this.#host = host;
  }

  /**
   * Encrypts one file into another, of mode 0600, durable when the promise resolves. When it rejects, nothing is left,
   * and what was there before is as it was; unless the reason is `outcome-unknown`: then the new file is in its place,
   * and only its name may not be durable.
   * @throws AlreadyExistsError unless `overwrite`. @throws InvalidArgumentError reason `same-file`.
   * @throws SourceChangedError when the source does not stay as it was. @throws IoError.
   * @example
   * await vault.encryptFile("film.mp4", "film.mp4.cof", { keyId: "alias/films" });
   */
  async encryptFile(
    source: string,
    destination: string,
    options: EncryptFileOptions = {},
  ): Promise<EncryptedFile> {
    assertPath("source", source);
    assertPath("destination", destination);
    assertFileOptions("encryptFile", options);
    const access = vaultAccess(this.#host.kms(), options.keyId);
    const paths = pathsNow(source, destination);
    return this.#run(options, (given) => encryptFileWith(this.#host, access, paths, given));
  }

  /**
   * Decrypts one file into another, of mode 0600. Nothing appears under the destination's name before all of it is
   * verified and durable. When it rejects it is as with {@link VaultFiles.encryptFile}.
   * @throws InvalidCiphertextError, one answer for whatever is wrong once a key is involved; before, with a `reason`.
   * @throws UnsupportedFormatError, AlreadyExistsError, InvalidArgumentError, SourceChangedError, IoError.
   */
  async decryptFile(
    source: string,
    destination: string,
    options: DecryptFileOptions = {},
  ): Promise<DecryptedFile> {
    assertPath("source", source);
    assertPath("destination", destination);
    assertFileOptions("decryptFile", options);
    const access = vaultAccess(this.#host.kms());
    const paths = pathsNow(source, destination);
    return this.#run(options, (given) => decryptFileWith(this.#host, access, paths, given));
  }

  /**
   * Returns a pair for `pipeThrough` that encrypts bytes into those of a file. Its data key is made with the first
   * byte. Locking the vault errors it.
   */
  encryptStream(options: EncryptStreamOptions = {}): ByteStreamPair {
    assertFileOptions("encryptStream", options);
    const { encryptionContext, storeContext = true, segmentBytes = DEFAULT_SEGMENT_BYTES } = options;
    return sealingStream(vaultAccess(this.#host.kms(), options.keyId), {
      context: { ...encryptionContext },
      storeContext,
      segmentPlaintextBytes: segmentBytes,
      createdAtMs: this.#host.clock(),
      signal: anySignal(this.#host.ended(), options.signal),
      onUse: this.#onUse,
    });
  }

  /**
   * Returns a pair for `pipeThrough` that decrypts. What comes out is verified, piece by piece; it is all there was
   * only when the stream closes without an error.
   */
  decryptStream(options: ReadFileOptions = {}): ByteStreamPair {
    assertFileOptions("read", options);
    const { encryptionContext } = options;
    return openingStream({
      access: vaultAccess(this.#host.kms()),
      context: encryptionContext === undefined ? undefined : { ...encryptionContext },
      report: this.#host.report,
      signal: anySignal(this.#host.ended(), options.signal),
      onUse: this.#onUse,
    });
  }

  /** Opens an encrypted file for reading anywhere in it. Close the reader. Locking the vault ends it. */
  async openFile(path: string, options: ReadFileOptions = {}): Promise<FileReader> {
    assertPath("path", path);
    assertFileOptions("read", options);
    const access = vaultAccess(this.#host.kms());
    return this.#run(options, (given) =>
      openFileWith(this.#host, access, path, { ...given, onUse: this.#onUse }),
    );
  }

  /**
   * Puts a file under another CMK, without touching its body: the entry that opened is replaced. Killed at any moment,
   * the file still opens; when the promise resolves, the old entry is gone. Who had the data key keeps it. In this process
   * it waits for other changes of the same file; let no other process change it at the same moment.
   * @throws SourceChangedError when the file was replaced, moved or removed meanwhile.
   */
  async rewrapFile(path: string, options: RewrapFileOptions = {}): Promise<void> {
    assertPath("path", path);
    assertFileOptions("rewrapFile", options);
    const access = vaultAccess(this.#host.kms(), options.keyId);
    await this.#run(options, (given) => rewrapFileWith(this.#host, access, path, given));
  }

  /**
   * Lets somebody else open the file too: by a passphrase or a token without this vault, or under another of its keys.
   * Up to eight entries. Who can open a file can change its entries: share with people who are trusted with it. Waits
   * as {@link VaultFiles.rewrapFile} does.
   * @throws SourceChangedError as {@link VaultFiles.rewrapFile} does.
   * @returns the id of the new entry, for {@link VaultFiles.unshareFile}.
   */
  async shareFile(path: string, options: ShareFileOptions): Promise<{ readonly entry: string }> {
    assertPath("path", path);
    assertFileOptions("shareFile", options);
    const recipient = this.#recipientOf(options.with);
    try {
      const access = vaultAccess(this.#host.kms());
      const id = await this.#run(options, (given) =>
        shareFileWith(this.#host, access, path, { ...given, recipient }),
      );
      return { entry: recipient.kind === "blob" ? formatKeyId(fromHex(id)) : id };
    } finally {
      recipient.end();
    }
  }

  /**
   * Removes an entry, as fileInfo names it. Who had the data key keeps it. Waits as {@link VaultFiles.rewrapFile} does.
   * @throws NotFoundError, SourceChangedError. @throws InvalidArgumentError reason `last-entry`.
   */
  async unshareFile(path: string, entry: string, options: ReadFileOptions = {}): Promise<void> {
    assertPath("path", path);
    if (typeof entry !== "string") throw new TypeError(`entry: expected a string, got ${typeof entry}`);
    assertFileOptions("read", options);
    const access = vaultAccess(this.#host.kms());
    await this.#run(options, (given) =>
      unshareFileWith(this.#host, access, path, { ...given, entryId: entry }),
    );
  }

  /** Says what a file tells without any key: unauthenticated. Works while the vault is locked. */
  async fileInfo(path: string): Promise<FileInfo> {
    assertPath("path", path);
    return readFileInfo(this.#host.fs, path);
  }

  /** A stream or a reader at work is use of the vault, however long it lasts. */
  readonly #onUse = (): void => void this.#host.ended();

  async #run<Options extends ContextOptions, T>(
    options: Options,
    work: (options: Options) => Promise<T>,
  ): Promise<T> {
    // Read once: from here on the caller may change what was given.
    const { encryptionContext, signal } = options;
    const context = encryptionContext === undefined ? {} : { encryptionContext: { ...encryptionContext } };
    return this.#host.run((ended) => work({ ...options, ...context, signal: anySignal(ended, signal) }));
  }

  #recipientOf(given: ShareFileOptions["with"]): KeyAccess {
    if (given instanceof WayIn || typeof given !== "object" || !("keyId" in given)) {
      const { clock, report } = this.#host;
      const warn = (message: string): void => report({ type: "warning", message });
      return slotAccess(wayInOf(given, "options.with"), clock, warn, "options.with");
    }
    if (typeof given.keyId !== "string") throw new TypeError("options.with.keyId: expected a string");
    return vaultAccess(this.#host.kms(), given.keyId);
  }
}
