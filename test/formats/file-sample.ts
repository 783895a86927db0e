/**
 * A head and key areas made of fixed values; only the seals' salts differ from run to run.
 * @module
 */
import { concat, hex } from "../../src/bytes.ts";
import { sealBlob } from "../../src/formats/blob.ts";
import { encodeContext } from "../../src/formats/context.ts";
import {
  encodeFileHead,
  MIN_KEY_AREA_BYTES,
  type ParsedFileHead,
  parseFileHead,
} from "../../src/formats/file.ts";
import { blobEntry, encodeKeyArea, type KeyEntry, slotEntry } from "../../src/formats/key-area.ts";
import { blobKey, fileAreaKey } from "../../src/formats/key-schedule.ts";
import { encodeSlotHeader } from "../../src/formats/slot-header.ts";
import { counting } from "./changed-bytes.ts";
import { passphraseFields } from "./header-sample.ts";

export const dek: Uint8Array = counting(0, 32);
export const fileId: Uint8Array = counting(0xf0, 16);
export const keyId: Uint8Array = counting(0xc0, 16);
export const context: Record<string, string> = { app: "Apollo" };
export const slotSecret: Uint8Array = counting(0x40, 32);
const kenc: Uint8Array = blobKey(counting(0, 32), keyId, 1);

export const headBytes: Uint8Array = encodeFileHead({
  fileId,
  segmentPlaintextBytes: 65_536,
  storedContext: encodeContext(context),
  areaBytes: MIN_KEY_AREA_BYTES,
  createdAtMs: 1_700_000_000_000,
});
export const head: ParsedFileHead = parseFileHead(headBytes);
export const karea: Uint8Array = fileAreaKey(dek, fileId);

/** A type 1 entry under a key id of one repeated byte, or the sample's own. */
export function blobEntryOf(id: Uint8Array = keyId): KeyEntry {
  const cec = encodeContext({ ...context, "coffer:file": hex(fileId) });
  return blobEntry(sealBlob(kenc, { keyId: id, version: 1, vaultHint: counting(0, 4) }, cec, dek));
}

/** A type 2 entry whose slot id is sixteen times `number`. */
export function slotEntryOf(number: number): KeyEntry {
  const headerBytes = encodeSlotHeader({
    id: new Uint8Array(16).fill(number),
    createdAtMs: 1_700_000_000_000,
    fields: passphraseFields,
  });
  return slotEntry(slotSecret, fileId, headerBytes, dek);
}

export function areaOf(entries: readonly KeyEntry[], generation = 1): Uint8Array {
  return encodeKeyArea({ generation, entries, areaBytes: head.areaBytes }, karea, headBytes);
}

/** The head followed by something. */
export const headAndMore: Uint8Array = concat(headBytes, new Uint8Array(8));
