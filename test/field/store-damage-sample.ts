/**
 * A small vault with files in it and a past, for the tests of damage: files of every size that matters, names that were
 * replaced, moved and removed, and the directory as it was after each session.
 * @module
 */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { recovery } from "../../src/keystore/slots/recovery.ts";
import { createVault, openVault, type Vault } from "../../src/vault.ts";
import { cheapPassphrase } from "../kms/kms-vault.ts";
import { bytesOf } from "./random.mjs";

/** A content: `bytesOf(size, seed)`. */
export interface SampleFile {
  readonly size: number;
  readonly seed: number;
  readonly title?: string;
}

/** What the newest vault holds, as its reader must find it. */
export interface StoreSample {
  readonly code: string;
  readonly files: Record<string, SampleFile>;
  readonly directories: string[];
  /** Whatever a path has ever led to. */
  readonly history: Record<string, SampleFile[]>;
}

/** Sessions of a sample: after each, its directory is kept as `vault-<number>`. The last one is the newest. */
export const STORE_SESSIONS = 4;

/** Sizes in the index and in objects: of one segment, of two, of four. */
const SIZES = [0, 700, 4096, 5000, 70_000, 200_000];

/** Makes the vault in `samples`, with `sample.json` for what it holds. */
export async function makeStoreSample(samples: string): Promise<StoreSample> {
  mkdirSync(samples, { recursive: true });
  const directory = join(samples, "vault");
  const { vault, recoveryCode } = await createVault(directory, { unlock: cheapPassphrase() });
  const sample: StoreSample = { code: recoveryCode, files: {}, directories: ["s", "s/inner"], history: {} };
  let current = vault;
  for (let session = 1; session <= STORE_SESSIONS; session++) {
    await oneSession(sample, current, session);
    await current.close();
    cpSync(directory, `${directory}-${session}`, { recursive: true });
    if (session < STORE_SESSIONS) current = await openVault(directory, { unlock: recovery(recoveryCode) });
  }
  writeFileSync(join(samples, "sample.json"), JSON.stringify(sample));
  return sample;
}

async function oneSession(sample: StoreSample, vault: Vault, session: number): Promise<void> {
  const put = async (path: string, size: number): Promise<void> => {
    const file = { size, seed: session * 1000 + size, title: `${path} of ${session}` };
    const { title } = file;
    await vault.store.write(path, bytesOf(size, file.seed), { overwrite: true, metadata: { title } });
    set(sample, path, file);
  };
  for (const size of SIZES) await put(`s/${session}-${size}`, size);
  for (const size of [900, 9000]) {
    await put(`s/inner/same-${size}`, size);
    await put(`s/inner/passing-${size}`, size);
    if (session === 1) continue;
    const moved = `s/moved-${session}-${size}`;
    await vault.store.move(`s/${session - 1}-5000`, `s/inner/${moved.slice(2)}`, { overwrite: true });
    set(sample, `s/inner/${moved.slice(2)}`, sample.files[`s/${session - 1}-5000`] as SampleFile);
    delete sample.files[`s/${session - 1}-5000`];
    await vault.store.copy(`s/inner/${moved.slice(2)}`, `s/${session - 1}-5000`);
    set(sample, `s/${session - 1}-5000`, sample.files[`s/inner/${moved.slice(2)}`] as SampleFile);
  }
  if (session === STORE_SESSIONS - 1) await rotate(vault);
  if (session < STORE_SESSIONS) return;
  for (const size of [900, 9000]) {
    await vault.store.remove(`s/inner/passing-${size}`);
    delete sample.files[`s/inner/passing-${size}`];
  }
}

/** Every object has other key areas afterwards, and is the same one. */
async function rotate(vault: Vault): Promise<void> {
  const { keyMetadata } = await vault.kms.describeKey();
  await vault.kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
  await vault.store.rewrapAll();
}

function set(sample: StoreSample, path: string, file: SampleFile): void {
  sample.files[path] = file;
  (sample.history[path] ??= []).push(file);
}
