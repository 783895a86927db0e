/**
 * Encrypted files without any vault, opened by a passphrase: how data crosses an air gap.
 * @module
 */
import { wayInOf } from "../keystore/slots/way-in.ts";
import { nodeFileSystem } from "../storage/file-system.ts";
import { type DecryptedFile, decryptFileWith } from "./decrypt-file.ts";
import { type EncryptedFile, encryptFileWith, type EncryptOptions } from "./encrypt-file.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import { type FileInfo, readFileInfo } from "./file-info.ts";
import { assertFileOptions, assertPath, type FileToFileOptions, type UnlockOption } from "./file-options.ts";
import { type KeyAccess, slotAccess } from "./key-access.ts";

/** Options of {@link encryptFile}. */
export type EncryptFileWithoutVaultOptions = EncryptOptions & UnlockOption;
/** Options of {@link decryptFile}. */
export type DecryptFileWithoutVaultOptions = FileToFileOptions & UnlockOption;

const NODE_GROUND: EnvelopeGround = {
  fs: nodeFileSystem,
  clock: Date.now,
  // Nobody listens here: what was worked around shows in fileInfo.
  report: () => undefined,
  mayUseWorkers: true,
};

/**
 * Encrypts a file for a passphrase. Durable when the promise resolves; when it rejects, nothing is left, and what was
 * there before is as it was. Takes about half a second for the passphrase.
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
    return encryptFileWith(ground, access, { source, destination }, options);
  });
}

/**
 * Decrypts a file that a passphrase opens, also one that a vault made and shared. The new file has mode 0600.
 * @throws WrongSecretError when the passphrase opens no slot. @throws InvalidCiphertextError, KdfLimitError,
 *   OutOfMemoryError, UnsupportedFormatError, AlreadyExistsError, InvalidArgumentError, IoError.
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
    return decryptFileWith(ground, access, { source, destination }, options);
  });
}

/**
 * Says what an encrypted file tells without any key: unauthenticated.
 * @throws InvalidCiphertextError, UnsupportedFormatError, IoError.
 */
export async function fileInfo(path: string): Promise<FileInfo> {
  assertPath("path", path);
  return readFileInfo(nodeFileSystem, path);
}

async function withAccess<T>(
  { clock, report }: EnvelopeGround,
  { unlock }: UnlockOption,
  use: (access: KeyAccess) => Promise<T>,
): Promise<T> {
  const warn = (message: string): void => report({ type: "warning", message });
  const access = slotAccess(wayInOf(unlock, "options.unlock"), clock, warn, "options.unlock");
  try {
    return await use(access);
  } finally {
    access.end();
  }
}
