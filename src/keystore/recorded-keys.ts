/**
 * The CMKs that the records of a backup hold, to see whether what they have sealed opens with them: in whatever state
 * each is, as that can be changed.
 * @module
 */
import { hex } from "../bytes.ts";
import { openBlob, parseBlob, unopenedBlob } from "../formats/blob.ts";
import { encodeContext, type EncryptionContext } from "../formats/context.ts";
import { blobKey } from "../formats/key-schedule.ts";
import { openRecord } from "../formats/records/sealing.ts";
import { decodeRecord, type RecordTable, type TableRecords, TABLES } from "../formats/records/tables.ts";
import { redact, wipe } from "../secret.ts";
import { BlobKeyCache } from "./key-cache.ts";
import { type MaterialOwner, openMaterial } from "./key-material.ts";
import type { VaultKeys } from "./vault-keys.ts";

export class RecordedKeys {
  readonly #keys: VaultKeys;
  readonly #owners = new Map<string, MaterialOwner>();
  /** Sealed material by key and version; undefined where it is gone. */
  readonly #versions = new Map<string, Uint8Array | undefined>();
  readonly #deleted = new Set<string>();
  readonly #cache = new BlobKeyCache();

  /** @param keys lent. */
  constructor(keys: VaultKeys) {
    this.#keys = keys;
  }

  /** Takes note of a record that is of a CMK; passes over all others. @throws DamagedError. */
  note(key: Uint8Array, value: Uint8Array): void {
    const [table] = key;
    if (table === TABLES.keys) {
      const { id, spec, usage, fingerprintKey } = this.#open(table, key, value);
      wipe(fingerprintKey);
      this.#owners.set(hex(id), { id, spec, usage });
    } else if (table === TABLES.versions) {
      const { id, version, sealed } = this.#open(table, key, value);
      this.#versions.set(versionName(id, version), sealed);
    } else if (table === TABLES.tombstones) {
      this.#deleted.add(hex(this.#open(table, key, value).id));
    }
  }

  /** True for a blob whose key was deleted, or has lost its material: nothing opens it, and nothing ever will. */
  isGone(ciphertextBlob: Uint8Array): boolean {
    const { keyId, version } = parseBlob(ciphertextBlob).header;
    const name = versionName(keyId, version);
    const hasLostMaterial = this.#versions.has(name) && this.#versions.get(name) === undefined;
    return this.#deleted.has(hex(keyId)) || hasLostMaterial;
  }

  /** Returns the plaintext, the caller's to wipe. @throws InvalidCiphertextError, DamagedError. */
  decrypt(ciphertextBlob: Uint8Array, encryptionContext: EncryptionContext): Uint8Array {
    const blob = parseBlob(ciphertextBlob);
    const { keyId, version } = blob.header;
    return openBlob(this.#blobKey(keyId, version), blob, encodeContext(encryptionContext));
  }

  /** Wipes and forgets everything. Idempotent. */
  wipe(): void {
    this.#cache.clear();
    this.#versions.clear();
  }

  static {
    redact(this, "[RecordedKeys]");
  }

  #open<T extends RecordTable>(table: T, key: Uint8Array, value: Uint8Array): TableRecords[T] {
    const cbor = openRecord(this.#keys.database, this.#keys.vaultId, key, value);
    try {
      return decodeRecord(table, cbor);
    } finally {
      wipe(cbor);
    }
  }

  /** Lent until the next call. */
  #blobKey(keyId: Uint8Array, version: number): Uint8Array {
    const cached = this.#cache.get(keyId, version);
    if (cached !== undefined) return cached;
    const owner = this.#owners.get(hex(keyId));
    const sealed = this.#versions.get(versionName(keyId, version));
    if (owner === undefined || sealed === undefined) throw unopenedBlob();
    const material = openMaterial(this.#keys, owner, version, sealed);
    try {
      const derived = blobKey(material, keyId, version);
      this.#cache.set(keyId, version, derived);
      return derived;
    } finally {
      wipe(material);
    }
  }
}

function versionName(keyId: Uint8Array, version: number): string {
  return `${hex(keyId)}.${version}`;
}
