/**
 * `vault.slots`: the ways into a vault, each independent of the others.
 * Source: docs/format.md#slots, #commit [F-110], [F-130…F-133].
 * @module
 */
import { hex } from "./bytes.ts";
import { describeSlot, type SlotDescription } from "./describe-vault.ts";
import { InvalidArgumentError, LimitExceededError, NotFoundError } from "./errors.ts";
import { type HeaderSlot, type ParsedSlot, parseSlot } from "./formats/header.ts";
import type { SlotKind } from "./formats/slot-header.ts";
import { newRecovery } from "./keystore/slots/recovery.ts";
import {
  type EnrolledWayIn,
  enrolWayIn,
  type Unlocker,
  vouchingWarning,
  type WayIn,
  wayInOf,
} from "./keystore/slots/way-in.ts";
import type { UnlockedVault } from "./keystore/unlocked-vault.ts";
import { MAX_SLOTS } from "./limits.ts";
import { redact } from "./secret.ts";
import type { VaultLocking } from "./vault-locking.ts";
import type { VaultOpening } from "./vault-opening.ts";
import { assertLabel } from "./vault-options.ts";

/** What a slot is called, and what may stop its making. */
export interface SlotOptions {
  /** A name for people, at most 255 bytes of UTF-8. It can be read without any secret. @defaultValue the kind */
  readonly label?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A new recovery slot. */
export interface AddedRecovery {
  readonly slot: SlotDescription;
  /** A secret: it opens the vault alone. Show it once; it is kept nowhere. */
  readonly recoveryCode: string;
}

/**
 * The ways into a vault, 1 to 16. Every method needs the vault unlocked, and what it changes is durable when it
 * resolves. Every method @throws LockedError, also when the vault is locked while it runs; changes @throws IoError.
 */
export class VaultSlots {
  readonly #locking: VaultLocking;
  readonly #opening: VaultOpening;

  /** The vault makes its own. */
  constructor(locking: VaultLocking, opening: VaultOpening) {
    this.#locking = locking;
    this.#opening = opening;
  }

  /** Lists all slots in the order in which they are tried. Authenticated, and free of secrets. */
  async list(): Promise<SlotDescription[]> {
    return this.#locking.unlocked().database.header.slots.map(describeSlot);
  }

  /**
   * Adds a way in, behind the others. A passphrase is measured on this machine first, which takes about a second. A
   * token must be there: its key is tried once, so that its PIN is asked for.
   * @throws LimitExceededError for the 17th slot or a label that is too long. @throws InvalidArgumentError for a
   *   recovery code, which {@link VaultSlots.addRecovery} makes itself, or a keychain that protects nothing.
   */
  async add(unlocker: Unlocker, options: SlotOptions = {}): Promise<SlotDescription> {
    return this.#enrol(wayInOf(unlocker, "unlocker"), options, assertRoom, (slots, slot) => [...slots, slot]);
  }

  /**
   * Makes a new recovery code and a slot for it. Older codes stay good until their slots are removed.
   * @throws LimitExceededError
   */
  async addRecovery(options: SlotOptions = {}): Promise<AddedRecovery> {
    const { vaultId } = this.#locking.unlocked().database.header;
    const { wayIn, code } = newRecovery(vaultId);
    const slot = await this.add(wayIn, { label: "recovery code", ...options });
    return { slot, recoveryCode: code };
  }

