/**
 * The recovery slot: 32 random bytes, shown once as a code that finds its own typing errors. No KDF is needed.
 * Source: docs/format.md#recovery-code.
 * @module
 */
import { copy, equal } from "../../bytes.ts";
import { randomKey } from "../../crypto/random.ts";
import { InvalidArgumentError } from "../../errors.ts";
import { vaultHint } from "../../formats/key-schedule.ts";
import { decodeRecoveryCode, encodeRecoveryCode } from "../../formats/recovery-code.ts";
import type { RecoveryFields } from "../../formats/slot-header.ts";
import { redact, Secret } from "../../secret.ts";
import type { ParsedSlot } from "../../formats/header.ts";
import { type Enrolment, type Unlocker, usedTwice, WayIn, type WayInContext } from "./way-in.ts";

class Recovery extends WayIn {
  readonly kind = "recovery";
  readonly #key: Secret;
  /** Undefined: a new key, made for the vault that it enrols in. */
  readonly #hint: Uint8Array | undefined;

  constructor(key: Uint8Array, hint?: Uint8Array) {
    super();
    this.#key = new Secret(key);
    this.#hint = hint;
  }

  override decoyFields(): RecoveryFields {
    return { kind: "recovery" };
  }

  override prepare(_slots: readonly ParsedSlot[], { vaultId }: WayInContext): void {
    if (this.#key.isWiped) throw usedTwice();
    if (this.#hint === undefined || equal(this.#hint, vaultHint(vaultId))) return;
    throw new InvalidArgumentError(
      "The recovery code is of another vault. Use the code that belongs to this one.",
      {
        details: { reason: "other-vault" },
      },
    );
  }

  override async secretFor(): Promise<Uint8Array> {
    return copy(this.#key.bytes);
  }

  override async enroll(): Promise<Enrolment> {
    if (this.#key.isWiped) throw usedTwice();
    if (this.#hint !== undefined) {
      throw new InvalidArgumentError(
        "A recovery code is made for one vault and cannot be given to another. Leave it out, and a new one is made.",
      );
    }
    return { fields: { kind: "recovery" }, secret: copy(this.#key.bytes) };
  }

  override wipe(): void {
    this.#key.wipe();
  }

  static {
    redact(this, "[Recovery]");
  }
}

/**
 * Unlocks with a recovery code. Case, spaces and hyphens do not matter, and O, I, L are read as 0, 1, 1.
 * @throws InvalidArgumentError reason `typo`, at once and without any KDF; later, when it opens a vault, reason
 *   `other-vault`.
 */
export function recovery(code: string | Uint8Array): Unlocker {
  const { hint, key } = decodeRecoveryCode(code);
  return new Recovery(key, hint);
}

/** Makes a new recovery key for a vault: the way in to enrol, and the code to show once. */
export function newRecovery(vaultId: Uint8Array): { readonly wayIn: WayIn; readonly code: string } {
  const key = randomKey();
  return { wayIn: new Recovery(key), code: encodeRecoveryCode(vaultHint(vaultId), key) };
}
