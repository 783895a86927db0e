/**
 * A small vault in two states, as files to copy and damage.
 * @module
 */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DiagnosisEnvironment } from "../src/diagnose-vault.ts";
import { openRoot, type Unlocker, wayInOf } from "../src/keystore/slots/way-in.ts";
import { recovery } from "../src/keystore/slots/recovery.ts";
import { VaultKeys } from "../src/keystore/vault-keys.ts";
import { nodeFileSystem } from "../src/storage/file-system.ts";
import { readHeaderCopies } from "../src/storage/header-copies.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import type { Store } from "../src/storage/store.ts";
import { createVault, openVault } from "../src/vault.ts";
import { distUrl } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

export const ENVIRONMENT: DiagnosisEnvironment = {
  fs: nodeFileSystem,
  openEngine: openLevelStore,
  childScript: new URL(distUrl("storage/database-child.js")),
  kdfFloor: { memoryKiB: 8, passes: 1 },
};

export interface VaultStates {
  readonly code: string;
  /** Directories that stay as they are. */
  readonly older: string;
  readonly newer: string;
}

/** Makes a vault with two keys, keeps it, changes both, and keeps it again. The database has a table and a log. */
export async function makeVaultStates(place: string): Promise<VaultStates> {
  const [older, newer] = [join(place, "older"), join(place, "newer")];
  const { vault, recoveryCode } = await createVault(newer, { unlock: cheapPassphrase() });
  const { keyMetadata } = await vault.kms.createKey({
    alias: "alias/one",
    description: "first",
    tags: [{ tagKey: "team", tagValue: "red" }],
  });
  await vault.kms.createKey({ alias: "alias/two" });
  await vault.close();
  await cp(newer, older, { recursive: true });
  const again = await openVault(newer, { unlock: recovery(recoveryCode) });
  await again.kms.disableKey({ keyId: keyMetadata.keyId });
  await again.kms.updateAlias({ aliasName: "alias/two", targetKeyId: keyMetadata.keyId });
  await again.kms.tagResource({ keyId: keyMetadata.keyId, tags: [{ tagKey: "team", tagValue: "blue" }] });
  await again.close();
  return { code: recoveryCode, older, newer };
}

/** Puts a file or folder of one state into another vault's directory. */
export async function putFrom(source: string, directory: string, name: string): Promise<void> {
  await rm(join(directory, name), { recursive: true, force: true });
  await cp(join(source, name), join(directory, name), { recursive: true });
}

/** Works on the raw database. */
export async function withStore<T>(directory: string, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openLevelStore(join(directory, "db-1"), { create: false });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** LevelDB keys of one table, in order. */
export async function keysOf(store: Store, table: number): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  const range = { gte: Uint8Array.of(table), lt: Uint8Array.of(table + 1) };
  for await (const [key] of store.entries(range)) keys.push(key);
  return keys;
}

/** The keys of a vault; the caller wipes them. */
export function keysFor(directory: string, code: string): Promise<VaultKeys> {
  return keysFrom(directory, recovery(code));
}

/** The same, by any way in. */
export async function keysFrom(directory: string, unlocker: Unlocker): Promise<VaultKeys> {
  const { header } = await readHeaderCopies(nodeFileSystem, directory);
  const { vaultId } = header;
  const context = { vaultId, warn: (): undefined => undefined };
  const { root } = await openRoot(header, wayInOf(unlocker, "unlock"), context);
  return new VaultKeys(root, vaultId);
}
