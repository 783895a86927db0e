/**
 * What an export is asked for, and what it answers.
 * @module
 */
import type { ProgressListener } from "../envelope/progress.ts";
import type { DamagedRange, StoreCallOptions } from "./store-options.ts";

/** Why something of the store was not written. */
export type ExportSkipReason =
  /** Something of this name is there, and is not replaced. */
  | "exists"
  /** Two names of the store are one on this drive, or would be. */
  | "collision"
  /** A link, a special file, the vault itself, or a file where a directory is needed is in the way. */
  | "in-the-way"
  /** This system has no name for it. */
  | "name"
  /** The content was altered or is missing; of a directory, names in it. */
  | "damaged"
  /** The drive cannot read its content: a bad block, or something else in its place. */
  | "unreadable"
  /** The CMK that the content is under does not serve: disabled, deleted, or waiting for deletion. */
  | "key"
  /** It was removed or moved while the export went on. */
  | "changed";

export interface StoreExportOptions extends StoreCallOptions {
  /** Replaces files; never directories, and never what the same export has written. @defaultValue false */
  readonly overwrite?: boolean | undefined;
  /** Passes over files that are there with the same length and time, so that an export is made to the end. */
  readonly resume?: boolean | undefined;
  /** Writes names as Windows takes them, so that the folder can be copied anywhere. @defaultValue on Windows alone */
  readonly portableNames?: boolean | undefined;
  /** Told bytes that were written or passed over, and of all. */
  readonly onProgress?: ProgressListener | undefined;
  /** Told what is not written: its path in the store, and why. What a skipped directory holds is not told again. */
  readonly onSkip?:
    ((skipped: { readonly path: string; readonly reason: ExportSkipReason }) => void) | undefined;
  /** Writes damaged files too, with zeros for what does not verify. @defaultValue they are not written, and told */
  readonly onDamage?: ((range: DamagedRange & { readonly path: string }) => void) | undefined;
}

export interface ExportedTree {
  readonly files: number;
  readonly directories: number;
  /** Plaintext bytes of the files. */
  readonly bytes: number;
  /** Files that `resume` has passed over. */
  readonly unchanged: number;
  readonly skipped: number;
  /** Files that were skipped as damaged, or written with zeros. */
  readonly damaged: number;
  /** Names that the system refuses, and what they became. */
  readonly renamed: readonly { readonly path: string; readonly name: string }[];
}
