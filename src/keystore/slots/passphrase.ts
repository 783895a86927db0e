/**
 * The passphrase slot: Argon2id with a salt and a cost of its own.
 * Source: RFC 9106 §4; docs/format.md#slots, #passphrases.
 * @module
 */
import {
  type Argon2Cost,
  type Argon2Floor,
  ARGON2_FLOOR,
  argon2id,
  argon2Implementation,
  assertArgon2Cost,
  assertMemoryAvailable,
} from "../../crypto/argon2id.ts";
import { randomKey } from "../../crypto/random.ts";
import { KdfLimitError } from "../../errors.ts";
import type { ParsedSlot } from "../../formats/header.ts";
import type { PassphraseFields } from "../../formats/slot-header.ts";
import { normalizePassphrase, passphraseBytes } from "../../formats/passphrase-text.ts";
import { ARGON2_CALIBRATION_MAX_MEMORY_KIB, ARGON2_MAX_MEMORY_KIB, ARGON2_MAX_PASSES } from "../../limits.ts";
import { redact, Secret } from "../../secret.ts";
import { type Enrolment, type Unlocker, usedTwice, WayIn, type WayInContext } from "./way-in.ts";

const SECRET_BYTES = 32;
/** How long an unlock should take on the machine that makes the slot. */
const TARGET_MS = 500;
const LANES = 4;

/** How a passphrase slot is made and read; other values than the defaults are for tests. */
export interface PassphraseSettings {
  /** The cost of a new slot, in place of a calibrated one. */
  readonly cost?: Argon2Cost;
  /** The least cost accepted from a header. @defaultValue 64 MiB, 3 passes */
  readonly floor?: Argon2Floor;
  /** Monotonic milliseconds, for calibration. */
  readonly monotonicMs?: () => number;
  /** The derivation itself. @defaultValue argon2id of crypto/ */
  readonly derive?: typeof argon2id;
}

class Passphrase extends WayIn {
  readonly kind = "passphrase";
  readonly #secret: Secret;
  readonly #settings: PassphraseSettings;

  constructor(secret: Secret, settings: PassphraseSettings) {
    super();
    this.#secret = secret;
    this.#settings = settings;
  }

  override decoyFields(): PassphraseFields {
    const cost = this.#settings.cost ?? { ...ARGON2_FLOOR, lanes: LANES };
    return { kind: "passphrase", ...cost, salt: randomKey() };
  }

