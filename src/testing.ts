/**
 * `coffer/testing`: vaults in memory, a clock that stands still, and passphrases that cost nothing, so that an
 * application's tests take milliseconds. The vaults are the real thing but for where their bytes lie.
 * Never for real secrets: nothing is durable, and a cheap passphrase is guessed at once.
 * @module
 */
import { join, resolve } from "node:path";
import type { TimeSource } from "./auto-lock.ts";
import { hex } from "./bytes.ts";
import { randomId } from "./crypto/random.ts";
import { describeVaultIn, type VaultDescription } from "./describe-vault.ts";
import { passphraseWith } from "./keystore/slots/passphrase.ts";
import type { Unlocker } from "./keystore/slots/way-in.ts";
import { type RestoredVault, restoreVaultIn } from "./restore-vault.ts";
import { nodeCalls } from "./storage/file-system-calls.ts";
import { createFileSystem } from "./storage/file-system.ts";
import { memoryEngines } from "./storage/memory-engine.ts";
import { memoryFileCalls } from "./storage/memory-file-calls.ts";
import {
  type CreatedVault,
  type CreatedVaultWithoutRecovery,
  createVaultIn,
  openVaultIn,
  type Vault,
} from "./vault.ts";
import type { VaultEnvironment } from "./vault-opening.ts";
import {
  assertDirectory,
  type CreateVaultOptions,
  type OpenVaultOptions,
  type RestoreVaultOptions,
} from "./vault-options.ts";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };

/**
 * As `passphrase(…)`, with an Argon2id of 8 KiB and one pass: makes and opens slots in microseconds. Opens such slots
 * and real ones; `passphrase(…)` refuses such slots.
 */
export function cheapPassphrase(secret: string | Uint8Array): Unlocker {
  return passphraseWith(secret, { cost: CHEAP, floor: CHEAP });
}

/** A clock that stands still until it is told to go on. */
export class ManualClock {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  /** @param startMs milliseconds since 1970. */
  constructor(startMs: number) {
    this.#wallMs = startMs;
  }

  /** The present time, in milliseconds since 1970; can be passed on as it is. */
  readonly now = (): number => this.#wallMs;

  /** Lets time pass, and vaults lock themselves whose time has come. */
  advance(ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`ms: expected 0 or more, got ${ms}`);
    const endMs = this.#monotonicMs + ms;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > endMs) break;
      this.#timers.delete(next);
      this.#pass(Math.max(0, next.atMs - this.#monotonicMs));
      next.callback();
    }
    this.#pass(endMs - this.#monotonicMs);
  }

  /** Sets the wall clock, as a person may: no time passes by it. */
  set(wallMs: number): void {
    this.#wallMs = wallMs;
  }

  /** For vaults. What somebody waits for, such as the next try after a wrong secret, comes at once. */
  get time(): TimeSource {
    return {
      monotonicMs: () => this.#monotonicMs,
      timer: (callback, delayMs, isIdle) => {
        if (!isIdle) {
          const soon = setImmediate(callback);
          return () => clearImmediate(soon);
        }
        const timer = { atMs: this.#monotonicMs + delayMs, callback };
        this.#timers.add(timer);
        return () => this.#timers.delete(timer);
      },
    };
  }

  #pass(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }
}

/** The functions of `coffer` that begin with a directory, on directories in memory. */
export interface MemoryVaults {
  readonly createVault: (
    directory: string,
    options: CreateVaultOptions,
  ) => Promise<CreatedVault | CreatedVaultWithoutRecovery>;
  readonly openVault: (directory: string, options: OpenVaultOptions) => Promise<Vault>;
  /** The backup is a real file. */
  readonly restoreVault: (
    file: string,
    directory: string,
    options: RestoreVaultOptions,
  ) => Promise<RestoredVault>;
  readonly describeVault: (directory: string) => Promise<VaultDescription>;
}

/**
 * Makes room for vaults in memory. Directories are names of any form, apart from those of other calls. What is
 * encrypted to files, and backups, are real files.
 * @param options.clock also locks by time. @defaultValue the real clock
 * @example
 * const clock = new ManualClock(Date.UTC(2030, 0, 1));
 * const vaults = memoryVaults({ clock });
 * const { vault } = await vaults.createVault("my.vault", { unlock: cheapPassphrase("secret") });
 */
export function memoryVaults(options: { readonly clock?: ManualClock } = {}): MemoryVaults {
  const { clock } = options;
  const root = resolve("/", `coffer-memory-${hex(randomId())}`);
  const fs = createFileSystem(memoryFileCalls(root, nodeCalls, clock?.now));
  const environment: VaultEnvironment = {
    fs,
    openEngine: memoryEngines(fs),
    ...(clock && { time: clock.time }),
  };
  const place = (directory: string): string => {
    assertDirectory(directory);
    return join(root, encodeURIComponent(resolve(directory)));
  };
  const timed = <T extends { readonly clock?: () => number }>(given: T): T =>
    clock === undefined ? given : { clock: clock.now, ...given };
  return {
    createVault: async (directory, given) => createVaultIn(environment, place(directory), timed(given)),
    openVault: async (directory, given) => openVaultIn(environment, place(directory), timed(given)),
    restoreVault: async (file, directory, given) =>
      restoreVaultIn(environment, file, place(directory), given),
    describeVault: async (directory) => describeVaultIn(fs, place(directory)),
  };
}
