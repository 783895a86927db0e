/**
 * Options of createVault, openVault and unlock, checked at the edge: a misspelt option must not be ignored.
 * @module
 */
import {
  boolean,
  check,
  custom,
  function_,
  instance,
  number,
  optional,
  pipe,
  safeParse,
  strictObject,
  string,
  type GenericSchema,
} from "valibot";
import type { AutoLockOptions } from "./auto-lock.ts";
import { InvalidArgumentError, LimitExceededError } from "./errors.ts";
import { isWellFormed, utf8 } from "./bytes.ts";
import type { ProgressListener } from "./envelope/progress.ts";
import { WayIn, type Unlocker } from "./keystore/slots/way-in.ts";
import { MAX_LABEL_BYTES } from "./limits.ts";
import type { VaultNotice } from "./vault-events.ts";

/** Options of {@link openVault}. */
export interface OpenVaultOptions {
  /** `passphrase(…)`, `recovery(…)`, `pkcs11(…)`, `combined(…)` or `keychain(…)`; serves once, and is wiped. */
  readonly unlock: Unlocker;
  /** Told what is found while the vault opens, before any listener can be set. */
  readonly onWarning?: (notice: VaultNotice) => void;
  /**
   * After `COFFER_DAMAGED` or `COFFER_ROLLED_BACK`: gives out, for reading only, every record that authenticates by
   * itself. The vault's own files are only read. @defaultValue false
   */
  readonly salvage?: boolean;
  /**
   * What `vault.anchor` gave, of a state that this vault must have or be newer than: else it is refused with
   * `COFFER_ROLLED_BACK`. Salvage does not look at it.
   */
  readonly anchor?: string;
  /**
   * After `COFFER_ROLLED_BACK`, when you know why, such as a restored backup: takes the older state as the truth from
   * now on. Give the anchor too, so that the vault becomes newer than it. What came after that state is lost.
   * @defaultValue false
   */
  readonly acceptRollback?: boolean;
  /** Refuses, with `COFFER_ACCESS_DENIED`, a vault that other users can reach, instead of warning. @defaultValue false */
  readonly strict?: boolean;
  /** Locks the vault by itself. @defaultValue never */
  readonly autoLock?: AutoLockOptions;
  /** Milliseconds since 1970. @defaultValue Date.now */
  readonly clock?: () => number;
  readonly signal?: AbortSignal;
}

/** Options of {@link createVault}. */
export interface CreateVaultOptions extends Omit<OpenVaultOptions, "salvage" | "anchor" | "acceptRollback"> {
  /** The first way in: `passphrase(…)`, `combined(…)` or `pkcs11(…)`. */
  readonly unlock: Unlocker;
  /** False makes no recovery code: then a forgotten passphrase loses everything. @defaultValue true */
  readonly recoveryCode?: boolean;
  /** A name for the first slot, at most 255 bytes of UTF-8. @defaultValue its kind */
  readonly label?: string;
}

/** Options of `vault.unlock`. */
export interface UnlockVaultOptions {
  readonly signal?: AbortSignal;
}

