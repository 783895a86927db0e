/**
 * Every key that is derived, and every context that is sealed under one. A key is either a prk of `Expand` or the
 * key of one SEAL or HMAC use, never two.
 * Source: docs/format.md#key-schedule [F-30…F-38], #keys-of-a-file [F-220…F-224].
 * @module
 */
import { assertBytes, concat, label, u32, u8, utf8 } from "../bytes.ts";
import { expand } from "../crypto/hkdf.ts";
import { digest, hmac } from "../crypto/hmac.ts";
import { wipe } from "../secret.ts";

/** Length of every id: vault, slot, key, file. */
export const ID_BYTES = 16;
/** Length of the root key, of symmetric key material, and of most derived keys. */
export const KEY_BYTES = 32;
/** Length of the vault hint, which words an error and decides nothing. */
export const VAULT_HINT_BYTES = 4;
/** Length of the vault header's MAC key. */
export const HEADER_KEY_BYTES = 64;

/** Made once: each encrypt and decrypt needs it. */
const BLOB_LABEL = /* @__PURE__ */ label("coffer/blob/v1");

/** What a version's sealed material is bound to. */
export interface MaterialBinding {
  readonly keyId: Uint8Array;
  /** The key version; 0 for access keys and imports, which have none. */
  readonly version: number;
  readonly spec: string;
  readonly usage: string;
  /** The public key; absent for symmetric material. */
  readonly spki?: Uint8Array | undefined;
}

/** Kheader, 64 bytes: HMAC-SHA-512 of the vault header. */
export function headerKey(root: Uint8Array, vaultId: Uint8Array): Uint8Array {
  return fromRoot("coffer/header/v1", root, vaultId, HEADER_KEY_BYTES);
}

/** Kdb: SEAL of every record. */
export function databaseKey(root: Uint8Array, vaultId: Uint8Array): Uint8Array {
  return fromRoot("coffer/db/v1", root, vaultId);
}

/** Kname: HMAC-SHA-256 for record keys. */
export function recordNameKey(root: Uint8Array, vaultId: Uint8Array): Uint8Array {
  return fromRoot("coffer/db-name/v1", root, vaultId);
}

/** Kset: HMAC-SHA-256 for set sums. */
export function setSumKey(root: Uint8Array, vaultId: Uint8Array): Uint8Array {
  return fromRoot("coffer/db-set/v1", root, vaultId);
}

/** Kmaterial: SEAL of key material, so that a slip in the record path cannot open it. */
export function materialKey(root: Uint8Array, vaultId: Uint8Array): Uint8Array {
  return fromRoot("coffer/material/v1", root, vaultId);
}

/** Kanchor: HMAC-SHA-256 of the anchor. */
export function anchorKey(root: Uint8Array, vaultId: Uint8Array): Uint8Array {
  return fromRoot("coffer/anchor/v1", root, vaultId);
}

/** Kbackup: the FLOE key of one backup file [F-163]. */
export function backupKey(root: Uint8Array, vaultId: Uint8Array, backupId: Uint8Array): Uint8Array {
  assertBytes("root", root, KEY_BYTES);
  assertBytes("vaultId", vaultId, ID_BYTES);
  assertBytes("backupId", backupId, ID_BYTES);
  return expand("sha512", root, concat(label("coffer/backup/v1"), vaultId, backupId), KEY_BYTES);
}

/** Associated data of a backup's body: all that comes before it [F-163]. */
export function backupBodyAad(head: Uint8Array): Uint8Array {
  return concat(label("coffer/backup-body/v1"), digest("sha256", head));
}

/** Kenc: SEAL of the blobs of one key version. */
export function blobKey(material: Uint8Array, keyId: Uint8Array, version: number): Uint8Array {
  assertBytes("material", material, KEY_BYTES);
  assertBytes("keyId", keyId, ID_BYTES);
  return expand("sha512", material, concat(label("coffer/cmk/encrypt/v1"), keyId, u32(version)), KEY_BYTES);
}

/**
 * The key that seals the root key in one slot. The secret is of any length: an ECDH secret is not uniform, and
 * kinds differ, so one HMAC comes first for all.
 */
export function slotKek(slotSecret: Uint8Array, vaultId: Uint8Array, slotId: Uint8Array): Uint8Array {
  assertBytes("vaultId", vaultId, ID_BYTES);
  return kekOf("coffer/slot-kek/v1", slotSecret, vaultId, slotId);
}

