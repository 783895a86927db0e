/**
 * Ways to a file's data key (DEK): under a key of a vault, or by a passphrase or a token without any vault.
 * @module
 */
import { hex } from "../bytes.ts";
import { AuthenticationError } from "../crypto/failures.ts";
import { randomId, randomKey } from "../crypto/random.ts";
import { InvalidCiphertextError, isCofferError, KdfLimitError, WrongSecretError } from "../errors.ts";
import type { EncryptionContext } from "../formats/context.ts";
import { blobEntry, type KeyEntry, openSlotEntry, type SlotEntry, slotEntry } from "../formats/key-area.ts";
import { encodeSlotHeader } from "../formats/slot-header.ts";
import { isAbsence, type WayIn, type WayInContext, usedTwice } from "../keystore/slots/way-in.ts";
import { ARGON2_MAX_MEMORY_KIB, ARGON2_MAX_PASSES } from "../limits.ts";
import { wipe } from "../secret.ts";

/** The name under which a file's id stands in the context of its data key [F-210]. */
export const FILE_ID_NAME = "coffer:file";

/** What a data key belongs to. */
export interface FileBinding {
  readonly fileId: Uint8Array;
  /** The user's context. */
  readonly context: EncryptionContext;
  readonly signal?: AbortSignal | undefined;
}

/** A data key, the holder's to wipe; or why this entry gives none. */
export type Opened = { readonly dek: Uint8Array } | { readonly failure: unknown };

/** One way to data keys. Serves one call of the API; {@link KeyAccess.end} ends it. */
export interface KeyAccess {
  /** The kind of entry that it makes and opens. */
  readonly kind: "blob" | "slot";
  /** Makes a new data key and its entry. */
  create(binding: FileBinding): Promise<{ readonly dek: Uint8Array; readonly entry: KeyEntry }>;
  /** Makes a further entry for a data key; borrows it. */
  wrap(dek: Uint8Array, binding: FileBinding): Promise<KeyEntry>;
  /** Checks all that must hold before the first entry costs anything. */
  prepare(entries: readonly KeyEntry[], binding: FileBinding): void;
  /** Opens one entry of its kind. @throws only what makes further tries pointless. */
  open(entry: KeyEntry, binding: FileBinding): Promise<Opened>;
  /** Wipes what it holds. Idempotent. */
  end(): void;
}

/** The operations of a KMS that files need. Policies and audit see each. */
export interface DataKeys {
  generateDataKey(request: {
    readonly keyId?: string | undefined;
    readonly keySpec: "AES_256";
    readonly encryptionContext: EncryptionContext;
  }): Promise<{ readonly plaintext: Uint8Array; readonly ciphertextBlob: Uint8Array }>;
  encrypt(request: {
    readonly keyId?: string | undefined;
    readonly plaintext: Uint8Array;
    readonly encryptionContext: EncryptionContext;
  }): Promise<{ readonly ciphertextBlob: Uint8Array }>;
  decrypt(request: {
    readonly ciphertextBlob: Uint8Array;
    readonly encryptionContext: EncryptionContext;
  }): Promise<{ readonly plaintext: Uint8Array }>;
}

/** Data keys under a CMK. @param keyId of new entries. @defaultValue the CMK of `alias/default` */
export function vaultAccess(kms: DataKeys, keyId?: string): KeyAccess {
  return {
    kind: "blob",
    async create(binding) {
      const encryptionContext = boundContext(binding);
      const made = await kms.generateDataKey({ keyId, keySpec: "AES_256", encryptionContext });
      return { dek: made.plaintext, entry: blobEntry(made.ciphertextBlob) };
    },
    async wrap(dek, binding) {
      const sealed = await kms.encrypt({ keyId, plaintext: dek, encryptionContext: boundContext(binding) });
      return blobEntry(sealed.ciphertextBlob);
    },
    prepare: () => undefined,
    async open(entry, binding) {
      if (entry.kind !== "blob") throw wrongKind(entry);
      try {
        const encryptionContext = boundContext(binding);
        const opened = await kms.decrypt({ ciphertextBlob: entry.blobBytes, encryptionContext });
        return { dek: opened.plaintext };
      } catch (error) {
        if (!isCofferError(error) || error.code === "COFFER_LOCKED") throw error;
        return { failure: error };
      }
    },
    end: () => undefined,
  };
}

