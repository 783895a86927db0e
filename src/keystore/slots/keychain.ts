/**
 * The keychain slot: 32 random bytes that the operating system's keychain protects. Never the only way in, as what a
 * keychain protects is gone when it is reset, when another one is found, or when the application is renamed.
 * Source: docs/format.md#slots [F-66], [F-138], [F-139].
 * @module
 */
import { assertBytes, copy, isWellFormed, utf8 } from "../../bytes.ts";
import { randomKey } from "../../crypto/random.ts";
import { InvalidArgumentError, KeychainChangedError } from "../../errors.ts";
import type { ParsedSlot } from "../../formats/header.ts";
import { KEY_BYTES } from "../../formats/key-schedule.ts";
import { MAX_NAME_BYTES, MAX_PROTECTED_BYTES } from "../../formats/slot-header.ts";
import { redact, wipe } from "../../secret.ts";
import { type Enrolment, type Unlocker, usedTwice, WayIn, type WayInContext } from "./way-in.ts";

/** Electron's name for "no keychain at all": a password that is in its source. */
const NO_KEYCHAIN = "basic_text";

/** Two functions of a keychain; Electron's `safeStorage` or a keyring fill them. */
export interface Keychain {
  /** Name of the keychain in use, such as `gnome_libsecret` or `keychain`, at most 255 bytes. Kept in the slot. */
  readonly backend: string;
  /** Returns the secret's protected form, 1 to 4,096 bytes. The secret, 32 bytes, is lent until it settles. */
  readonly protect: (secret: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  /** Returns what `protect` was given; it is taken over and wiped. Rejects, or throws, where it cannot. */
  readonly unprotect: (protectedSecret: Uint8Array) => Uint8Array | Promise<Uint8Array>;
}

class KeychainWayIn extends WayIn {
  readonly kind = "keychain";
  #keychain: Keychain | undefined;

  constructor(keychain: Keychain) {
    super();
    this.#keychain = keychain;
  }

  override prepare(): void {
    this.#own();
  }

  override async secretFor(slot: ParsedSlot, context: WayInContext): Promise<Uint8Array> {
    const { backend, unprotect } = this.#own();
    const { fields } = slot.header;
    if (fields.kind !== "keychain") throw new TypeError(`slot: expected a keychain slot, got ${fields.kind}`);
    // basic_text protects nothing, whoever says so.
    if (backend === NO_KEYCHAIN || fields.backend !== backend)
      throw changed(fields.backend, backend, context);
    let secret: Uint8Array;
    try {
      secret = await unprotect(copy(fields.protectedSecret));
    } catch (error) {
      throw changed(fields.backend, backend, context, error);
    }
    try {
      assertBytes("unprotect", secret);
      if (secret.length !== KEY_BYTES) throw changed(fields.backend, backend, context);
      return copy(secret);
    } finally {
      if (secret instanceof Uint8Array) wipe(secret);
    }
  }

  /** The keychain gave 32 bytes, and they are not those of the slot. */
  override refusal(_slot: ParsedSlot, context: WayInContext): KeychainChangedError {
    const { backend } = this.#own();
    return changed(backend, backend, context);
  }

  override async enroll(): Promise<Enrolment> {
    const { backend, protect } = assertProtects(this.#own());
    const secret = randomKey();
    try {
      const protectedSecret = await protect(secret);
      assertBytes("protect", protectedSecret);
      if (protectedSecret.length < 1 || protectedSecret.length > MAX_PROTECTED_BYTES) {
        throw new RangeError(
          `protect: expected 1 to ${MAX_PROTECTED_BYTES} bytes, got ${protectedSecret.length}`,
        );
      }
      return { fields: { kind: "keychain", backend, protectedSecret: copy(protectedSecret) }, secret };
    } catch (error) {
      wipe(secret);
      throw error;
    }
  }

  override wipe(): void {
    this.#keychain = undefined;
  }

  static {
    redact(this, "[Keychain]");
  }

  #own(): Keychain {
    if (this.#keychain === undefined) throw usedTwice();
    return this.#keychain;
  }
}

/**
 * Unlocks, or makes a slot, with the operating system's keychain. It adds to other ways in and is never the only
 * one: whoever is logged in as this user opens the vault without being asked.
 * @example
 * keychain({
 *   backend: process.platform === "linux" ? safeStorage.getSelectedStorageBackend() : process.platform,
 *   protect: (secret) => safeStorage.encryptString(Buffer.from(secret).toString("base64")),
 *   unprotect: (bytes) => Buffer.from(safeStorage.decryptString(Buffer.from(bytes)), "base64"),
 * })
 */
export function keychain(options: Keychain): Unlocker {
  const { backend, protect, unprotect } = options;
  if (typeof backend !== "string") throw new TypeError(`backend: expected a string, got ${typeof backend}`);
  if (!isWellFormed(backend) || backend === "" || utf8(backend).length > MAX_NAME_BYTES) {
    throw new RangeError(`backend: expected text of 1 to ${MAX_NAME_BYTES} bytes`);
  }
  if (typeof protect !== "function") throw new TypeError("protect: expected a function");
  if (typeof unprotect !== "function") throw new TypeError("unprotect: expected a function");
  return new KeychainWayIn({ backend, protect, unprotect });
}

function assertProtects(keychain: Keychain): Keychain {
  if (keychain.backend !== NO_KEYCHAIN) return keychain;
  throw new InvalidArgumentError(
    "There is no keychain here: the back end basic_text protects nothing. Use a passphrase, or set up a keychain.",
    { details: { reason: "no-keychain", backend: NO_KEYCHAIN } },
  );
}

function changed(
  made: string,
  found: string,
  { slots = [] }: WayInContext,
  cause?: unknown,
): KeychainChangedError {
  const others = [...new Set(slots.map(({ header }) => header.fields.kind))].filter(
    (kind) => kind !== "keychain" && kind !== "unknown",
  );
  const what =
    made === found
      ? `The keychain (${made}) does not give back what this vault had it protect`
      : `This vault was made to open with the keychain ${printable(made)}, and the one in use is ${found}`;
  const message = `${what}. Open the vault another way (${others.join(", ")}), then replace the keychain's slot.`;
  return new KeychainChangedError(message, {
    ...(cause !== undefined && { cause }),
    details: { backend: printable(made), found, otherWaysIn: others },
  });
}

/** The name comes from a file that nobody has authenticated yet. */
function printable(name: string): string {
  return name.replaceAll(/[^\w.-]/gu, "?");
}
