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
  readonly kms: DataKeys;
  /**
   * Returns what ends running work when the vault is locked, aborted with a LockedError.
   * @throws LockedError while the vault is locked or closed.
   */
  lockSignal(): AbortSignal;
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
  /** `passphrase(…)`, which opens the file without any vault; or another key of this vault. */
  readonly with: Unlocker | { readonly keyId: string };
}

/** The file functions of one vault. */
export class VaultFiles {
  readonly #host: VaultFilesHost;

  constructor(host: VaultFilesHost) {
    this.#host = host;
  }

  async encryptFile(
    source: string,
    destination: string,
    options: EncryptFileOptions,
  ): Promise<EncryptedFile> {
    assertPath("source", source);
    assertPath("destination", destination);
    assertFileOptions("encryptFile", options);
    const access = vaultAccess(this.#host.kms, options.keyId);
    return encryptFileWith(this.#host, access, { source, destination }, this.#lockable(options));
  }

  async decryptFile(
    source: string,
    destination: string,
    options: DecryptFileOptions,
  ): Promise<DecryptedFile> {
    assertPath("source", source);
    assertPath("destination", destination);
    assertFileOptions("decryptFile", options);
    const access = vaultAccess(this.#host.kms);
    return decryptFileWith(this.#host, access, { source, destination }, this.#lockable(options));
  }

  encryptStream(options: EncryptStreamOptions): ByteStreamPair {
    assertFileOptions("encryptStream", options);
    const { encryptionContext, storeContext = true, segmentBytes = DEFAULT_SEGMENT_BYTES } = options;
    return sealingStream(vaultAccess(this.#host.kms, options.keyId), {
      context: { ...encryptionContext },
      storeContext,
      segmentPlaintextBytes: segmentBytes,
      createdAtMs: this.#host.clock(),
      signal: this.#lockable(options).signal,
    });
  }

  decryptStream(options: ReadFileOptions): ByteStreamPair {
    assertFileOptions("read", options);
    const { encryptionContext } = options;
    return openingStream({
      access: vaultAccess(this.#host.kms),
      context: encryptionContext === undefined ? undefined : { ...encryptionContext },
      report: this.#host.report,
      signal: this.#lockable(options).signal,
    });
  }

  async openFile(path: string, options: ReadFileOptions): Promise<FileReader> {
    assertPath("path", path);
    assertFileOptions("read", options);
    return openFileWith(this.#host, vaultAccess(this.#host.kms), path, this.#lockable(options));
  }

  async rewrapFile(path: string, options: RewrapFileOptions): Promise<void> {
    assertPath("path", path);
    assertFileOptions("rewrapFile", options);
    const access = vaultAccess(this.#host.kms, options.keyId);
    await rewrapFileWith(this.#host, access, path, this.#lockable(options));
  }

  async shareFile(path: string, options: ShareFileOptions): Promise<{ readonly entry: string }> {
    assertPath("path", path);
    assertFileOptions("shareFile", options);
    const recipient = this.#recipientOf(options.with);
    try {
      const lockable = this.#lockable(options);
      const id = await shareFileWith(this.#host, vaultAccess(this.#host.kms), path, {
        ...lockable,
        recipient,
      });
      return { entry: recipient.kind === "blob" ? formatKeyId(fromHex(id)) : id };
    } finally {
      recipient.end();
    }
  }

  async unshareFile(path: string, entry: string, options: ReadFileOptions): Promise<void> {
    assertPath("path", path);
    if (typeof entry !== "string") throw new TypeError(`entry: expected a string, got ${typeof entry}`);
    assertFileOptions("read", options);
    const lockable = this.#lockable(options);
    await unshareFileWith(this.#host, vaultAccess(this.#host.kms), path, { ...lockable, entryId: entry });
  }

  async fileInfo(path: string): Promise<FileInfo> {
    assertPath("path", path);
    return readFileInfo(this.#host.fs, path);
  }

  #lockable<Options extends ContextOptions>(options: Options): Options {
    return { ...options, signal: anySignal(this.#host.lockSignal(), options.signal) };
  }

  #recipientOf(given: ShareFileOptions["with"]): KeyAccess {
    if (given instanceof WayIn || !("keyId" in given)) {
      const { clock, report } = this.#host;
      const warn = (message: string): void => report({ type: "warning", message });
      return slotAccess(wayInOf(given, "options.with"), clock, warn, "options.with");
    }
    if (typeof given.keyId !== "string") throw new TypeError("options.with.keyId: expected a string");
    return vaultAccess(this.#host.kms, given.keyId);
  }
}
