/**
 * The root key of an unlocked vault and the keys derived from it, wiped together.
 * Source: docs/format.md#key-schedule.
 * @module
 */
import { copy } from "../bytes.ts";
import {
  anchorKey,
  databaseKey,
  headerKey,
  materialKey,
  recordNameKey,
  setSumKey,
  vaultHint,
} from "../formats/key-schedule.ts";
import { redact, wipe } from "../secret.ts";

export class VaultKeys {
  readonly vaultId: Uint8Array;
  /** Four public bytes that blobs carry. */
  readonly hint: Uint8Array;
  readonly root: Uint8Array;
  /** Kheader. */
  readonly header: Uint8Array;
  /** Kdb. */
  readonly database: Uint8Array;
  /** Kname. */
  readonly name: Uint8Array;
  /** Kset. */
  readonly set: Uint8Array;
  /** Kmaterial. */
  readonly material: Uint8Array;
  /** Kanchor. */
  readonly anchor: Uint8Array;
  #isWiped = false;

  /** Takes `root` over: it is wiped with this object. */
  constructor(root: Uint8Array, vaultId: Uint8Array) {
    this.root = root;
    this.vaultId = copy(vaultId);
    this.hint = vaultHint(vaultId);
    this.header = headerKey(root, vaultId);
    this.database = databaseKey(root, vaultId);
    this.name = recordNameKey(root, vaultId);
    this.set = setSumKey(root, vaultId);
    this.material = materialKey(root, vaultId);
    this.anchor = anchorKey(root, vaultId);
  }

  /** Takes the keys of another root over, into the same arrays, so that all who hold this object use them. */
  adopt(fresh: VaultKeys): void {
    this.root.set(fresh.root);
    this.header.set(fresh.header);
    this.database.set(fresh.database);
    this.name.set(fresh.name);
    this.set.set(fresh.set);
    this.material.set(fresh.material);
    this.anchor.set(fresh.anchor);
  }

  /** @throws Error once wiped: sealing under keys of zeros would be worse than any failure. */
  assertUsable(): void {
    if (this.#isWiped) throw new Error("vault keys: used after they were wiped");
  }

  wipe(): void {
    this.#isWiped = true;
    wipe(this.root, this.header, this.database, this.name, this.set, this.material, this.anchor);
  }

  static {
    redact(this, "[VaultKeys]");
  }
}
