/**
 * A vault while it is unlocked: its keys, its database and its keystore, begun and ended together.
 * @module
 */
import { setMaxListeners } from "node:events";
import { copy } from "../bytes.ts";
import { DamagedError } from "../errors.ts";
import {
  ANCHOR_AUDIT_HEAD_BYTES,
  encodeAnchor,
  type ParsedAnchor,
  verifyAnchorMac,
} from "../formats/anchor.ts";
import { type HeaderSlot, type ParsedHeader, verifyHeaderMac } from "../formats/header.ts";
import { headerKey } from "../formats/key-schedule.ts";
import { redact, wipe } from "../secret.ts";
import { VaultDatabase, type VaultDatabaseOptions } from "../storage/vault-database.ts";
import { resealMaterial } from "./key-material.ts";
import { Keystore } from "./keystore.ts";
import { VaultKeys } from "./vault-keys.ts";
import { VaultSnapshot } from "./vault-snapshot.ts";

/** What the vault lends for the time that it is unlocked. */
export interface UnlockOptions extends Omit<VaultDatabaseOptions, "keys" | "anchor"> {
  /** Of sound form; nothing else is known of it. */
  readonly anchor?: ParsedAnchor | undefined;
}

export class UnlockedVault {
  readonly keystore: Keystore;
  readonly database: VaultDatabase;
  readonly #keys: VaultKeys;
  readonly #ended = new AbortController();

  private constructor(database: VaultDatabase, keys: VaultKeys) {
    this.database = database;
    this.#keys = keys;
    // Every open reader listens, and there may be many.
    setMaxListeners(0, this.#ended.signal);
    this.keystore = new Keystore(database, keys);
    // Each open file waits for it: that many do is no leak, and nothing to warn of.
    setMaxListeners(0, this.#ended.signal);
  }

  /**
   * Proves the database with the root key; the header is proven, by {@link assertAuthentic}. Takes `root` over: it is wiped at the end, or when this fails.
   * @throws DamagedError, RolledBackError, IoError as docs/format.md#open has it.
   */
  static async begin(root: Uint8Array, options: UnlockOptions): Promise<UnlockedVault> {
    const { header } = options.copies;
    const keys = new VaultKeys(root, header.vaultId);
    try {
      const { anchor: fields } = options;
      const anchor = fields && { fields, isGenuine: verifyAnchorMac(fields, keys.anchor) };
      return new UnlockedVault(await VaultDatabase.open({ ...options, keys, anchor }), keys);
    } catch (error) {
      keys.wipe();
      throw error;
    }
  }

  /** Aborts, with the error that running work is to end with, when the vault is locked. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Lends the root key, to seal it in a slot. @throws LockedError once the vault is locked. */
  root(): Uint8Array {
    this.#ended.signal.throwIfAborted();
    return this.#keys.root;
  }

  /**
   * Seals everything anew under `keys`, which are of another root key and stay the caller's.
   * @returns as {@link VaultDatabase.changeRoot} does.
   */
  changeRoot(keys: VaultKeys, slots: readonly HeaderSlot[], signal: AbortSignal): Promise<boolean> {
    return this.database.changeRoot({
      keys,
      slots,
      signal,
      convert: (table, record) =>
        resealMaterial(table, record, this.#keys, keys, (id) => this.keystore.key(id)),
      adopt: () => {
        // Locked meanwhile: the keys are wiped, and stay so.
        if (!this.ended.aborted) this.#keys.adopt(keys);
      },
    });
  }

  /** Returns the anchor of the present state, all of which is durable then. @throws LockedError, IoError. */
  async anchor(): Promise<string> {
    const { header, state } = await this.database.publishState();
    this.#ended.signal.throwIfAborted();
    const { vaultId, generation, sequence } = header;
    const { next: auditNext, head } = state.audit;
    const auditHead = head.subarray(0, ANCHOR_AUDIT_HEAD_BYTES);
    return encodeAnchor({ vaultId, generation, sequence, auditNext, auditHead }, this.#keys.anchor);
  }

  /** Takes a state of the vault that stays as it is while the vault is used, locked and closed. @throws LockedError. */
  async snapshot(): Promise<VaultSnapshot> {
    const { captured, snapshot } = await this.database.snapshot((header) => {
      this.#ended.signal.throwIfAborted();
      return { header, keys: new VaultKeys(copy(this.#keys.root), header.vaultId) };
    });
    return new VaultSnapshot(captured.header, captured.keys, snapshot, this.ended);
  }

  /** Wipes the keys at once; changes that wait are refused with `reason`, one that is being written is finished. */
  async end(reason: Error): Promise<void> {
    this.keystore.wipe();
    this.#keys.wipe();
    this.#ended.abort(reason);
    await this.database.end(reason);
  }

  static {
    redact(this, "[UnlockedVault]");
  }
}

/**
 * After a slot has opened, nothing but the slots is believed before this: not even which database there is [F-54].
 * @throws DamagedError
 */
export function assertAuthentic(header: ParsedHeader, root: Uint8Array): void {
  const key = headerKey(root, header.vaultId);
  try {
    if (verifyHeaderMac(header, key)) return;
  } finally {
    wipe(key);
  }
  throw new DamagedError(
    "The vault header was changed by somebody without the vault's keys. Keep the directory as it is and restore a backup beside it.",
    { details: { part: "header" } },
  );
}