/** Data keys in slots of the file itself, for `passphrase(…)` and `pkcs11(…)`. @throws TypeError for another way in. */
export function slotAccess(
  wayIn: WayIn,
  clock: () => number,
  warn: (message: string) => void,
  argument: string,
): KeyAccess {
  if (wayIn.kind !== "passphrase" && wayIn.kind !== "pkcs11") {
    throw new TypeError(`${argument}: expected passphrase(…) or pkcs11(…)`);
  }
  const { kind } = wayIn;
  // Both areas hold the same slots: what was derived for one serves the other.
  const secrets = new Map<string, Uint8Array>();
  let isEnded = false;
  const contextOf = ({ fileId, signal }: FileBinding): WayInContext => ({ vaultId: fileId, signal, warn });

  async function wrap(dek: Uint8Array, binding: FileBinding): Promise<SlotEntry> {
    if (isEnded) throw usedTwice();
    const { fields, secret } = await wayIn.enroll(contextOf(binding));
    try {
      const headerBytes = encodeSlotHeader({ id: randomId(), createdAtMs: clock(), fields });
      return slotEntry(secret, binding.fileId, headerBytes, dek);
    } finally {
      wipe(secret);
    }
  }

  return {
    kind: "slot",
    wrap,
    async create(binding) {
      const dek = randomKey();
      try {
        return { dek, entry: await wrap(dek, binding) };
      } catch (error) {
        wipe(dek);
        throw error;
      }
    },
    prepare(entries, binding) {
      const slots = distinctSlots(entries, kind);
      assertCostTogether(slots);
      if (slots.length === 0) return;
      wayIn.prepare(slots.map(asParsedSlot), contextOf(binding));
    },
    async open(entry, binding) {
      if (entry.kind !== "slot") throw wrongKind(entry);
      const { fields } = entry.header;
      if (fields.kind !== kind) return { failure: anotherKind() };
      const name = hex(entry.headerBytes);
      let secret = secrets.get(name);
      try {
        secret ??= await wayIn.secretFor(asParsedSlot(entry), contextOf(binding));
        if (isEnded) {
          // Nobody would wipe it later.
          wipe(secret);
          throw usedTwice();
        }
        secrets.set(name, secret);
        return { dek: openSlotEntry(secret, binding.fileId, entry) };
      } catch (error) {
        // Another entry's token may be the one that is there, and the other area may be whole.
        if (isAbsence(error) || isCofferError(error, "COFFER_DAMAGED")) return { failure: error };
        if (!(error instanceof AuthenticationError)) throw error;
        return { failure: wayIn.refusal(asParsedSlot(entry), contextOf(binding)) ?? wrongSecret() };
      }
    },
    end() {
      isEnded = true;
      wipe(...secrets.values());
      secrets.clear();
      wayIn.wipe();
    },
  };
}

function boundContext({ context, fileId }: FileBinding): EncryptionContext {
  return { ...context, [FILE_ID_NAME]: hex(fileId) };
}

function distinctSlots(entries: readonly KeyEntry[], kind: WayIn["kind"]): readonly SlotEntry[] {
  const slots = new Map<string, SlotEntry>();
  for (const entry of entries) {
    if (entry.kind === "slot" && entry.header.fields.kind === kind) {
      slots.set(hex(entry.headerBytes), entry);
    }
  }
  return [...slots.values()];
}

/** A file is hostile until it authenticates: eight slots must not cost eight times what one may [F-215]. */
function assertCostTogether(slots: readonly SlotEntry[]): void {
  let cost = 0;
  for (const { header } of slots) {
    if (header.fields.kind === "passphrase") cost += header.fields.memoryKiB * header.fields.passes;
  }
  const ceiling = ARGON2_MAX_MEMORY_KIB * ARGON2_MAX_PASSES;
  if (cost <= ceiling) return;
  throw new KdfLimitError(
    "The passphrase slots of this file ask for more work than any file needs. It was not made by Coffer; do not trust it.",
    { details: { cost, limit: ceiling } },
  );
}

function asParsedSlot({ header, headerBytes, sealed }: SlotEntry): Parameters<WayIn["secretFor"]>[0] {
  return { header, headerBytes, sealed, label: "" };
}

function wrongSecret(): WrongSecretError {
  return new WrongSecretError("The secret opens no slot of this file. Check it, or use another way in.");
}

/** Says less than what an entry of the right kind has to say. */
function anotherKind(): InvalidCiphertextError {
  return new InvalidCiphertextError("This file has no entry for this kind of way in. Use another one.", {
    details: { reason: "no-entry" },
  });
}

function wrongKind(entry: KeyEntry): TypeError {
  return new TypeError(`entry: a ${entry.kind} entry cannot be opened this way`);
}
