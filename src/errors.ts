/**
 * Every error that a running program may meet. A caller's mistake (wrong type, wrong length) is a plain
 * `TypeError` or `RangeError`; everything else is a {@link CofferError} with a stable `code`.
 * Documented, one heading a code, in docs/errors.md.
 * @module
 */

/** All codes. Frozen within a major version; docs/errors.md says for each when, whether to retry, what to do. */
export const COFFER_ERROR_CODES = [
  "COFFER_WRONG_SECRET",
  "COFFER_LOCKED",
  "COFFER_VAULT_NOT_FOUND",
  "COFFER_VAULT_EXISTS",
  "COFFER_VAULT_IN_USE",
  "COFFER_DAMAGED",
  "COFFER_ROLLED_BACK",
  "COFFER_UNSUPPORTED_FORMAT",
  "COFFER_KDF_LIMIT",
  "COFFER_OUT_OF_MEMORY",
  "COFFER_NOT_FOUND",
  "COFFER_ALREADY_EXISTS",
  "COFFER_KEY_DISABLED",
  "COFFER_INVALID_KEY_STATE",
  "COFFER_INVALID_KEY_USAGE",
  "COFFER_INCORRECT_KEY",
  "COFFER_INVALID_CIPHERTEXT",
  "COFFER_INVALID_SIGNATURE",
  "COFFER_INVALID_ARGUMENT",
  "COFFER_LIMIT_EXCEEDED",
  "COFFER_ACCESS_DENIED",
  "COFFER_AUDIT_UNAVAILABLE",
  "COFFER_KEYCHAIN_CHANGED",
  "COFFER_NATIVE_MODULE_MISSING",
  "COFFER_SOURCE_CHANGED",
  "COFFER_IO",
  "COFFER_ABORTED",
  "COFFER_TIMEOUT",
  "COFFER_PKCS11_BINDING_MISSING",
  "COFFER_PKCS11_MODULE_LOAD_FAILED",
  "COFFER_PKCS11_MODULE_INIT_FAILED",
  "COFFER_PKCS11_MODULE_CRASHED",
  "COFFER_TOKEN_NOT_PRESENT",
  "COFFER_TOKEN_KEY_NOT_FOUND",
  "COFFER_TOKEN_AMBIGUOUS",
  "COFFER_TOKEN_REMOVED",
  "COFFER_TOKEN_TOUCH_OR_POLICY",
  "COFFER_TOKEN_OPERATION_FAILED",
  "COFFER_TOKEN_KEY_UNSUITABLE",
  "COFFER_PIN_INCORRECT",
  "COFFER_PIN_LOCKED",
  "COFFER_PIN_LENGTH",
  "COFFER_PIN_NOT_USABLE",
] as const;

/** One of {@link COFFER_ERROR_CODES}. */
export type CofferErrorCode = (typeof COFFER_ERROR_CODES)[number];

/** JSON-safe facts beside the message: counts, ids, offsets; never a secret and never a path from a file. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface CofferErrorOptions {
  /** The error underneath. Kept in this process only: `toJSON` drops it. */
  readonly cause?: unknown;
  readonly details?: ErrorDetails;
}

const BRAND = Symbol.for("coffer.error");
const RETRYABLE: ReadonlySet<CofferErrorCode> = new Set([
  "COFFER_WRONG_SECRET",
  "COFFER_LOCKED",
  "COFFER_VAULT_IN_USE",
  "COFFER_OUT_OF_MEMORY",
  "COFFER_AUDIT_UNAVAILABLE",
  "COFFER_SOURCE_CHANGED",
  "COFFER_IO",
  "COFFER_TIMEOUT",
  "COFFER_TOKEN_NOT_PRESENT",
  "COFFER_TOKEN_REMOVED",
  "COFFER_TOKEN_TOUCH_OR_POLICY",
  "COFFER_PKCS11_MODULE_CRASHED",
]);

/**
 * Base of all errors with a `code`. The message says what happened and what to do next, and holds no secret.
 * Test with {@link isCofferError}, which also works across copies of this package and across realms.
 */
export class CofferError<Code extends CofferErrorCode = CofferErrorCode> extends Error {
  readonly code: Code;
  /** True when the same call can succeed later without a change to the arguments or the files. */
  readonly retryable: boolean;
  readonly details: ErrorDetails;

  constructor(code: Code, message: string, options: CofferErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = RETRYABLE.has(code);
    this.details = Object.freeze({ ...options.details });
    Object.defineProperty(this, "name", { value: new.target.name, configurable: true, writable: true });
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** The reason within the code, where the code has several (`COFFER_ROLLED_BACK`, `COFFER_INVALID_ARGUMENT`). */
  get reason(): string | undefined {
    const { reason } = this.details;
    return typeof reason === "string" ? reason : undefined;
  }

  toJSON(): { name: string; code: Code; message: string; retryable: boolean; details: ErrorDetails } {
    const { name, code, message, retryable, details } = this;
    return { name, code, message, retryable, details };
  }
}

/**
 * True for an error of this package, of any copy or realm; with `code`, only for that code.
 * @example
 * if (isCofferError(error, "COFFER_WRONG_SECRET")) askAgain();
 */
export function isCofferError<Code extends CofferErrorCode = CofferErrorCode>(
  error: unknown,
  code?: Code,
): error is CofferError<Code> {
  if (typeof error !== "object" || error === null) return false;
  if ((error as Record<symbol, unknown>)[BRAND] !== true) return false;
  return code === undefined || (error as { code?: unknown }).code === code;
}

/** `COFFER_WRONG_SECRET`. */
export class WrongSecretError extends CofferError<"COFFER_WRONG_SECRET"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_WRONG_SECRET", message, options);
  }
}

