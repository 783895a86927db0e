/**
 * Options of the file functions, checked at the edge: a misspelt one must not be passed over.
 * @module
 */
import { resolve } from "node:path";
import {
  boolean,
  custom,
  function_,
  type GenericSchema,
  instance,
  optional,
  picklist,
  safeParse,
  strictObject,
  string,
  unknown,
} from "valibot";
import type { EncryptionContext } from "../formats/context.ts";
import { FILE_SEGMENT_SIZES } from "../formats/file.ts";
import type { Unlocker } from "../keystore/slots/way-in.ts";
import { assertFileContext } from "./beginning.ts";
import type { ProgressListener } from "./progress.ts";

/** P of new files: see bench/README.md for how it was chosen. */
export const DEFAULT_SEGMENT_BYTES = 262_144;

/** Options that all functions with a context have. */
export interface ContextOptions {
  /**
   * Names and values that are bound to the file. For reading: leaving it out takes the stored one; a given one must be
   * exactly that of the encryption. Names beginning `coffer:` are refused.
   */
  readonly encryptionContext?: EncryptionContext | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of what makes new files. */
export interface NewFileOptions extends ContextOptions {
  /** False leaves the context out of the file: then it is needed to decrypt. It is not secret. @defaultValue true */
  readonly storeContext?: boolean | undefined;
  /** Plaintext of one segment: 65,536, 262,144 or 1,048,576 bytes. @defaultValue 262,144 */
  readonly segmentBytes?: number | undefined;
}

/** Options of what goes from file to file. */
export interface FileToFileOptions extends ContextOptions {
  /** Replace an existing destination. It stays as it is when anything fails. @defaultValue false */
  readonly overwrite?: boolean | undefined;
  /** Told plaintext bytes, never backwards, at most every 50 ms. What it throws ends the work. */
  readonly onProgress?: ProgressListener | undefined;
}

/** For new entries: the CMK by id or alias. @defaultValue `"alias/default"` */
export interface KeyOption {
  readonly keyId?: string | undefined;
}

export interface UnlockOption {
  /** `passphrase(…)` or `pkcs11(…)`; serves once, and is wiped. */
  readonly unlock: Unlocker;
}

const context = optional(unknown());
const signal = optional(instance(AbortSignal, "expected an AbortSignal"));
const flag = optional(boolean("expected a boolean"));
const keyId = optional(string("expected a string"));
const segmentBytes = optional(picklist(FILE_SEGMENT_SIZES, `expected ${FILE_SEGMENT_SIZES.join(", ")}`));
const onProgress = optional(function_("expected a function"));
const unlock = custom<Unlocker>(
  (value) => typeof value === "object" && value !== null,
  "expected passphrase(…) or pkcs11(…)",
);

const READ = { encryptionContext: context, signal };
const MAKE = { ...READ, storeContext: flag, segmentBytes };
const MOVE = { overwrite: flag, onProgress };

/** Which options a function takes. */
export type FileOptionsName =
  | "encryptStream"
  | "encryptFile"
  | "encryptFileWithout"
  | "decryptFile"
  | "decryptFileWithout"
  | "encryptStreamWithout"
  | "read"
  | "readWithout"
  | "rewrapFile"
  | "shareFile";

const SCHEMAS: Readonly<Record<FileOptionsName, GenericSchema>> = {
  encryptStream: strictObject({ ...MAKE, keyId }),
  encryptFile: strictObject({ ...MAKE, ...MOVE, keyId }),
  encryptFileWithout: strictObject({ ...MAKE, ...MOVE, unlock }),
  decryptFile: strictObject({ ...READ, ...MOVE }),
  decryptFileWithout: strictObject({ ...READ, ...MOVE, unlock }),
  encryptStreamWithout: strictObject({ ...MAKE, unlock }),
  read: strictObject(READ),
  readWithout: strictObject({ ...READ, unlock }),
  rewrapFile: strictObject({ ...READ, keyId, removeOthers: flag }),
  shareFile: strictObject({ ...READ, with: unknown() }),
};

/** @throws TypeError naming the option. @throws what `assertFileContext` throws. */
export function assertFileOptions(name: FileOptionsName, options: ContextOptions): void {
  const result = safeParse(SCHEMAS[name], options);
  if (result.success) {
    assertFileContext(options.encryptionContext);
    return;
  }
  const [issue] = result.issues;
  const path = issue.path?.map((item) => String(item.key)).join(".");
  if (path === undefined) throw new TypeError("options: expected an object");
  const isUnknown = issue.type === "strict_object" && issue.expected === "never";
  throw new TypeError(`options.${path}: ${isUnknown ? "no such option" : issue.message}`);
}

/** @throws TypeError unless it is a string with at least one character and no zero byte. */
export function assertPath(name: string, path: unknown): asserts path is string {
  if (typeof path !== "string") throw new TypeError(`${name}: expected a path, got ${typeof path}`);
  if (path === "" || path.includes("\0")) throw new TypeError(`${name}: expected a path`);
}

/** Returns the paths as they are at the call: the working directory may be another one when the last of it is done. */
export function pathsNow(source: string, destination: string): { source: string; destination: string } {
  return { source: resolve(source), destination: resolve(destination) };
}
