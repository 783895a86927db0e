/**
 * The file functions on a real vault's KMS, and on file systems that misbehave on purpose.
 * @module
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReadableStream } from "node:stream/web";
import { beforeAll } from "vitest";
import { concat } from "../../src/bytes.ts";
import { LockedError } from "../../src/errors.ts";
import type { EnvelopeNotice } from "../../src/envelope/envelope-ground.ts";
import {
  type EncryptFileOptions,
  type EncryptStreamOptions,
  VaultFiles,
  type VaultFilesHost,
} from "../../src/envelope/vault-files.ts";
import { createFileSystem, type FileSystemCalls, nodeCalls } from "../../src/storage/file-system.ts";
import { testVaults, type TestVault } from "../kms/kms-vault.ts";
import { driveScratchDirectories } from "../storage/scratch.ts";

export const P = 65_536;
export const E: number = P + 32;
/** Lengths at the edges of segments, and of the whole body. */
export const EDGE_LENGTHS: readonly number[] = [0, 1, P - 1, P, P + 1, 2 * P, 3 * P, 3 * P + 17];

export interface FileGround {
  readonly files: VaultFiles;
  readonly host: VaultFilesHost;
  readonly vault: TestVault;
  readonly notices: EnvelopeNotice[];
  /** Locks as a vault does. */
  readonly lock: () => void;
  /** A directory of its own for each call. */
  readonly scratch: () => Promise<string>;
  /** The same vault on another file system. */
  readonly on: (calls: Partial<FileSystemCalls>) => VaultFiles;
}

/** New files have segments of {@link P} unless told otherwise: several of them are quickly made. */
class ShortSegments extends VaultFiles {
  override encryptFile(
    source: string,
    destination: string,
    options: EncryptFileOptions = {},
  ): ReturnType<VaultFiles["encryptFile"]> {
    return super.encryptFile(
      source,
      destination,
      isPlain(options) ? { segmentBytes: P, ...options } : options,
    );
  }

  override encryptStream(options: EncryptStreamOptions = {}): ReturnType<VaultFiles["encryptStream"]> {
    return super.encryptStream(isPlain(options) ? { segmentBytes: P, ...options } : options);
  }
}

/** What is no options object is for the real function to refuse. */
function isPlain(options: unknown): boolean {
  return typeof options === "object" && options !== null && !Array.isArray(options);
}

/** Makes one vault for a test file. Filled before its tests run. */
export function fileGround(): FileGround {
  const newVault = testVaults();
  const scratch = driveScratchDirectories();
  const ground = {} as { -readonly [Name in keyof FileGround]: FileGround[Name] };
  beforeAll(async () => {
    const vault = await newVault();
    const locking = new AbortController();
    const notices: EnvelopeNotice[] = [];
    const host: VaultFilesHost = {
      fs: createFileSystem(nodeCalls),
      clock: () => vault.clock.nowMs,
      report: (notice) => void notices.push(notice),
      mayUseWorkers: false,
      kms: () => vault.vault.kms,
      run: async (work) => {
        locking.signal.throwIfAborted();
        return work(locking.signal);
      },
      ended: () => {
        locking.signal.throwIfAborted();
        return locking.signal;
      },
    };
    Object.assign(ground, {
      files: new ShortSegments(host),
      host,
      vault,
      notices,
      scratch,
      lock: () => locking.abort(new LockedError("locked")),
      on: (calls: Partial<FileSystemCalls>) =>
        new ShortSegments({ ...host, fs: createFileSystem({ ...nodeCalls, ...calls }) }),
    });
  });
  return ground;
}

/** Bytes that differ everywhere, the same at each run. */
export function pattern(lengthBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Writes a source file and returns the paths of it, of its encrypted and of its decrypted form. */
export async function sourceIn(
  directory: string,
  bytes: Uint8Array,
): Promise<{ readonly source: string; readonly encrypted: string; readonly decrypted: string }> {
  const source = join(directory, "a");
  await writeFile(source, bytes);
  return { source, encrypted: join(directory, "a.cof"), decrypted: join(directory, "b") };
}

export async function bytesOf(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}

/** Names in a directory, temporary ones too. */
export async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory)).toSorted();
}

/** True when the file holds exactly these bytes: the deep equality of the test runner takes seconds for a megabyte. */
export async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  return isSame(await readFile(path), bytes);
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** A source that is always ready. */
export function streamOf(pieces: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const next = iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
  });
}

export async function gather(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return concat(...pieces);
}
