/**
 * A way into a vault: what every kind of unlocker does, and how a header's slots are tried with one.
 * Source: docs/format.md#slots.
 * @module
 */
import { hex } from "../../bytes.ts";
import { randomId } from "../../crypto/random.ts";
import { AuthenticationError } from "../../crypto/failures.ts";
import { InvalidArgumentError, WrongSecretError } from "../../errors.ts";
import {
  type HeaderSlot,
  openSlot,
  type ParsedHeader,
  type ParsedSlot,
  sealSlot,
} from "../../formats/header.ts";
import { encodeSlotHeader, type SlotFields, type UnknownFields } from "../../formats/slot-header.ts";
import { wipe } from "../../secret.ts";

/**
 * Opens a vault, or becomes a slot of it: what `passphrase(…)` and `recovery(…)` return. It holds a secret,
 * serves once and is then wiped.
 */
export interface Unlocker {
  readonly kind: "passphrase" | "recovery";
}

/** What a slot kind needs from its surroundings. */
export interface WayInContext {
  readonly vaultId: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  /** Says what the user should know and nothing fails for. */
  readonly warn: (message: string) => void;
}

/** Fields and secret of a new slot. The secret is the caller's to wipe. */
export interface Enrolment {
  readonly fields: Exclude<SlotFields, UnknownFields>;
  readonly secret: Uint8Array;
}

/** The working side of an {@link Unlocker}. */
export abstract class WayIn implements Unlocker {
  abstract readonly kind: Unlocker["kind"];

  /** Checks everything that must hold before the first slot costs anything. */
  abstract prepare(slots: readonly ParsedSlot[], context: WayInContext): void;

  /** Returns the slot's secret S as this way in has it, right or wrong. The caller wipes it. */
  abstract secretFor(slot: ParsedSlot, context: WayInContext): Promise<Uint8Array>;

  /** Makes the fields and the secret of a new slot. */
  abstract enroll(context: WayInContext): Promise<Enrolment>;

  /** Wipes the secret. Idempotent. */
  abstract wipe(): void;
}

/** Returns the working side. @throws TypeError for anything that no function of this package made. */
export function wayInOf(unlocker: Unlocker, argument: string): WayIn {
  if (unlocker instanceof WayIn) return unlocker;
  throw new TypeError(`${argument}: expected passphrase(…) or recovery(…)`);
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
    const slots = header.slots.filter((slot) => slot.header.fields.kind === wayIn.kind);
    wayIn.prepare(slots, context);
    for (const slot of slots) {
      context.signal?.throwIfAborted();
      const secret = await wayIn.secretFor(slot, context);
      try {
        return { root: openSlot(secret, context.vaultId, slot), slotId: hex(slot.header.id) };
      } catch (error) {
        if (!(error instanceof AuthenticationError)) throw error;
      } finally {
        wipe(secret);
      }
    }
    throw new WrongSecretError("The secret opens no slot of this vault. Check it, or use another way in.");
  } finally {
    wayIn.wipe();
  }
}

/** Makes a slot that seals `root` for this way in, which is wiped. */
export async function makeSlot(
  root: Uint8Array,
  wayIn: WayIn,
  label: string,
  createdAtMs: number,
  context: WayInContext,
): Promise<HeaderSlot> {
  try {
    const { fields, secret } = await wayIn.enroll(context);
    try {
      const headerBytes = encodeSlotHeader({ id: randomId(), createdAtMs, fields });
      return { headerBytes, sealed: sealSlot(secret, context.vaultId, headerBytes, root), label };
    } finally {
      wipe(secret);
    }
  } finally {
    wayIn.wipe();
  }
}
