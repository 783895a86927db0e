/**
 * A vault header with a slot of every kind, made of fixed values; only the seals' salts differ from run to run.
 * @module
 */
import { concat } from "../../src/bytes.ts";
import { encodeHeader, type HeaderFields, type HeaderSlot, sealSlot } from "../../src/formats/header.ts";
import { headerKey } from "../../src/formats/key-schedule.ts";
import {
  encodeSlotHeader,
  type SlotFields,
  type TokenFields,
  type PassphraseFields,
} from "../../src/formats/slot-header.ts";
import { counting } from "./changed-bytes.ts";

export const root: Uint8Array = counting(0, 32);
export const vaultId: Uint8Array = counting(0xa0, 16);
export const slotSecret: Uint8Array = counting(0x40, 32);
export const kheader: Uint8Array = headerKey(root, vaultId);

export const passphraseFields: PassphraseFields = {
  kind: "passphrase",
  memoryKiB: 65_536,
  passes: 3,
  lanes: 4,
  salt: counting(0x60, 32),
};

export const tokenFields: TokenFields = {
  kind: "pkcs11",
  algorithm: "ecdh-p256",
  spki: counting(0x30, 91),
  objectId: Uint8Array.of(3),
  label: "PIV #123",
  serial: "12345678",
  manufacturer: "Yubico",
  model: "YubiKey YK5",
  exchange: counting(4, 65),
};

export const allFields: readonly SlotFields[] = [
  passphraseFields,
  { kind: "recovery" },
  tokenFields,
  { kind: "combined", first: passphraseFields, second: tokenFields },
  { kind: "keychain", backend: "gnome-libsecret", protectedSecret: counting(1, 40) },
];

/** Returns a slot whose id is sixteen times `number`. */
export function slotOf(fields: SlotFields, number: number, label = ""): HeaderSlot {
  const id = new Uint8Array(16).fill(number);
  const headerBytes = encodeSlotHeader({ id, createdAtMs: 1_700_000_000_000, fields });
  return { headerBytes, sealed: sealSlot(slotSecret, vaultId, headerBytes, root), label };
}

/** A slot of a type that no release defines yet. */
export function unknownSlot(number: number): HeaderSlot {
  const headerBytes = concat(
    Uint8Array.of(9, 0),
    new Uint8Array(16).fill(number),
    new Uint8Array(8),
    counting(0, 20),
  );
  return { headerBytes, sealed: sealSlot(slotSecret, vaultId, headerBytes, root), label: "later" };
}

/** Returns the fields of a header that holds the given slots. */
export function headerFields(slots: readonly HeaderSlot[]): HeaderFields {
  return { vaultId, generation: 7, sequence: 42, database: 3, slots };
}

/** Returns a whole header with a slot of every kind. */
export function everyKind(): Uint8Array {
  return encodeHeader(
    headerFields(allFields.map((fields, i) => slotOf(fields, i + 1, `slot ${i + 1}`))),
    kheader,
  );
}
