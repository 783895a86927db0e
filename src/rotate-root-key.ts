/**
 * A new root key for a vault: all ways in are given again, everything is sealed anew, the old root key opens nothing.
 * Source: docs/format.md#root-change [F-140…F-144].
 * @module
 */
import { randomKey } from "./crypto/random.ts";
import { InvalidArgumentError, LimitExceededError } from "./errors.ts";
import { type HeaderSlot, parseSlot } from "./formats/header.ts";
import { newRecovery } from "./keystore/slots/recovery.ts";
import { makeSlot, type Unlocker, vouchingWarning, type WayIn, wayInOf } from "./keystore/slots/way-in.ts";
import { VaultKeys } from "./keystore/vault-keys.ts";
import { MAX_SLOTS } from "./limits.ts";
import type { VaultLocking } from "./vault-locking.ts";
import type { VaultOpening } from "./vault-opening.ts";
import { assertLabel } from "./vault-options.ts";

export interface RotateRootKeyOptions {
  /**
   * All ways in from then on beside the recovery code, in the order in which they are tried. At least one that is no
   * keychain, unless there is a recovery code. Each unlocker is wiped.
   */
  readonly slots: readonly { readonly unlocker: Unlocker; readonly label?: string | undefined }[];
  /** False makes no recovery code. @defaultValue true */
  readonly recoveryCode?: boolean | undefined;
  /** Gives up as long as the old root key counts. */
  readonly signal?: AbortSignal | undefined;
}

export interface RotatedRootKey {
  /** The new code, to show once. A secret; the old one opens nothing. Undefined where it was opted out of. */
  readonly recoveryCode: string | undefined;
  /**
   * True: nothing in the vault's directory opens with the old root key any more. False: it counts no longer, but old
   * files could not be removed, as a warning has said; the next open removes them.
   */
  readonly isOldRootDead: boolean;
}

interface NewWayIn {
  readonly wayIn: WayIn;
  readonly label: string;
}

/** See `Vault.rotateRootKey`. */
export async function rotateRootKey(
  locking: VaultLocking,
  opening: VaultOpening,
  options: RotateRootKeyOptions,
): Promise<RotatedRootKey> {
  const { slots }: { readonly slots: unknown } = options;
  if (underWay.has(locking)) throw isUnderWay();
  if (!Array.isArray(slots)) throw new TypeError("options.slots: expected an array");
  const given = options.slots.map(({ unlocker, label = unlocker.kind }, index): NewWayIn => {
    assertLabel(label);
    return { wayIn: wayInOf(unlocker, `options.slots[${index}].unlocker`), label };
  });
  underWay.add(locking);
  try {
    return await locking.run(async (unlocked) => {
      const { vaultId } = unlocked.database.header;
      const recovery = options.recoveryCode === false ? undefined : newRecovery(vaultId);
      const ways =
        recovery === undefined ? given : [...given, { wayIn: recovery.wayIn, label: "recovery code" }];
      assertWays(ways);
      const { ended } = unlocked;
      const signal = options.signal === undefined ? ended : AbortSignal.any([options.signal, ended]);
      const keys = new VaultKeys(randomKey(), vaultId);
      try {
        const warn = (message: string): void => opening.report({ type: "warning", message });
        const slots: HeaderSlot[] = [];
        for (const { wayIn, label } of ways) {
          signal.throwIfAborted();
          const context = { vaultId, signal, warn };
          const slot = await makeSlot(() => keys.root, wayIn, label, opening.clock(), context);
          // Anchors from before a root change are foreign to the vault afterwards.
          const warning = vouchingWarning(parseSlot(slot).header);
          if (warning !== undefined) warn(warning);
          slots.push(slot);
        }
        const isOldRootDead = await unlocked.changeRoot(keys, slots, signal);
        return { recoveryCode: recovery?.code, isOldRootDead };
      } finally {
        keys.wipe();
      }
    });
  } finally {
    underWay.delete(locking);
    for (const { wayIn } of given) wayIn.wipe();
  }
}

/** Of two at once the ways in of the first would open nothing when it resolves. */
const underWay = new WeakSet<VaultLocking>();

function isUnderWay(): InvalidArgumentError {
  return new InvalidArgumentError(
    "A change of the root key is under way already. Wait for it, and then change it again if that is still wanted.",
    { details: { reason: "under-way" } },
  );
}

function assertWays(ways: readonly NewWayIn[]): void {
  if (ways.length > MAX_SLOTS) {
    throw new LimitExceededError(`A vault has at most ${MAX_SLOTS} slots. Leave some out.`, {
      details: { limit: MAX_SLOTS },
    });
  }
  if (ways.some(({ wayIn }) => wayIn.kind !== "keychain")) return;
  throw new InvalidArgumentError(
    "A vault needs a way in that is no keychain. Give a passphrase, or let a recovery code be made.",
    { details: { reason: "last-slot" } },
  );
}