/** Options of `vault.backup`. */
export interface BackupOptions {
  /** Replaces an existing file, which stays as it is when anything fails. @defaultValue false */
  readonly overwrite?: boolean;
  /**
   * False leaves out the contents of larger stored files: then copy the vault's `objects` folder too, and put it into
   * the restored vault. @defaultValue true
   */
  readonly store?: boolean;
  /** Told bytes of records and files, never backwards, at most every 50 ms. What it throws ends the work. */
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/** Options of {@link restoreVault}. */
export interface RestoreVaultOptions {
  /** A way into the vault of the time when the backup was made; serves once, and is wiped. */
  readonly unlock: Unlocker;
  /** Checks the whole backup and makes nothing; the directory is not looked at. @defaultValue false */
  readonly verifyOnly?: boolean;
  readonly onWarning?: (notice: VaultNotice) => void;
  /** Told bytes of the file that were read; a restore reads it twice. What it throws ends the work. */
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

const unlocker = custom<Unlocker>(
  (value) => value instanceof WayIn,
  "expected passphrase(…), recovery(…), pkcs11(…), combined(…) or keychain(…)",
);
const signal = optional(instance(AbortSignal, "expected an AbortSignal"));
const milliseconds = optional(
  pipe(
    number("expected a number"),
    check((ms) => Number.isSafeInteger(ms) && ms >= 1, "expected whole milliseconds, 1 or more"),
  ),
);
const BOTH = {
  unlock: unlocker,
  onWarning: optional(function_("expected a function")),
  autoLock: optional(strictObject({ idleMs: milliseconds, absoluteMs: milliseconds }, "expected an object")),
  clock: optional(function_("expected a function")),
  strict: optional(boolean("expected a boolean")),
  signal,
};
const OPEN_SCHEMA = strictObject({
  ...BOTH,
  salvage: optional(boolean("expected a boolean")),
  anchor: optional(string("expected a string")),
  acceptRollback: optional(boolean("expected a boolean")),
});
const CREATE_SCHEMA = strictObject({
  ...BOTH,
  recoveryCode: optional(boolean("expected a boolean")),
  label: optional(string("expected a string")),
});
const UNLOCK_SCHEMA = strictObject({ signal });
const onProgress = optional(function_("expected a function"));
const BACKUP_SCHEMA = strictObject({
  overwrite: optional(boolean("expected a boolean")),
  store: optional(boolean("expected a boolean")),
  onProgress,
  signal,
});
const RESTORE_SCHEMA = strictObject({
  unlock: unlocker,
  verifyOnly: optional(boolean("expected a boolean")),
  onWarning: optional(function_("expected a function")),
  onProgress,
  signal,
});

/** @throws TypeError naming the option. */
export function assertOpenOptions(options: OpenVaultOptions): void {
  assertOptions(OPEN_SCHEMA, options);
  if (options.salvage === true && options.acceptRollback === true) {
    throw new TypeError(
      "options.acceptRollback: salvage changes nothing, so it accepts nothing; give one of them",
    );
  }
}

/** @throws TypeError naming the option. @throws LimitExceededError for a label that is too long. */
export function assertCreateOptions(options: CreateVaultOptions): void {
  assertOptions(CREATE_SCHEMA, options);
  if (options.unlock.kind === "recovery" || options.unlock.kind === "keychain") {
    throw new TypeError(
      "options.unlock: expected passphrase(…), combined(…) or pkcs11(…); a recovery code is made by createVault itself, and a keychain is added later",
    );
  }
  assertLabel(options.label ?? "");
}

/** @throws TypeError unless it is text. @throws LimitExceededError, InvalidArgumentError for what no header takes. */
export function assertLabel(label: unknown): asserts label is string {
  if (typeof label !== "string") throw new TypeError(`label: expected a string, got ${typeof label}`);
  if (!isWellFormed(label)) {
    throw new InvalidArgumentError("The slot's label holds half a character. Type it again.", {
      details: { reason: "ill-formed" },
    });
  }
  if (utf8(label).length > MAX_LABEL_BYTES) {
    throw new LimitExceededError(`label: at most ${MAX_LABEL_BYTES} bytes; choose a shorter one`);
  }
}

/** @throws TypeError naming the option. */
export function assertUnlockOptions(options: UnlockVaultOptions): void {
  assertOptions(UNLOCK_SCHEMA, options);
}

/** @throws TypeError naming the option. */
export function assertBackupOptions(options: BackupOptions): void {
  assertOptions(BACKUP_SCHEMA, options);
}

/** @throws TypeError naming the option. */
export function assertRestoreOptions(options: RestoreVaultOptions): void {
  assertOptions(RESTORE_SCHEMA, options);
}

/** @throws TypeError unless it is a string with at least one character and no zero byte. */
export function assertDirectory(directory: string): void {
  assertPath("directory", directory);
}

/** @throws TypeError unless it is a string with at least one character and no zero byte. */
export function assertPath(name: string, path: string): void {
  if (typeof path !== "string") throw new TypeError(`${name}: expected a string, got ${typeof path}`);
  if (path === "" || path.includes("\0")) throw new TypeError(`${name}: expected a path`);
}

function assertOptions(schema: GenericSchema, options: unknown): void {
  const result = safeParse(schema, options);
  if (result.success) return;
  const [issue] = result.issues;
  // The schema's own sentence would show what was given instead: a passphrase, perhaps.
  if (issue.path === undefined) throw new TypeError(`options: expected an object, got ${typeof options}`);
  const path = issue.path.map((item) => String(item.key)).join(".");
  if (issue.type === "strict_object" && issue.expected === "never") {
    throw new TypeError(`options.${path}: no such option`);
  }
  throw new TypeError(`options.${path}: ${issue.message}`);
}
