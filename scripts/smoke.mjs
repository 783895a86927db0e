/**
 * Uses the installed package as an app would, and only through what it exports.
 * Run in a folder where `coffer` is installed: `node smoke.mjs import` or `node smoke.mjs require`.
 * With a third argument, a folder of golden vaults, each of them is opened from a copy.
 * The one that opens by a token opens where pkcs11js is installed and COFFER_SMOKE_TOKEN has, as JSON, options of
 * pkcs11() for a token with the golden key; else its refusal is looked at.
 * Prints one line and exits 0, or throws.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { chmod, cp, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const how = process.argv[2] ?? "import";
assert.ok(["import", "require"].includes(how), `how: expected import or require, got ${how}`);
const coffer = how === "import" ? await import("coffer") : createRequire(import.meta.url)("coffer");
const { createVault, openVault, describeVault, passphrase, recovery, isCofferError } = coffer;

const secret = "correct horse battery staple";
const marker = "smoke: this sentence stays out of every file";
const plaintext = new TextEncoder().encode(marker);
const encryptionContext = { purpose: "smoke" };
const folder = await mkdtemp(join(tmpdir(), "coffer-smoke-"));
const path = join(folder, "my.vault");

try {
  const { blob, code } = await makeVault();
  await refusesTheWrongPassphrase();
  await opensAgain(passphrase(secret), blob);
  await opensAgain(recovery(code), blob);
  await holdsNoPlaintext();
  await exportsNothingElse();
  await testsInMemory();
  if (process.argv[3] !== undefined) await opensGoldenVaults(process.argv[3]);
} finally {
  await rm(folder, { recursive: true, force: true });
}
const runtime = process.versions.bun ? `Bun ${process.versions.bun}` : `Node ${process.versions.node}`;
const token = process.env.COFFER_SMOKE_TOKEN === undefined ? "" : ", open by a token";
process.stdout.write(`${runtime}, ${how}: create, encrypt, decrypt, data key, close, open again${token}\n`);

async function makeVault() {
  assert.equal((await describeVault(path)).exists, false);
  const { vault, recoveryCode } = await createVault(path, { unlock: passphrase(secret) });
  try {
    const { keyMetadata } = await vault.kms.createKey({ alias: "alias/smoke" });
    const sealed = await vault.kms.encrypt({ keyId: "alias/smoke", plaintext, encryptionContext });
    assert.equal(sealed.keyId, keyMetadata.keyId);
    await decryptsToTheSame(vault, sealed.ciphertextBlob);
    await assert.rejects(vault.kms.decrypt({ ciphertextBlob: sealed.ciphertextBlob }), (error) =>
      isCofferError(error, "COFFER_INVALID_CIPHERTEXT"),
    );

    const dataKey = await vault.kms.generateDataKey({ keyId: "alias/smoke", keySpec: "AES_256" });
    assert.equal(dataKey.plaintext.length, 32);
    const opened = await vault.kms.decrypt({ ciphertextBlob: dataKey.ciphertextBlob });
    assert.deepEqual(Buffer.from(opened.plaintext), Buffer.from(dataKey.plaintext));
    return { blob: sealed.ciphertextBlob, code: recoveryCode };
  } finally {
    await vault.close();
    await vault.close();
  }
}

async function refusesTheWrongPassphrase() {
  await assert.rejects(openVault(path, { unlock: passphrase("not that one") }), (error) =>
    isCofferError(error, "COFFER_WRONG_SECRET"),
  );
}

async function opensAgain(unlock, blob) {
  const vault = await openVault(path, { unlock });
  try {
    await decryptsToTheSame(vault, blob);
  } finally {
    await vault.close();
  }
  await assert.rejects(vault.kms.decrypt({ ciphertextBlob: blob, encryptionContext }), isCofferError);
}

async function decryptsToTheSame(vault, ciphertextBlob) {
  const opened = await vault.kms.decrypt({ ciphertextBlob, encryptionContext });
  assert.equal(new TextDecoder().decode(opened.plaintext), marker);
}

async function holdsNoPlaintext() {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  assert.ok(files.length > 2, "the vault has files");
  for (const file of files) {
    const bytes = await readFile(join(file.parentPath ?? file.path, file.name));
    for (const text of [marker, secret, "alias/smoke"]) {
      assert.ok(!bytes.includes(text), `${file.name} holds ${text}`);
    }
  }
}

/** Vaults of the first release, one for each kind of way in. */
async function opensGoldenVaults(golden) {
  const token = process.env.COFFER_SMOKE_TOKEN && JSON.parse(process.env.COFFER_SMOKE_TOKEN);
  const { combined, keychain } = coffer;
  const other = (bytes) => Uint8Array.from(bytes, (byte) => byte ^ 0x5a);
  const unlockers = {
    passphrase: (given) => passphrase(given.passphrase),
    recovery: (given) => recovery(given.code),
    keychain: () => keychain({ backend: "golden", protect: other, unprotect: other }),
    pkcs11: () => coffer.pkcs11({ module: fileURLToPath(import.meta.url), pin: "123456", ...token }),
    combined: ({ passphrases: [first, second] }) => combined(passphrase(first), passphrase(second)),
  };
  const names = (await readdir(golden)).filter((name) => name.endsWith(".json"));
  assert.ok(names.length > 3, "there are golden vaults");
  for (const name of names) {
    const sidecar = JSON.parse(await readFile(join(golden, name), "utf8"));
    const directory = join(folder, name.replace(".json", ""));
    await cp(directory.replace(folder, golden), directory, { recursive: true });
    await chmod(directory, 0o700);
    const unlock = unlockers[sidecar.unlock.kind](sidecar.unlock);
    if (sidecar.unlock.kind === "pkcs11" && token === undefined) {
      // This app has not installed the binding of tokens.
      await assert.rejects(openVault(directory, { unlock }), {
        code: "COFFER_PKCS11_BINDING_MISSING",
        message: /npm install pkcs11js/,
      });
      continue;
    }
    const vault = await openVault(directory, { unlock, anchor: sidecar.anchor });
    const opened = await vault.kms.decrypt({
      ciphertextBlob: sidecar.blob,
      encryptionContext: sidecar.context,
    });
    assert.equal(new TextDecoder().decode(opened.plaintext), sidecar.plaintext);
    await vault.close();
  }
}

async function testsInMemory() {
  const { cheapPassphrase, ManualClock, memoryVaults } =
    how === "import" ? await import("coffer/testing") : createRequire(import.meta.url)("coffer/testing");
  const vaults = memoryVaults({ clock: new ManualClock(0) });
  const { vault } = await vaults.createVault("in memory", { unlock: cheapPassphrase(secret) });
  await vault.close();
  assert.equal((await vaults.describeVault("in memory")).exists, true);
}

async function exportsNothingElse() {
  for (const inner of [
    "coffer/dist/index.js",
    "coffer/dist/vault.js",
    "coffer/src/index.ts",
    "coffer/vault",
  ]) {
    await assert.rejects(import(inner), `${inner} can be imported`);
  }
}
