/**
 * Whether a vault is older than something remembers: header and database of each other, and an anchor of both.
 * Source: docs/format.md#open [F-125], [F-126]; docs/format.md#anchor [F-152…F-154].
 * @module
 */
import { equal } from "../bytes.ts";
import { RolledBackError } from "../errors.ts";
import type { AnchorFields } from "../formats/anchor.ts";
import type { StateRecord } from "../formats/records/tables.ts";

/** An anchor that the vault is opened with. */
export interface GivenAnchor {
  readonly fields: AnchorFields;
  /** Made for this vault, with the root key that it has now. Else nothing in it is believed. */
  readonly isGenuine: boolean;
}

/** What of the header counts here. */
interface HeaderNumbers {
  readonly generation: number;
  readonly sequence: number;
}

/**
 * Compares header and database: each names only what was durable on the other, so no crash makes one of them older.
 * @throws RolledBackError reason `database` or `header`.
 */
export function assertNotRolledBack(
  state: Pick<StateRecord, "sequence" | "witness">,
  header: HeaderNumbers,
): void {
  if (state.sequence < header.sequence) {
    throw new RolledBackError(
      "The database is older than the vault header: an older copy was put back, or acknowledged changes were lost. Put the newer files back, restore a backup, or accept the older state with { acceptRollback: true }.",
      { details: { reason: "database", database: state.sequence, header: header.sequence } },
    );
  }
  if (state.witness > header.generation) {
    throw new RolledBackError(
      "The vault header is older than the database: an older copy was put back. Put the newer files back, restore a backup, or accept the older state with { acceptRollback: true }.",
      { details: { reason: "header", database: state.witness, header: header.generation } },
    );
  }
}

/** @throws RolledBackError reason `foreign`: that is no older state, so it cannot be accepted either. */
export function assertOwnAnchor({ isGenuine }: GivenAnchor): void {
  if (isGenuine) return;
  throw new RolledBackError(
    "The anchor belongs to another vault, or to this one before its root key was changed. Make sure that nobody has exchanged the vault before you open it without the anchor.",
    { details: { reason: "foreign" } },
  );
}

/** @throws RolledBackError reason `anchor` when the vault is older than the anchor. */
export function assertNotOlder(
  state: Pick<StateRecord, "sequence" | "audit">,
  header: HeaderNumbers,
  { fields }: GivenAnchor,
): void {
  const { auditNext, auditHead } = fields;
  const { audit } = state;
  const isOlder =
    header.generation < fields.generation ||
    state.sequence < fields.sequence ||
    audit.next < auditNext ||
    (audit.next === auditNext && !equal(audit.head.subarray(0, auditHead.length), auditHead));
  if (!isOlder) return;
  throw new RolledBackError(
    "The vault is older than its anchor: an older copy of the whole vault was put back. Put the newer one back, or, if you have restored a backup yourself, accept it with { acceptRollback: true }.",
    {
      details: {
        reason: "anchor",
        generation: header.generation,
        anchorGeneration: fields.generation,
        sequence: state.sequence,
        anchorSequence: fields.sequence,
      },
    },
  );
}

/** Generation and sequence of the state that an accepted rollback begins: above every number seen anywhere. */
export function numbersAbove(
  state: Pick<StateRecord, "sequence" | "witness">,
  header: HeaderNumbers,
  anchor: GivenAnchor | undefined,
): HeaderNumbers {
  const { fields } = anchor ?? {};
  return {
    generation: Math.max(state.witness, header.generation, fields?.generation ?? 0) + 1,
    sequence: Math.max(state.sequence, header.sequence, fields?.sequence ?? 0) + 1,
  };
}
