/**
 * Locks a vault by time: unused for too long, or unlocked for too long. Time is what either clock says has passed,
 * whichever says more: the monotonic one stands still while a machine sleeps, and the wall clock can be set back.
 * @module
 */
import type { LockReason } from "./vault-events.ts";

/** When a vault locks itself. Without either, never. */
export interface AutoLockOptions {
  /** Milliseconds without use, 1 or more. A running operation counts as use. */
  readonly idleMs?: number | undefined;
  /** Milliseconds since it was unlocked, 1 or more, whatever is running. */
  readonly absoluteMs?: number | undefined;
}

/** Clock and timer of the process; others than the system's are for tests. */
export interface TimeSource {
  /** Milliseconds from any moment on; never falls. */
  readonly monotonicMs: () => number;
  /** Calls back once, after `delayMs`; with `isIdle`, without keeping the process alive. @returns what cancels it. */
  readonly timer: (callback: () => void, delayMs: number, isIdle: boolean) => () => void;
}

export const SYSTEM_TIME: TimeSource = {
  monotonicMs: () => performance.now(),
  timer(callback, delayMs, isIdle) {
    const timer = setTimeout(callback, Math.min(delayMs, MAX_TIMER_MS));
    if (isIdle) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** A longer delay fires at once in every runtime. */
const MAX_TIMER_MS = 2_147_483_647;
/** A timer stands still while the machine sleeps: so long after it wakes the clocks are looked at. */
const LOOK_EVERY_MS = 10_000;

export interface AutoLockHost {
  readonly time: TimeSource;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** True while the vault works. */
  readonly isBusy: () => boolean;
  /** Called once when a limit has passed. */
  readonly lock: (reason: LockReason) => void;
}

export class AutoLock {
  readonly #limits: AutoLockOptions;
  readonly #host: AutoLockHost;
  #isOn = false;
  #lastMonotonicMs = 0;
  #lastWallMs = 0;
  #unusedMs = 0;
  #unlockedMs = 0;
  #cancel: () => void = () => undefined;

  constructor(limits: AutoLockOptions, host: AutoLockHost) {
    this.#limits = limits;
    this.#host = host;
  }

  /** Begins to count: the vault was unlocked. */
  start(): void {
    const { idleMs, absoluteMs } = this.#limits;
    if (idleMs === undefined && absoluteMs === undefined) return;
    this.#isOn = true;
    this.#lastMonotonicMs = this.#host.time.monotonicMs();
    this.#lastWallMs = this.#host.wallMs();
    this.#unusedMs = 0;
    this.#unlockedMs = 0;
    this.#arm();
  }

  /** Ends counting: the vault is locked. */
  stop(): void {
    this.#isOn = false;
    this.#cancel();
  }

  /** Counts as use, unless a limit has passed: then the vault is locked when this returns. */
  use(): void {
    if (!this.#isOn || this.#hasExpired()) return;
    this.#unusedMs = 0;
  }

  #hasExpired(): boolean {
    const { idleMs = Number.POSITIVE_INFINITY, absoluteMs = Number.POSITIVE_INFINITY } = this.#limits;
    this.#count();
    if (this.#unlockedMs < absoluteMs && this.#unusedMs < idleMs) return false;
    const reason = this.#unlockedMs >= absoluteMs ? "absolute" : "idle";
    this.stop();
    this.#host.lock(reason);
    return true;
  }

  /** Adds what has passed since the last look: by steps, so that a clock that was set back hides no later sleep. */
  #count(): void {
    const monotonicMs = this.#host.time.monotonicMs();
    const wallMs = this.#host.wallMs();
    const passedMs = Math.max(monotonicMs - this.#lastMonotonicMs, wallMs - this.#lastWallMs, 0);
    this.#lastMonotonicMs = monotonicMs;
    this.#lastWallMs = wallMs;
    this.#unlockedMs += passedMs;
    this.#unusedMs = this.#host.isBusy() ? 0 : this.#unusedMs + passedMs;
  }

  #arm(): void {
    const { idleMs = LOOK_EVERY_MS, absoluteMs = LOOK_EVERY_MS } = this.#limits;
    const leftMs = Math.min(idleMs - this.#unusedMs, absoluteMs - this.#unlockedMs, LOOK_EVERY_MS);
    const look = (): void => {
      if (this.#isOn && !this.#hasExpired()) this.#arm();
    };
    this.#cancel = this.#host.time.timer(look, Math.max(1, Math.ceil(leftMs)), true);
  }
}
