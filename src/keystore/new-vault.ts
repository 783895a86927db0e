/**
 * Makes the files of a new vault: root key, slots, header, database with its first CMK.
 * @module
 */
import { copy } from "../bytes.ts";
import { randomId, randomKey } from "../crypto/random.ts";
import { encodeHeader, type HeaderSlot, parseHeader } from "../formats/header.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { TABLES } from "../formats/records/tables.ts";
import type { FileSystem } from "../storage/file-system.ts";
import { prepareHeader, publishHeader } from "../storage/header-copies.ts";
import { fillNewDatabase, FIRST_SEQUENCE } from "../storage/new-database.ts";
import type { Store } from "../storage/store.ts";
import { createVaultDirectory, databaseDirectory } from "../storage/vault-directory.ts";
import type { VaultLockOptions } from "../storage/vault-lock.ts";
import { DEFAULT_ALIAS } from "./key-reference.ts";
import { putNewKey } from "./new-key.ts";
import { newRecovery } from "./slots/recovery.ts";
import { makeSlot, type WayIn } from "./slots/way-in.ts";
import { VaultKeys } from "./vault-keys.ts";

const FIRST_GENERATION = 1;
const FIRST_DATABASE = 1;
/** The account part of ARNs, for adapters; AWS's have twelve digits. */
const LOCAL_ACCOUNT = "000000000000";

/** Opens or creates the engine of a database in this directory. */
export type OpenEngine = (directory: string, options: { readonly create: boolean }) => Promise<Store>;

export interface NewVaultOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly openEngine: OpenEngine;
  /** Wiped. */
  readonly wayIn: WayIn;
  readonly label: string;
  readonly withRecovery: boolean;
  readonly nowMs: number;
  readonly warn: (message: string) => void;
  readonly lockOptions?: VaultLockOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the maker of a vault is given: the root key, to open it without another KDF run, and the code to show. */
export interface NewVault {
  /** The caller's to wipe. */
  readonly root: Uint8Array;
  readonly recoveryCode: string | undefined;
}

/** Makes the vault; it is durable when the promise resolves, and when it rejects there is none. */
export async function makeVault(options: NewVaultOptions): Promise<NewVault> {
  const { fs, directory, wayIn, nowMs, warn, signal } = options;
  const root = randomKey();
  const vaultId = randomId();
  const keys = new VaultKeys(copy(root), vaultId);
  try {
    const context = { vaultId, warn, signal };
    const slots: HeaderSlot[] = [];
    let recoveryCode: string | undefined;
    const build = async (sibling: string): Promise<void> => {
      slots.push(await makeSlot(() => root, wayIn, options.label, nowMs, context));
      if (options.withRecovery) {
        const recovery = newRecovery(vaultId);
        recoveryCode = recovery.code;
        slots.push(await makeSlot(() => root, recovery.wayIn, "recovery code", nowMs, context));
      }
      signal?.throwIfAborted();
      await fillDatabase(options, keys, databaseDirectory(sibling, FIRST_DATABASE));
      const fields = {
        vaultId,
        generation: FIRST_GENERATION,
        sequence: FIRST_SEQUENCE,
        database: FIRST_DATABASE,
      };
      const header = parseHeader(encodeHeader({ ...fields, slots }, keys.header));
      await prepareHeader(fs, sibling, header.bytes);
      await publishHeader(fs, sibling);
    };
    await createVaultDirectory(fs, directory, build, options.lockOptions);
    return { root, recoveryCode };
  } catch (error) {
    root.fill(0);
    throw error;
  } finally {
    wayIn.wipe();
    keys.wipe();
  }
}

async function fillDatabase(
  { openEngine, nowMs }: NewVaultOptions,
  keys: VaultKeys,
  directory: string,
): Promise<void> {
  const engine = await openEngine(directory, { create: true });
  try {
    await fillNewDatabase(engine, keys, keys.vaultId, nowMs, (transaction) => {
      // Everything without a key of its own hangs on this one: it must not go by mistake.
      const defaultKey = {
        description: "default key of this vault",
        isProtected: true,
        aliasName: DEFAULT_ALIAS,
      };
      putNewKey(transaction, keys, defaultKey);
      transaction.put(TABLES.settings, recordKey.setting(keys.name, "vault"), {
        name: "vault",
        created: nowMs,
        account: LOCAL_ACCOUNT,
      });
    });
  } finally {
    await engine.close();
  }
}