  override prepare(slots: readonly ParsedSlot[]): void {
    if (this.#secret.isWiped) throw usedTwice();
    let work = 0;
    for (const slot of slots) {
      const { cost } = fieldsOf(slot);
      assertArgon2Cost(cost, this.#settings.floor);
      assertMemoryAvailable(cost);
      work += cost.memoryKiB * cost.passes;
    }
    // A header is hostile until it authenticates: sixteen slots must not cost sixteen times what one may.
    if (work <= ARGON2_MAX_MEMORY_KIB * ARGON2_MAX_PASSES) return;
    throw new KdfLimitError(
      "The passphrase slots of this vault ask for more work than any vault needs. Use another way in, or restore a backup.",
      { details: { work, limit: ARGON2_MAX_MEMORY_KIB * ARGON2_MAX_PASSES } },
    );
  }

  override async secretFor(slot: ParsedSlot, context: WayInContext): Promise<Uint8Array> {
    const { cost, salt } = fieldsOf(slot);
    return this.#derive(cost, salt, context);
  }

  override async enroll(context: WayInContext): Promise<Enrolment> {
    if (this.#secret.isWiped) throw usedTwice();
    const cost = this.#settings.cost ?? (await this.#calibrate(context));
    assertArgon2Cost(cost, this.#settings.floor);
    const salt = randomKey();
    const secret = await this.#derive(cost, salt, context);
    return { fields: { kind: "passphrase", ...cost, salt }, secret };
  }

  override wipe(): void {
    this.#secret.wipe();
  }

  static {
    redact(this, "[Passphrase]");
  }

  async #derive(cost: Argon2Cost, salt: Uint8Array, { signal, warn }: WayInContext): Promise<Uint8Array> {
    if ((await argon2Implementation()) === "hash-wasm") {
      warn(
        "The native Argon2 could not be loaded: the slower WebAssembly one is used. Reinstall the argon2 package.",
      );
    }
    const password = this.#secret.bytes;
    const derive = this.#settings.derive ?? argon2id;
    return derive({ password, salt, cost, lengthBytes: SECRET_BYTES, ...(signal && { signal }) });
  }

  /** Memory first, as it costs an attacker most, up to a size that small machines still have; then passes. */
  async #calibrate(context: WayInContext): Promise<Argon2Cost> {
    const now = this.#settings.monotonicMs ?? ((): number => performance.now());
    const base = { ...ARGON2_FLOOR, lanes: LANES };
    assertMemoryAvailable(base);
    const startedMs = now();
    const probe = await this.#derive(base, randomKey(), context);
    probe.fill(0);
    const ratio = Math.max(1, TARGET_MS / Math.max(1, now() - startedMs));
    return costForRatio(ratio);
  }
}

/**
 * Returns the cost that takes about `ratio` times as long as the least one: memory is raised to 256 MiB at most,
 * in whole MiB and only as far as this machine has it free, then passes.
 */
export function costForRatio(ratio: number, availableKiB: number = freeKiB()): Argon2Cost {
  // A quarter of what is free now: opening must not fail because an application has grown meanwhile.
  const ceiling = Math.min(ARGON2_CALIBRATION_MAX_MEMORY_KIB, Math.floor(availableKiB / 4));
  const wanted = Math.floor((ARGON2_FLOOR.memoryKiB * ratio) / 1024) * 1024;
  const memoryKiB = Math.max(ARGON2_FLOOR.memoryKiB, Math.min(wanted, ceiling - (ceiling % 1024)));
  const rest = (ratio * ARGON2_FLOOR.memoryKiB) / memoryKiB;
  const passes = Math.round(ARGON2_FLOOR.passes * rest);
  return {
    memoryKiB,
    passes: Math.min(Math.max(passes, ARGON2_FLOOR.passes), ARGON2_MAX_PASSES),
    lanes: LANES,
  };
}

function freeKiB(): number {
  // Node 20.13 and later; where it is missing, calibration assumes enough.
  return typeof process.availableMemory === "function"
    ? process.availableMemory() / 1024
    : Number.POSITIVE_INFINITY;
}

function fieldsOf(slot: ParsedSlot): { cost: Argon2Cost; salt: Uint8Array } {
  const { fields } = slot.header;
  if (fields.kind !== "passphrase")
    throw new TypeError(`slot: expected a passphrase slot, got ${fields.kind}`);
  const { memoryKiB, passes, lanes, salt } = fields;
  return { cost: { memoryKiB, passes, lanes }, salt };
}

/**
 * Unlocks, or makes a slot, with a passphrase.
 * @param secret a string, which is normalised (docs/format.md#passphrases) and cannot be wiped, or UTF-8 bytes,
 *   taken as they are and copied, of which no string is ever made. 1 to 1,024 bytes.
 * @throws InvalidArgumentError for an empty one, or a string with control characters or half a character.
 * @throws LimitExceededError above 1,024 bytes.
 */
export function passphrase(secret: string | Uint8Array): Unlocker {
  return passphraseWith(secret, {});
}

/** {@link passphrase} with other settings. Not exported by the package. */
export function passphraseWith(secret: string | Uint8Array, settings: PassphraseSettings): Unlocker {
  const bytes = typeof secret === "string" ? normalizePassphrase(secret) : passphraseBytes(secret);
  return new Passphrase(new Secret(bytes), settings);
}
