/**
 * The two ways in which stored bytes fail. Internal: formats map them to {@link CofferError} codes and may fold the
 * first into the second. A caller's mistake is neither: it is a `TypeError` or `RangeError`.
 * @module
 */

/** Decided from lengths and public bytes alone, before any key was used. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";
  /** What is wrong, for the one who holds the bytes: a field's name, never its value. */
  readonly field: string | undefined;

  constructor(field?: string) {
    super("malformed: the bytes do not have the form of this construction");
    this.field = field;
  }
}

/**
 * Found after a key was used: wrong key, wrong context, changed bytes or wrong position. One message for all, so that
 * nobody learns which.
 */
export class AuthenticationError extends Error {
  override readonly name = "AuthenticationError";

  constructor() {
    super("authentication failed: wrong key, wrong context or changed bytes");
  }
}
