/**
 * The answers for files that do not open, or do not stay as they were.
 * @module
 */
import { AuthenticationError, MalformedError } from "../crypto/failures.ts";
import { InvalidCiphertextError, SourceChangedError } from "../errors.ts";

/**
 * The one answer once a key is involved, whatever was wrong [F-207]. Who holds the file knows its segments, so their
 * number may be told.
 */
export function unopenedFile(segment?: number): InvalidCiphertextError {
  return new InvalidCiphertextError(
    "The file cannot be decrypted. Check that it is complete and unchanged, and that the encryption context is the one it was encrypted with.",
    segment === undefined ? {} : { details: { segment } },
  );
}

/** Returns what stands for a failure of the algorithms; every other error as it is. */
export function fileFailure(error: unknown, segment?: number): unknown {
  if (error instanceof AuthenticationError || error instanceof MalformedError) return unopenedFile(segment);
  return error;
}

/** The path leads to another file than the one whose keys were changed, or to none. */
export function replacedMeanwhile(): SourceChangedError {
  return new SourceChangedError(
    "The encrypted file was replaced, moved or removed while its keys were changed. What its path leads to now has not got the change; look at it, and try again.",
  );
}

/** The source has another length, time or identity than when the work began, or gives fewer bytes. */
export function sourceChanged(): SourceChangedError {
  return new SourceChangedError(
    "The source was changed by another program while it was read. Nothing was written; try again when it is at rest.",
  );
}
