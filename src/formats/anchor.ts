/**
 * The anchor: a short text that names a state of a vault. Kept elsewhere, it tells an older vault from a newer one.
 * Layout: `"coffer1." ‖ base64url(vault id[16] ‖ u64 generation ‖ u64 sequence ‖ u64 audit next ‖ audit head[16] ‖
 * HMAC-SHA-256[16])`. Source: docs/format.md#anchor [F-150…F-154].
 * @module
 */
import { assertBytes, concat, equal, label, readU64, u64 } from "../bytes.ts";
import { hmac } from "../crypto/hmac.ts";
import { InvalidArgumentError } from "../errors.ts";
import { ID_BYTES, KEY_BYTES } from "./key-schedule.ts";

const PREFIX = "coffer1.";
/** Characters of every anchor. */
const ANCHOR_LENGTH = 104;
const GENERATION_OFFSET = 16;
const SEQUENCE_OFFSET = 24;
const AUDIT_NEXT_OFFSET = 32;
const AUDIT_HEAD_OFFSET = 40;
const MAC_OFFSET = 56;
const MAC_BYTES = 16;
/** How much of the audit chain's head an anchor names. */
export const ANCHOR_AUDIT_HEAD_BYTES = 16;

/** The state that an anchor names. */
export interface AnchorFields {
  /** 16 bytes. */
  readonly vaultId: Uint8Array;
  /** Of the header. */
  readonly generation: number;
  /** Of the newest batch that the header names. */
  readonly sequence: number;
  /** Number of the next audit entry. */
  readonly auditNext: number;
  /** The first 16 bytes of the audit chain's head. */
  readonly auditHead: Uint8Array;
}

/** An anchor of sound form. Unauthenticated until {@link verifyAnchorMac} answers true. */
export interface ParsedAnchor extends AnchorFields {
  /** 16 bytes, over the fields. */
  readonly mac: Uint8Array;
}

/**
 * Returns the text of an anchor, 104 characters of ASCII.
 * @param kanchor 32 bytes of `anchorKey`.
 * @throws RangeError for fields of the wrong length.
 */
export function encodeAnchor(fields: AnchorFields, kanchor: Uint8Array): string {
  const body = bodyOf(fields);
  return PREFIX + Buffer.from(concat(body, macOf(body, kanchor))).toString("base64url");
}

/**
 * Takes an anchor apart.
 * @throws InvalidArgumentError reason `anchor` for a text that is none: cut, or of another kind [F-151].
 */
export function parseAnchor(text: string): ParsedAnchor {
  if (text.length !== ANCHOR_LENGTH || !/^coffer1\.[\w-]+$/u.test(text)) throw malformed();
  const bytes = new Uint8Array(Buffer.from(text.slice(PREFIX.length), "base64url"));
  const generation = readU64(bytes, GENERATION_OFFSET);
  const sequence = readU64(bytes, SEQUENCE_OFFSET);
  const auditNext = readU64(bytes, AUDIT_NEXT_OFFSET);
  if (generation === undefined || sequence === undefined || auditNext === undefined) throw malformed();
  return {
    vaultId: bytes.slice(0, ID_BYTES),
    generation,
    sequence,
    auditNext,
    auditHead: bytes.slice(AUDIT_HEAD_OFFSET, MAC_OFFSET),
    mac: bytes.slice(MAC_OFFSET),
  };
}

/** True when the anchor was made with this key: call before a field is believed [F-152]. Constant time. */
export function verifyAnchorMac(parsed: ParsedAnchor, kanchor: Uint8Array): boolean {
  return equal(macOf(bodyOf(parsed), kanchor), parsed.mac);
}

function bodyOf({ vaultId, generation, sequence, auditNext, auditHead }: AnchorFields): Uint8Array {
  assertBytes("vaultId", vaultId, ID_BYTES);
  assertBytes("auditHead", auditHead, ANCHOR_AUDIT_HEAD_BYTES);
  return concat(vaultId, u64(generation), u64(sequence), u64(auditNext), auditHead);
}

function macOf(body: Uint8Array, kanchor: Uint8Array): Uint8Array {
  assertBytes("kanchor", kanchor, KEY_BYTES);
  return hmac("sha256", kanchor, label("coffer/anchor/v1"), body).subarray(0, MAC_BYTES);
}

function malformed(): InvalidArgumentError {
  return new InvalidArgumentError(
    "This is no anchor: it has 104 characters and begins with coffer1. Take the whole text that vault.anchor gave.",
    { details: { reason: "anchor" } },
  );
}
