/**
 * What a vault tells its application beside the answers to calls.
 * @module
 */

/** Something found or not quite done, in a sentence that says what to do. No secret and no path from a file. */
export interface VaultNotice {
  /** `damage`: files were altered or lost, and healed or worked around. `warning`: worth a user's attention. */
  readonly type: "damage" | "warning";
  readonly message: string;
}

/** Why a vault is locked: by `lock`, by `close`, unused for too long, or unlocked for too long. */
export type LockReason = "requested" | "closed" | "idle" | "absolute";

/** Events and what their listeners are given. */
export interface VaultEvents {
  /** The keys are wiped. */
  readonly lock: { readonly reason: LockReason };
  readonly unlock: undefined;
  readonly damage: VaultNotice;
  readonly warning: VaultNotice;
}

export type VaultEventName = keyof VaultEvents;
export type VaultListener<Name extends VaultEventName> = (event: VaultEvents[Name]) => void;

/** Listeners by event. A listener that throws fails alone, as an uncaught exception, and stops nothing of ours. */
export class VaultEmitter {
  readonly #listeners = new Map<VaultEventName, Set<(event: never) => void>>();

  on<Name extends VaultEventName>(name: Name, listener: VaultListener<Name>): void {
    const listeners = this.#listeners.get(name) ?? new Set();
    listeners.add(listener);
    this.#listeners.set(name, listeners);
  }

  off<Name extends VaultEventName>(name: Name, listener: VaultListener<Name>): void {
    this.#listeners.get(name)?.delete(listener);
  }

  emit<Name extends VaultEventName>(name: Name, event: VaultEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      queueMicrotask(() => (listener as VaultListener<Name>)(event));
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
