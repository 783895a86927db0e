/**
 * A way into a vault: what every kind of unlocker does, and how a header's slots are tried with one.
 * Source: docs/format.md#slots.
 * @module
 */
import { hex } from "../../bytes.ts";
import { randomFor, randomId } from "../../crypto/random.ts";
import { AuthenticationError } from "../../crypto/failures.ts";
import {
  type CofferError,
  InvalidArgumentError,
  isCofferError,
  KeychainChangedError,
  WrongSecretError,
} from "../../errors.ts";
import {
  type HeaderSlot,
  openSlot,
  type ParsedHeader,
  type ParsedSlot,
  SEALED_ROOT_BYTES,
  sealSlot,
} from "../../formats/header.ts";
import {
  encodeSlotHeader,
  parseSlotHeader,
  type SlotFields,
  type SlotHeader,
  type SlotKind,
  type UnknownFields,
} from "../../formats/slot-header.ts";
import { wipe } from "../../secret.ts";

/** Kinds of slot that this release can make or open. */
export type UnlockerKind = Exclude<SlotKind, "unknown">;

/**
 * Opens a vault, or becomes a slot of it: what `passphrase(…)`, `recovery(…)`, `pkcs11(…)`, `combined(…)` and
 * `keychain(…)` return. It holds a secret, serves once and is then wiped.
 */
export interface Unlocker {
  readonly kind: UnlockerKind;
}

/** What a slot kind needs from its surroundings. */
export interface WayInContext {
  readonly vaultId: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  /** Says what the user should know and nothing fails for. */
  readonly warn: (message: string) => void;
  /** Kinds and labels of all the vault's slots, for a message that names the other ways in. */
  readonly slots?: readonly ParsedSlot[];
}

/** Fields of a slot that this release writes. */
export type KnownFields = Exclude<SlotFields, UnknownFields>;

/** Fields and secret of a new slot. The secret is the caller's to wipe. */
export interface Enrolment {
  readonly fields: KnownFields;
  readonly secret: Uint8Array;
}

/** The working side of an {@link Unlocker}. */
export abstract class WayIn implements Unlocker {
  abstract readonly kind: Unlocker["kind"];

  /** True for a slot that this way in may open. */
  fits(fields: SlotFields): boolean {
    return fields.kind === this.kind;
  }

  /**
   * Fields of a slot that does not exist. It is tried where no slot fits, so that this takes the same calls as a
   * wrong secret does. Undefined where trying costs nothing that could be told apart.
   */
  decoyFields(): KnownFields | undefined {
    return undefined;
  }

  /** Checks everything that must hold before the first slot costs anything. */
  abstract prepare(slots: readonly ParsedSlot[], context: WayInContext): void;

  /**
   * Returns the slot's secret S as this way in has it, right or wrong. The caller wipes it.
   * @throws KeychainChangedError, TokenError of {@link isAbsence} for this slot alone: the next one is tried.
   */
  abstract secretFor(slot: ParsedSlot, context: WayInContext): Promise<Uint8Array>;

  /** Why a slot did not open, where this kind knows better than "wrong secret". */
  refusal(_slot: ParsedSlot, _context: WayInContext): Error | undefined {
    return undefined;
  }

  /** Makes the fields and the secret of a new slot. */
  abstract enroll(context: WayInContext): Promise<Enrolment>;

  /** Wipes the secret. Idempotent. */
  abstract wipe(): void;
}

/** Returns the working side. @throws TypeError for anything that no function of this package made. */
export function wayInOf(unlocker: Unlocker, argument: string): WayIn {
  if (unlocker instanceof WayIn) return unlocker;
  throw new TypeError(
    `${argument}: expected passphrase(…), recovery(…), pkcs11(…), combined(…) or keychain(…)`,
  );
}

/** @throws InvalidArgumentError: an unlocker serves once. */
export function usedTwice(): InvalidArgumentError {
  return new InvalidArgumentError(
    "This unlocker was used before and its secret is wiped. Make a new one for each call.",
    { details: { reason: "used-twice" } },
  );
}

/**
 * Tries the slots of the unlocker's kind in order, and returns the root key of the first that opens. Wipes the
 * unlocker in any case.
 * @throws WrongSecretError when none opens, whichever slots there are: the answer tells no more.
 */
