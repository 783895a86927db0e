/**
 * Two ways in as one: both are needed. A passphrase and a token, or two passphrases that two people know.
 * Source: docs/format.md#slots [F-66], [F-137].
 * @module
 */
import { concat, u16 } from "../../bytes.ts";
import type { ParsedSlot } from "../../formats/header.ts";
import type { CombinedFields, SlotFields } from "../../formats/slot-header.ts";
import { redact, wipe } from "../../secret.ts";
import {
  type Enrolment,
  type KnownFields,
  type Unlocker,
  WayIn,
  type WayInContext,
  wayInOf,
} from "./way-in.ts";

type PartFields = CombinedFields["first"];
type Parts = readonly [WayIn, WayIn];

class Combined extends WayIn {
  readonly kind = "combined";
  readonly #parts: Parts;

  constructor(parts: Parts) {
    super();
    this.#parts = parts;
  }

  override fits(fields: SlotFields): boolean {
    if (fields.kind !== "combined") return false;
    const [first, second] = this.#parts;
    return first.fits(fields.first) && second.fits(fields.second);
  }

  override decoyFields(): CombinedFields | undefined {
    const [first, second] = this.#parts.map((part) => part.decoyFields());
    if (first === undefined || second === undefined) return undefined;
    return { kind: "combined", first: partOf(first), second: partOf(second) };
  }

  override prepare(slots: readonly ParsedSlot[], context: WayInContext): void {
    const [first, second] = this.#parts;
    first.prepare(
      slots.map((slot) => withFields(slot, fieldsOf(slot).first)),
      context,
    );
    second.prepare(
      slots.map((slot) => withFields(slot, fieldsOf(slot).second)),
      context,
    );
  }

  override async secretFor(slot: ParsedSlot, context: WayInContext): Promise<Uint8Array> {
    const [first, second] = this.#parts;
    const fields = fieldsOf(slot);
    return this.#joined(
      () => first.secretFor(withFields(slot, fields.first), context),
      () => second.secretFor(withFields(slot, fields.second), context),
    );
  }

  override async enroll(context: WayInContext): Promise<Enrolment> {
    const made = new Map<WayIn, PartFields>();
    const enroll = async (part: WayIn): Promise<Uint8Array> => {
      const { fields, secret } = await part.enroll(context);
      made.set(part, partOf(fields));
      return secret;
    };
    const [firstPart, secondPart] = this.#parts;
    const secret = await this.#joined(
      () => enroll(firstPart),
      () => enroll(secondPart),
    );
    const [first, second] = [made.get(firstPart) as PartFields, made.get(secondPart) as PartFields];
    return { fields: { kind: "combined", first, second }, secret };
  }

  override refusal(slot: ParsedSlot, context: WayInContext): Error | undefined {
    const [first, second] = this.#parts;
    // A passphrase may be the wrong one; two tokens that had the keys cannot be.
    return first.kind === "pkcs11" && second.kind === "pkcs11" ? first.refusal(slot, context) : undefined;
  }

  override wipe(): void {
    for (const part of this.#parts) part.wipe();
  }

  static {
    redact(this, "[Combined]");
  }

  /**
   * `u16 length ‖ S of the first ‖ u16 length ‖ S of the second` [F-137]. A token is asked first: one that is not there
   * should cost nobody the wait for a passphrase.
   */
  async #joined(first: () => Promise<Uint8Array>, second: () => Promise<Uint8Array>): Promise<Uint8Array> {
    let [one, two]: (Uint8Array | undefined)[] = [];
    try {
      if (this.#parts[1].kind === "pkcs11") two = await second();
      one = await first();
      two ??= await second();
      return concat(u16(one.length), one, u16(two.length), two);
    } finally {
      wipe(one, two);
    }
  }
}

/**
 * Unlocks, or makes a slot, with two secrets of which neither opens anything alone: a passphrase and a token, or two
 * passphrases, in the order in which the slot was made. Both unlockers are wiped with this one.
 * @throws TypeError unless each part is a passphrase or a token.
 */
export function combined(first: Unlocker, second: Unlocker): Unlocker {
  const parts: Parts = [wayInOf(first, "first"), wayInOf(second, "second")];
  for (const [index, { kind }] of parts.entries()) {
    if (kind === "passphrase" || kind === "pkcs11") continue;
    throw new TypeError(`${index === 0 ? "first" : "second"}: expected a passphrase or a token, got ${kind}`);
  }
  if (first === second) throw new TypeError("second: expected another unlocker than the first");
  // Of two kinds the passphrase comes first in the slot, however they are given.
  return new Combined(
    parts[0].kind === "pkcs11" && parts[1].kind === "passphrase" ? [parts[1], parts[0]] : parts,
  );
}

function fieldsOf({ header }: ParsedSlot): CombinedFields {
  if (header.fields.kind === "combined") return header.fields;
  throw new TypeError(`slot: expected a combined slot, got ${header.fields.kind}`);
}

function partOf(fields: KnownFields): PartFields {
  if (fields.kind === "passphrase" || fields.kind === "pkcs11") return fields;
  throw new TypeError(`part: expected a passphrase or a token, got ${fields.kind}`);
}

/** The slot as its part alone sees it. */
function withFields(slot: ParsedSlot, fields: PartFields): ParsedSlot {
  return { ...slot, header: { ...slot.header, fields } };
}