  /**
   * Removes a way in. Its bytes are then in no file of the vault. Copies that somebody made before still open with
   * its secret, and so give the root key: where that matters, follow with `rotateRootKey`.
   * @throws NotFoundError. @throws InvalidArgumentError reason `last-slot` for the last one, and for the last one
   *   beside a keychain.
   */
  async remove(slotId: string): Promise<void> {
    await this.#locking.run(async (unlocked) => {
      await this.#commit(unlocked, (slots) => {
        const removed = slotOf(slots, slotId);
        const rest = slots.filter((slot) => slot !== removed);
        assertNotAlone(rest);
        return rest;
      });
      this.#warn(unlocked);
    });
  }

  /**
   * Puts a new way in into the place of another, of any kind, in one step: a changed passphrase, for instance. The
   * label stays unless another is given, the id is a new one. What {@link VaultSlots.remove} says of copies holds.
   * @throws NotFoundError, and what {@link VaultSlots.add} throws. @throws InvalidArgumentError reason `last-slot`
   *   where nothing but keychains would be left.
   */
  async replace(slotId: string, unlocker: Unlocker, options: SlotOptions = {}): Promise<SlotDescription> {
    const wayIn = wayInOf(unlocker, "unlocker");
    try {
      const { label } = slotOf(this.#locking.unlocked().database.header.slots, slotId);
      const check = (slots: readonly ParsedSlot[]): void => {
        const replaced = slotOf(slots, slotId);
        if (!standsAlone(wayIn.kind)) assertNotAlone(slots.filter((slot) => slot !== replaced));
      };
      return await this.#enrol(wayIn, { label, ...options }, check, (slots, slot) => {
        const replaced = slotOf(slots, slotId);
        return slots.map((each) => (each === replaced ? slot : each));
      });
    } finally {
      wayIn.wipe();
    }
  }

  /** Gives a slot another label. @throws NotFoundError, LimitExceededError. */
  async setLabel(slotId: string, label: string): Promise<void> {
    assertLabel(label);
    await this.#locking.run((unlocked) =>
      this.#commit(unlocked, (slots) => {
        const named = slotOf(slots, slotId);
        return slots.map((slot) => (slot === named ? { ...slot, label } : slot));
      }),
    );
  }

  static {
    redact(this, "[VaultSlots]");
  }

  async #enrol(
    wayIn: WayIn,
    { label = wayIn.kind, signal }: SlotOptions,
    check: (slots: readonly ParsedSlot[]) => void,
    place: (slots: readonly ParsedSlot[], slot: ParsedSlot) => readonly ParsedSlot[],
  ): Promise<SlotDescription> {
    try {
      assertLabel(label);
      return await this.#locking.run(async (unlocked) => {
        const { ended } = unlocked;
        const { vaultId, slots } = unlocked.database.header;
        // Refused before the way in costs anything, and again when its turn has come.
        check(slots);
        const enrolled = await enrolWayIn(wayIn, label, this.#opening.clock(), {
          vaultId,
          signal: signal === undefined ? ended : AbortSignal.any([signal, ended]),
          warn: (message) => this.#opening.report({ type: "warning", message }),
        });
        const slot = await this.#commitSlot(unlocked, enrolled, (present, made) => {
          check(present);
          return place(present, made);
        });
        const warning = this.#opening.hasAnchor ? undefined : vouchingWarning(slot.header);
        if (warning !== undefined) this.#opening.report({ type: "warning", message: warning });
        this.#warn(unlocked);
        return describeSlot(slot);
      });
    } finally {
      wayIn.wipe();
    }
  }

  /** The root key may have changed since the call began: the slot is sealed in the moment that it counts from. */
  async #commitSlot(
    unlocked: UnlockedVault,
    enrolled: EnrolledWayIn,
    plan: (slots: readonly ParsedSlot[], slot: ParsedSlot) => readonly HeaderSlot[],
  ): Promise<ParsedSlot> {
    try {
      let slot!: ParsedSlot;
      await this.#commit(unlocked, (slots) => {
        slot = parseSlot(enrolled.seal(unlocked.root()));
        return plan(slots, slot);
      });
      return slot;
    } finally {
      enrolled.wipe();
    }
  }

  async #commit(
    unlocked: UnlockedVault,
    plan: (slots: readonly ParsedSlot[]) => readonly HeaderSlot[],
  ): Promise<void> {
    await unlocked.database.changeSlots((slots) => {
      unlocked.ended.throwIfAborted();
      return plan(slots);
    });
  }

  #warn(unlocked: UnlockedVault): void {
    const message = warningOf(unlocked.database.header.slots);
    if (message !== undefined) this.#opening.report({ type: "warning", message });
  }
}

function slotOf(slots: readonly ParsedSlot[], slotId: string): ParsedSlot {
  if (typeof slotId !== "string") throw new TypeError(`slotId: expected a string, got ${typeof slotId}`);
  const slot = slots.find(({ header }) => hex(header.id) === slotId.toLowerCase());
  if (slot !== undefined) return slot;
  throw new NotFoundError("This vault has no slot with this id. See slots.list for those that it has.");
}

function assertRoom(slots: readonly ParsedSlot[]): void {
  if (slots.length < MAX_SLOTS) return;
  throw new LimitExceededError(`A vault has at most ${MAX_SLOTS} slots. Remove one first.`, {
    details: { limit: MAX_SLOTS },
  });
}

/** What opens the vault by itself and on any machine. A slot of a later version may be anything. */
function standsAlone(kind: SlotKind): boolean {
  return kind !== "keychain" && kind !== "unknown";
}

function kindsOf(slots: readonly ParsedSlot[]): SlotKind[] {
  return slots.map(({ header }) => header.fields.kind);
}

function assertNotAlone(left: readonly ParsedSlot[]): void {
  if (kindsOf(left).some(standsAlone)) return;
  throw new InvalidArgumentError(
    left.length === 0
      ? "The last way into a vault cannot be removed. Add another one first."
      : "A keychain cannot be the only way into a vault. Add a passphrase or a recovery code first.",
    { details: { reason: "last-slot" } },
  );
}

function warningOf(slots: readonly ParsedSlot[]): string | undefined {
  const kinds = kindsOf(slots);
  if (kinds.filter(standsAlone).length === 1) {
    return "One way into this vault is left. Lose it, and everything in the vault is lost: add a recovery code.";
  }
  return kinds.includes("recovery")
    ? undefined
    : "This vault has no recovery code. Add one, and keep it apart from the machine.";
}
