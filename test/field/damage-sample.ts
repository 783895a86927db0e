/**
 * Small vaults with a past, for the tests of damage: several sessions, so that every kind of LevelDB file is there,
 * and the directory as it was after each of them.
 * @module
 */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createVault, openVault, type Vault } from "../../src/vault.ts";
import { recovery } from "../../src/keystore/slots/recovery.ts";
import { cheapPassphrase } from "../kms/kms-vault.ts";

/** What a vault holds, as its reader must find it. */
export interface SampleContent {
  readonly code: string;
  readonly keys: Record<string, { description: string; blob: string; plaintext: string }>;
  readonly aliases: Record<string, string>;
  /** Aliases that were deleted. */
  readonly gone: string[];
  /** Every key that an alias has ever named. */
  readonly history: Record<string, string[]>;
}

/** Sessions of a sample: after each, its directory is kept as `<name>-<number>`. The last one is the newest. */
export const SAMPLE_SESSIONS = 7;

/** Makes a vault `name` in `samples`, with `sample.json` for what it holds. */
export async function makeSample(samples: string, name: string): Promise<SampleContent> {
  mkdirSync(samples, { recursive: true });
  const directory = join(samples, name);
  const { vault, recoveryCode } = await createVault(directory, { unlock: cheapPassphrase() });
  const content: SampleContent = {
    code: recoveryCode,
    keys: {},
    aliases: {},
    gone: [],
    history: {},
  };
  let current = vault;
  const first = await current.kms.describeKey({ keyId: "alias/default" });
  await addBlob(content, current, first.keyMetadata.keyId, first.keyMetadata.description);
  nameKey(content, "alias/default", first.keyMetadata.keyId);
  for (let session = 1; session <= SAMPLE_SESSIONS; session++) {
    await oneSession(content, current, session);
    await current.close();
    cpSync(directory, `${directory}-${session}`, { recursive: true });
    if (session === SAMPLE_SESSIONS) break;
    current = await openVault(directory, { unlock: recovery(content.code) });
  }
  writeFileSync(join(samples, "sample.json"), JSON.stringify(content));
  return content;
}

async function oneSession(content: SampleContent, vault: Vault, session: number): Promise<void> {
  const description = `key of session ${session}`;
  const alias = `alias/session-${session}`;
  const tags = [{ tagKey: "session", tagValue: String(session) }];
  const { keyMetadata } = await vault.kms.createKey({ description, alias, tags });
  await addBlob(content, vault, keyMetadata.keyId, description);
  nameKey(content, alias, keyMetadata.keyId);
  const passing = `alias/passing-${session}`;
  await vault.kms.createAlias({ aliasName: passing, targetKeyId: keyMetadata.keyId });
  content.history[passing] = [keyMetadata.keyId];
  if (session > 1) {
    // Deleted one session after it was made: its end lies in another file than its beginning.
    await vault.kms.deleteAlias({ aliasName: `alias/passing-${session - 1}` });
    content.gone.push(`alias/passing-${session - 1}`);
    await vault.kms.updateAlias({ aliasName: "alias/session-1", targetKeyId: keyMetadata.keyId });
    nameKey(content, "alias/session-1", keyMetadata.keyId);
  }
  if (session === SAMPLE_SESSIONS) {
    await vault.kms.deleteAlias({ aliasName: passing });
    content.gone.push(passing);
  }
}

function nameKey(content: SampleContent, alias: string, keyId: string): void {
  content.aliases[alias] = keyId;
  (content.history[alias] ??= []).push(keyId);
}

async function addBlob(
  content: SampleContent,
  vault: Vault,
  keyId: string,
  description: string,
): Promise<void> {
  const plaintext = `under ${keyId}`;
  const { ciphertextBlob } = await vault.kms.encrypt({ keyId, plaintext });
  const blob = Buffer.from(ciphertextBlob).toString("base64");
  content.keys[keyId] = { description, blob, plaintext };
}