/** `COFFER_LOCKED`. */
export class LockedError extends CofferError<"COFFER_LOCKED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_LOCKED", message, options);
  }
}

/** `COFFER_VAULT_NOT_FOUND`. */
export class VaultNotFoundError extends CofferError<"COFFER_VAULT_NOT_FOUND"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_VAULT_NOT_FOUND", message, options);
  }
}

/** `COFFER_VAULT_EXISTS`. */
export class VaultExistsError extends CofferError<"COFFER_VAULT_EXISTS"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_VAULT_EXISTS", message, options);
  }
}

/** `COFFER_VAULT_IN_USE`. */
export class VaultInUseError extends CofferError<"COFFER_VAULT_IN_USE"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_VAULT_IN_USE", message, options);
  }
}

/** `COFFER_DAMAGED`. */
export class DamagedError extends CofferError<"COFFER_DAMAGED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_DAMAGED", message, options);
  }
}

/** `COFFER_ROLLED_BACK`. */
export class RolledBackError extends CofferError<"COFFER_ROLLED_BACK"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_ROLLED_BACK", message, options);
  }
}

/** `COFFER_UNSUPPORTED_FORMAT`. */
export class UnsupportedFormatError extends CofferError<"COFFER_UNSUPPORTED_FORMAT"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_UNSUPPORTED_FORMAT", message, options);
  }
}

/** `COFFER_KDF_LIMIT`. */
export class KdfLimitError extends CofferError<"COFFER_KDF_LIMIT"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_KDF_LIMIT", message, options);
  }
}

/** `COFFER_OUT_OF_MEMORY`. */
export class OutOfMemoryError extends CofferError<"COFFER_OUT_OF_MEMORY"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_OUT_OF_MEMORY", message, options);
  }
}

/** `COFFER_NOT_FOUND`. */
export class NotFoundError extends CofferError<"COFFER_NOT_FOUND"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_NOT_FOUND", message, options);
  }
}

/** `COFFER_ALREADY_EXISTS`. */
export class AlreadyExistsError extends CofferError<"COFFER_ALREADY_EXISTS"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_ALREADY_EXISTS", message, options);
  }
}

/** `COFFER_KEY_DISABLED`. */
export class KeyDisabledError extends CofferError<"COFFER_KEY_DISABLED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_KEY_DISABLED", message, options);
  }
}

/** `COFFER_INVALID_KEY_STATE`. */
export class InvalidKeyStateError extends CofferError<"COFFER_INVALID_KEY_STATE"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_INVALID_KEY_STATE", message, options);
  }
}

/** `COFFER_INVALID_KEY_USAGE`. */
export class InvalidKeyUsageError extends CofferError<"COFFER_INVALID_KEY_USAGE"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_INVALID_KEY_USAGE", message, options);
  }
}

/** `COFFER_INCORRECT_KEY`. */
export class IncorrectKeyError extends CofferError<"COFFER_INCORRECT_KEY"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_INCORRECT_KEY", message, options);
  }
}

/** `COFFER_INVALID_CIPHERTEXT`. */
export class InvalidCiphertextError extends CofferError<"COFFER_INVALID_CIPHERTEXT"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_INVALID_CIPHERTEXT", message, options);
  }
}

/** `COFFER_INVALID_ARGUMENT`. */
export class InvalidArgumentError extends CofferError<"COFFER_INVALID_ARGUMENT"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_INVALID_ARGUMENT", message, options);
  }
}

/** `COFFER_LIMIT_EXCEEDED`. */
export class LimitExceededError extends CofferError<"COFFER_LIMIT_EXCEEDED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_LIMIT_EXCEEDED", message, options);
  }
}

/** `COFFER_NATIVE_MODULE_MISSING`. */
export class NativeModuleMissingError extends CofferError<"COFFER_NATIVE_MODULE_MISSING"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_NATIVE_MODULE_MISSING", message, options);
  }
}

/** `COFFER_SOURCE_CHANGED`. */
export class SourceChangedError extends CofferError<"COFFER_SOURCE_CHANGED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_SOURCE_CHANGED", message, options);
  }
}

/** `COFFER_IO`. */
export class IoError extends CofferError<"COFFER_IO"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_IO", message, options);
  }
}

/** `COFFER_ACCESS_DENIED`. */
export class AccessDeniedError extends CofferError<"COFFER_ACCESS_DENIED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_ACCESS_DENIED", message, options);
  }
}

/** `COFFER_KEYCHAIN_CHANGED`. */
export class KeychainChangedError extends CofferError<"COFFER_KEYCHAIN_CHANGED"> {
  constructor(message: string, options?: CofferErrorOptions) {
    super("COFFER_KEYCHAIN_CHANGED", message, options);
  }
}

/** Codes of {@link TokenError}. */
export type TokenErrorCode = Extract<
  CofferErrorCode,
  `COFFER_PKCS11_${string}` | `COFFER_TOKEN_${string}` | `COFFER_PIN_${string}`
>;

/** What stands between a user and a token: the code says which it is, `details` the stage and the module's number. */
export class TokenError extends CofferError<TokenErrorCode> {}
