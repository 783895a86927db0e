/**
 * Makes the golden vaults, `fixtures/vaults/v1/<kind>/` with a sidecar `<kind>.json`, and a golden backup of one of
 * them. Every later version opens them. Runs on the built package; then `node scripts/make-fixtures.mjs` lists their
 * hashes. What exists is never touched: a released format is read for ever.
 *
 * Sidecar: `unlock` says how the vault opens, `blob` (Base64) decrypts to `plaintext` under `context`, `anchor` is
 * that of the vault as it lies there.
 * @module
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { combined, createVault, keychain, openVault, recovery } from "../dist/index.js";
import { passphraseWith } from "../dist/keystore/slots/passphrase.js";
import { goldenKeychain } from "./golden-keychain.mjs";

const VAULTS = fileURLToPath(new URL("../fixtures/vaults/v1/", import.meta.url));
const BACKUPS = fileURLToPath(new URL("../fixtures/backup/v1/", import.meta.url));
const SECRET = "golden vault: correct horse battery staple";
const SECOND = "golden vault: the second person's words";
/** The least cost that `passphrase` accepts. */
const cost = { memoryKiB: 65_536, passes: 3, lanes: 4 };
const passphrase = (secret) => passphraseWith(secret, { cost });

const folder = mkdtempSync(join(tmpdir(), "coffer-golden-"));
mkdirSync(VAULTS, { recursive: true });
mkdirSync(BACKUPS, { recursive: true });
try {
  await golden("passphrase", async (directory) => {
    const { vault } = await createVault(directory, { unlock: passphrase(SECRET), recoveryCode: false });
    return { vault, unlock: { kind: "passphrase", passphrase: SECRET }, again: () => passphrase(SECRET) };
  });
  await golden("recovery", async (directory) => {
    const { vault, recoveryCode } = await createVault(directory, { unlock: passphrase(SECRET) });
    return {
      vault,
      unlock: { kind: "recovery", code: recoveryCode },
      again: () => recovery(recoveryCode),
      isBackedUp: true,
    };
  });
  await golden("keychain", async (directory) => {
    const { vault } = await createVault(directory, { unlock: passphrase(SECRET) });
    await vault.slots.add(keychain(goldenKeychain), { label: "this machine" });
    return { vault, unlock: { kind: "keychain" }, again: () => keychain(goldenKeychain) };
  });
  await golden("combined", async (directory) => {
    const both = () => combined(passphrase(SECRET), passphrase(SECOND));
    const { vault } = await createVault(directory, { unlock: both(), recoveryCode: false });
    return { vault, unlock: { kind: "combined", passphrases: [SECRET, SECOND] }, again: both };
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Makes one vault: two sessions, so that its database has tables as well as a log. */
async function golden(kind, make) {
  const target = join(VAULTS, kind);
  if (existsSync(target)) return;
  const directory = join(folder, kind);
  const { vault, unlock, again, isBackedUp = false } = await make(directory);
  const context = { purpose: "golden" };
  const plaintext = "WorkKey";
  const { keyMetadata } = await vault.kms.createKey({
    alias: "alias/Apollo/WorkKey",
    description: "golden",
    tags: [{ tagKey: "made", tagValue: "once" }],
  });
  const { keyId } = keyMetadata;
  const sealed = await vault.kms.encrypt({ keyId, plaintext, encryptionContext: context });
  await vault.close();
  const opened = await openVault(directory, { unlock: again() });
  await opened.kms.rotateKeyOnDemand({ keyId });
  const anchor = await opened.anchor();
  const blob = Buffer.from(sealed.ciphertextBlob).toString("base64");
  const sidecar = { expect: "success", unlock, vaultId: opened.id, keyId, context, plaintext, blob, anchor };
  if (isBackedUp) {
    await opened.backup(join(BACKUPS, `${kind}.bin`));
    writeFileSync(join(BACKUPS, `${kind}.json`), text(sidecar), { flag: "wx" });
  }
  await opened.close();
  for (const name of ["LOG", "LOG.old", "LOCK"]) rmSync(join(directory, "db-1", name), { force: true });
  cpSync(directory, target, { recursive: true, errorOnExist: true });
  // Git keeps no empty folders, so a vault must do without them.
  for (const name of ["objects", "incoming"]) rmSync(join(target, name), { recursive: true });
  writeFileSync(join(VAULTS, `${kind}.json`), text(sidecar), { flag: "wx" });
  console.log(`made ${kind}`);
}

function text(sidecar) {
  return `${JSON.stringify(sidecar, undefined, 2)}\n`;
}
