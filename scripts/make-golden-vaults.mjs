/**
 * Makes the golden vaults, `fixtures/vaults/v1/<kind>/` with a sidecar `<kind>.json`, and a golden backup of one of
 * them. Every later version opens them. Runs on the built package; then `node scripts/make-fixtures.mjs` lists their
 * hashes. What exists is never touched: a released format is read for ever.
 *
 * The one that opens by a token is made with SoftHSM (its module's path in COFFER_SOFTHSM), into which the sidecar's key
 * is loaded: whoever opens it loads that key into a token of theirs.
 *
 * Sidecar: `unlock` says how the vault opens, `blob` (Base64) decrypts to `plaintext` under `context`, `anchor` is
 * that of the vault as it lies there.
 * @module
 */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { combined, createVault, keychain, openVault, pkcs11, recovery } from "../dist/index.js";
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
  await golden("pkcs11", async (directory) => {
    const { token, privateKey } = goldenToken();
    const { vault } = await createVault(directory, { unlock: pkcs11(token), recoveryCode: false });
    return { vault, unlock: { kind: "pkcs11", privateKey }, again: () => pkcs11(token) };
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

/** A token of SoftHSM with a new key, which the sidecar gives away. */
function goldenToken() {
  const pin = "123456";
  const tokens = join(folder, "softhsm");
  mkdirSync(tokens);
  const config = join(folder, "softhsm2.conf");
  writeFileSync(config, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  const module = process.env.COFFER_SOFTHSM ?? "/usr/lib/softhsm/libsofthsm2.so";
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" }).toString("base64");
  const env = { SOFTHSM2_CONF: config };
  const maker = fileURLToPath(new URL("../test/keystore/slots/pkcs11/make-token.mjs", import.meta.url));
  const keys = [{ kind: "ec256", id: "03", pkcs8 }];
  const task = JSON.stringify({ module, init: { label: "golden", pin }, pin, keys });
  execFileSync(process.execPath, [maker, task], { env: { ...process.env, ...env } });
  return { token: { module, env, pin, keyId: "03" }, privateKey: pkcs8 };
}

function text(sidecar) {
  return `${JSON.stringify(sidecar, undefined, 2)}\n`;
}
