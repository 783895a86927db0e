/**
 * Encrypted files without any vault, opened by a passphrase or a token: how data crosses an air gap.
 * @module
 */
import { wayInOf } from "../keystore/slots/way-in.ts";
import { nodeFileSystem } from "../storage/file-system.ts";
import type { ByteStreamPair } from "./byte-stream.ts";
import { type DecryptedFile, decryptFileWith } from "./decrypt-file.ts";
import { type EncryptedFile, encryptFileWith, type EncryptOptions } from "./encrypt-file.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import { type FileInfo, readFileInfo } from "./file-info.ts";
import {
  assertFileOptions,
  assertPath,
  pathsNow,
  type ContextOptions,
  DEFAULT_SEGMENT_BYTES,
  type FileToFileOptions,
  type NewFileOptions,
  type UnlockOption,
} from "./file-options.ts";
import { openingStream, sealingStream } from "./file-streams.ts";
import { type KeyAccess, slotAccess } from "./key-access.ts";

/** Options of {@link encryptFile}. */
export type EncryptFileWithoutVaultOptions = EncryptOptions & UnlockOption;
/** Options of {@link decryptFile}. */
export type DecryptFileWithoutVaultOptions = FileToFileOptions & UnlockOption;

/** Options of {@link encryptStream}. */
export type EncryptStreamWithoutVaultOptions = NewFileOptions & UnlockOption;
/** Options of {@link decryptStream}. */
export type DecryptStreamWithoutVaultOptions = ContextOptions & UnlockOption;

const NODE_GROUND: EnvelopeGround = {
  fs: nodeFileSystem,
  clock: Date.now,
  // Nobody listens here. Where a key area is visibly damaged, fileInfo says so.
  report: () => undefined,
  mayUseWorkers: true,
};

/**
 * Encrypts a file for a passphrase, or for a token. Durable when the promise resolves; when it rejects, nothing is left, and
 * what was there before is as it was, unless the reason is `outcome-unknown`, when only the name may not be durable. Takes about half a second for a passphrase; a
 * token must be there, as its key is tried once.
 * @throws AlreadyExistsError, InvalidArgumentError, SourceChangedError, OutOfMemoryError, IoError.
 * @example
 * await encryptFile("report.pdf", "report.pdf.cof", { unlock: passphrase(typed) });
 */
export async function encryptFile(
  source: string,
  destination: string,
  options: EncryptFileWithoutVaultOptions,
): Promise<EncryptedFile> {
  return encryptFileOn(NODE_GROUND, source, destination, options);
}

/** {@link encryptFile} on other ground. Not exported by the package. */
export async function encryptFileOn(
  ground: EnvelopeGround,
  source: string,
  destination: string,
  options: EncryptFileWithoutVaultOptions,
): Promise<EncryptedFile> {
  return withAccess(ground, options, async (access) => {
    assertPath("source", source);
    assertPath("destination", destination);
    assertFileOptions("encryptFileWithout", options);
    return encryptFileWith(ground, access, pathsNow(source, destination), ownOptions(options));
  });
}

/**
 * Decrypts a file that a passphrase or a token opens, also one that a vault made and shared. The new file has mode 0600.
 * @throws WrongSecretError when the passphrase opens no slot. @throws TokenError, InvalidCiphertextError,
 *   KdfLimitError, OutOfMemoryError, UnsupportedFormatError, AlreadyExistsError, InvalidArgumentError, IoError.
 */
export async function decryptFile(
  source: string,
  destination: string,
  options: DecryptFileWithoutVaultOptions,
): Promise<DecryptedFile> {
  return decryptFileOn(NODE_GROUND, source, destination, options);
}

/** {@link decryptFile} on other ground. Not exported by the package. */
export async function decryptFileOn(
  ground: EnvelopeGround,
  source: string,
  destination: string,
  options: DecryptFileWithoutVaultOptions,
): Promise<DecryptedFile> {
  return withAccess(ground, options, async (access) => {
    assertPath("source", source);
    assertPath("destination", destination);
    assertFileOptions("decryptFileWithout", options);
    return decryptFileWith(ground, access, pathsNow(source, destination), ownOptions(options));
  });
}

/**
 * Returns a pair for `pipeThrough` that encrypts bytes into those of a file, for a passphrase or a token.
 * @throws TypeError for a wrong option.
 */
export function encryptStream(options: EncryptStreamWithoutVaultOptions): ByteStreamPair {
  const access = accessFor(NODE_GROUND, options);
  assertFileOptions("encryptStreamWithout", options);
  return sealingStream(access, {
    context: { ...options.encryptionContext },
    storeContext: options.storeContext ?? true,
    segmentPlaintextBytes: options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
    createdAtMs: NODE_GROUND.clock(),
    signal: options.signal,
  });
}

/**
 * Returns a pair for `pipeThrough` that decrypts what a passphrase or a token opens. What comes out is verified, piece by piece; it
 * is all there was only when the stream closes without an error. @throws TypeError for a wrong option.
 */
export function decryptStream(options: DecryptStreamWithoutVaultOptions): ByteStreamPair {
  const access = accessFor(NODE_GROUND, options);
  assertFileOptions("readWithout", options);
  const { encryptionContext, signal } = options;
  const context = encryptionContext === undefined ? undefined : { ...encryptionContext };
  return openingStream({ access, context, report: NODE_GROUND.report, signal });
}

/**
 * Says what an encrypted file tells without any key: unauthenticated.
 * @throws InvalidCiphertextError, UnsupportedFormatError, IoError.
 */
export async function fileInfo(path: string): Promise<FileInfo> {
  assertPath("path", path);
  return readFileInfo(nodeFileSystem, path);
}

/** Read once: from here on the caller may change what was given. */
function ownOptions<Options extends ContextOptions>(options: Options): Options {
  const { encryptionContext } = options;
  return encryptionContext === undefined
    ? { ...options }
    : { ...options, encryptionContext: { ...encryptionContext } };
}

function accessFor({ clock, report }: EnvelopeGround, { unlock }: UnlockOption): KeyAccess {
  const warn = (message: string): void => report({ type: "warning", message });
  return slotAccess(wayInOf(unlock, "options.unlock"), clock, warn, "options.unlock");
}

async function withAccess<T>(
  ground: EnvelopeGround,
  options: UnlockOption,
  use: (access: KeyAccess) => Promise<T>,
): Promise<T> {
  const access = accessFor(ground, options);
  try {
    return await use(access);
  } finally {
    access.end();
  }
}