/** The key that seals a file's DEK in one slot of that file [F-222]. */
export function fileSlotKek(slotSecret: Uint8Array, fileId: Uint8Array, slotId: Uint8Array): Uint8Array {
  assertBytes("fileId", fileId, ID_BYTES);
  return kekOf("coffer/file-slot-kek/v1", slotSecret, fileId, slotId);
}

/** Karea: HMAC-SHA-256 of a file's key areas [F-220]. */
export function fileAreaKey(dek: Uint8Array, fileId: Uint8Array): Uint8Array {
  return fromDek("coffer/file-area/v1", dek, fileId);
}

/** Kbody: the FLOE key of a file's body [F-221]. */
export function fileBodyKey(dek: Uint8Array, fileId: Uint8Array): Uint8Array {
  return fromDek("coffer/file-body/v1", dek, fileId);
}

/** Returns the four public bytes by which a blob or a recovery code names its vault. */
export function vaultHint(vaultId: Uint8Array): Uint8Array {
  assertBytes("vaultId", vaultId, ID_BYTES);
  return digest("sha256", label("coffer/vault-hint/v1"), vaultId).slice(0, VAULT_HINT_BYTES);
}

/** Context of a blob's seal: all 32 header bytes, then the canonical encryption context. */
export function blobContext(headerBytes: Uint8Array, cec: Uint8Array): Uint8Array {
  return concat(BLOB_LABEL, headerBytes, cec);
}

/** Context of a slot's seal. */
export function slotContext(vaultId: Uint8Array, slotHeader: Uint8Array): Uint8Array {
  assertBytes("vaultId", vaultId, ID_BYTES);
  return concat(label("coffer/slot/v1"), vaultId, slotHeader);
}

/** Context of the seal of a slot in a file [F-223]. */
export function fileSlotContext(fileId: Uint8Array, slotHeader: Uint8Array): Uint8Array {
  assertBytes("fileId", fileId, ID_BYTES);
  return concat(label("coffer/file-slot/v1"), fileId, slotHeader);
}

/** Associated data of a file's body: its head, and the canonical context whether it is stored or not [F-224]. */
export function fileBodyAad(head: Uint8Array, cec: Uint8Array): Uint8Array {
  return concat(label("coffer/file-body/v1"), digest("sha256", head), digest("sha256", cec));
}

/** Context of a record's seal: a value moved to another key or vault does not open. */
export function recordContext(vaultId: Uint8Array, key: Uint8Array): Uint8Array {
  assertBytes("vaultId", vaultId, ID_BYTES);
  return concat(label("coffer/record/v1"), vaultId, key);
}

/** Context of sealed key material: material given another purpose does not open. */
export function materialContext(vaultId: Uint8Array, binding: MaterialBinding): Uint8Array {
  assertBytes("vaultId", vaultId, ID_BYTES);
  assertBytes("keyId", binding.keyId, ID_BYTES);
  const spec = utf8(binding.spec);
  const usage = utf8(binding.usage);
  const publicKey = digest("sha256", binding.spki ?? new Uint8Array());
  return concat(
    label("coffer/material/v1"),
    vaultId,
    binding.keyId,
    u32(binding.version),
    u8(spec.length),
    spec,
    u8(usage.length),
    usage,
    publicKey,
  );
}

function fromRoot(name: string, root: Uint8Array, vaultId: Uint8Array, lengthBytes = KEY_BYTES): Uint8Array {
  assertBytes("root", root, KEY_BYTES);
  assertBytes("vaultId", vaultId, ID_BYTES);
  return expand("sha512", root, concat(label(name), vaultId), lengthBytes);
}

function fromDek(name: string, dek: Uint8Array, fileId: Uint8Array): Uint8Array {
  assertBytes("dek", dek, KEY_BYTES);
  assertBytes("fileId", fileId, ID_BYTES);
  return expand("sha512", dek, concat(label(name), fileId), KEY_BYTES);
}

function kekOf(name: string, slotSecret: Uint8Array, ownerId: Uint8Array, slotId: Uint8Array): Uint8Array {
  assertBytes("slotId", slotId, ID_BYTES);
  const prk = hmac("sha512", label("coffer/slot-secret/v1"), slotSecret);
  try {
    return expand("sha512", prk, concat(label(name), ownerId, slotId), KEY_BYTES);
  } finally {
    wipe(prk);
  }
}