export async function openRoot(
  header: Pick<ParsedHeader, "slots">,
  wayIn: WayIn,
  context: WayInContext,
): Promise<{ readonly root: Uint8Array; readonly slotId: string }> {
  try {
    const known = { ...context, slots: header.slots };
    const fitting = header.slots.filter((slot) => wayIn.fits(slot.header.fields));
    const slots = fitting.length > 0 ? fitting : decoysOf(wayIn);
    wayIn.prepare(slots, known);
    let refusal: Error | undefined;
    let absence: Error | undefined;
    let wasTried = false;
    for (const slot of slots) {
      context.signal?.throwIfAborted();
      let secret: Uint8Array | undefined;
      try {
        secret = await wayIn.secretFor(slot, known);
        return { root: openSlot(secret, context.vaultId, slot), slotId: hex(slot.header.id) };
      } catch (error) {
        if (error instanceof AuthenticationError) {
          wasTried = true;
          refusal ??= wayIn.refusal(slot, known);
          // The token had the key and worked: who made such a slot shall not have it work again.
          if (wayIn.kind === "pkcs11") break;
        } else if (error instanceof KeychainChangedError) refusal = error;
        else if (isAbsence(error)) absence ??= error;
        else throw error;
      } finally {
        wipe(secret);
      }
    }
    if (refusal !== undefined) throw refusal;
    if (absence !== undefined && !wasTried) throw absence;
    throw new WrongSecretError("The secret opens no slot of this vault. Check it, or use another way in.");
  } finally {
    wayIn.wipe();
  }
}

/** The token of this slot is not there, or cannot be known from another without a name: nothing was asked of anybody. */
export function isAbsence(error: unknown): error is CofferError {
  if (isCofferError(error, "COFFER_TOKEN_KEY_NOT_FOUND")) return true;
  return isCofferError(error, "COFFER_TOKEN_AMBIGUOUS") && error.reason === "unnamed";
}

/** A slot that nothing opens, as costly to try as a real one of this way in [F-134]. */
function decoysOf(wayIn: WayIn): ParsedSlot[] {
  const fields = wayIn.decoyFields();
  if (fields === undefined) return [];
  const headerBytes = encodeSlotHeader({ id: randomId(), createdAtMs: 0, fields });
  const header = parseSlotHeader(headerBytes);
  return [{ headerBytes, header, sealed: randomFor(SEALED_ROOT_BYTES), label: "" }];
}

/**
 * Makes a slot that seals the root key for this way in, which is wiped.
 * @param root lends the root key at the moment of sealing; it throws when the vault was locked meanwhile.
 */
export async function makeSlot(
  root: () => Uint8Array,
  wayIn: WayIn,
  label: string,
  createdAtMs: number,
  context: WayInContext,
): Promise<HeaderSlot> {
  const enrolled = await enrolWayIn(wayIn, label, createdAtMs, context);
  try {
    return enrolled.seal(root());
  } finally {
    enrolled.wipe();
  }
}

/** A way in that was tried once, and seals a root key for itself. Who holds it wipes it. */
export interface EnrolledWayIn {
  /** Returns the slot. Quick, so that it can be done in the moment in which the slot gets into the header. */
  seal(root: Uint8Array): HeaderSlot;
  wipe(): void;
}

/** Takes a way in, which is wiped, as far as that needs no root key. */
export async function enrolWayIn(
  wayIn: WayIn,
  label: string,
  createdAtMs: number,
  { vaultId, ...context }: WayInContext,
): Promise<EnrolledWayIn> {
  try {
    const { fields, secret } = await wayIn.enroll({ vaultId, ...context });
    const headerBytes = encodeSlotHeader({ id: randomId(), createdAtMs, fields });
    return {
      seal: (root) => ({ headerBytes, sealed: sealSlot(secret, vaultId, headerBytes, root), label }),
      wipe: () => wipe(secret),
    };
  } finally {
    wayIn.wipe();
  }
}

/**
 * Returns what to tell of a slot that a token's public key alone was enough to make, where nothing else vouches for the
 * vault: neither a passphrase in the same slot, nor an anchor, nor the key of an HSM that nobody else can use.
 */
export function vouchingWarning({ fields }: SlotHeader): string | undefined {
  if (fields.kind !== "pkcs11" || fields.algorithm === "aes-256-gcm") return undefined;
  return "A token alone does not vouch for a vault: who can write its directory can put another there that the same token opens. Open it with an anchor, or combine the token with a passphrase.";
}
