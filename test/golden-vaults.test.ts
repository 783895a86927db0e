import { chmod, cp, readdir, readFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import {
  combined,
  keychain,
  openVault,
  passphrase,
  recovery,
  restoreVault,
  type Unlocker,
  type Vault,
  type VaultNotice,
} from "../src/index.ts";
import { addToken, byToken, softHsm } from "./keystore/slots/pkcs11/token-ground.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const scratch = scratchDirectories();
const VAULTS = fileURLToPath(new URL("../fixtures/vaults/v1/", import.meta.url));
const BACKUPS = fileURLToPath(new URL("../fixtures/backup/v1/", import.meta.url));
const KINDS = readdirSync(VAULTS).filter((name) => !name.endsWith(".json"));

interface Sidecar {
  readonly unlock:
    | { readonly kind: "passphrase"; readonly passphrase: string }
    | { readonly kind: "recovery"; readonly code: string }
    | { readonly kind: "keychain" }
    | { readonly kind: "pkcs11"; readonly privateKey: string }
    | { readonly kind: "combined"; readonly passphrases: readonly [string, string] };
  readonly vaultId: string;
  readonly keyId: string;
  readonly context: Readonly<Record<string, string>>;
  readonly plaintext: string;
  readonly blob: string;
  readonly anchor: string;
}

const other = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes, (byte) => byte ^ 0x5a);

/** A token of SoftHSM into which the golden key is loaded. */
async function goldenToken(pkcs8: string): Promise<Unlocker> {
  const access = await softHsm(await scratch());
  await addToken(access, "another label", [{ kind: "ec256", id: "0f", pkcs8 }]);
  return byToken(access);
}

async function unlockerOf({ unlock }: Sidecar): Promise<Unlocker> {
  switch (unlock.kind) {
    case "passphrase":
      return passphrase(unlock.passphrase);
    case "recovery":
      return recovery(unlock.code);
    case "pkcs11":
      return goldenToken(unlock.privateKey);
    case "keychain":
      return keychain({ backend: "golden", protect: other, unprotect: other });
    default:
      return combined(passphrase(unlock.passphrases[0]), passphrase(unlock.passphrases[1]));
  }
}

const sidecarOf = async (path: string): Promise<Sidecar> =>
  JSON.parse(await readFile(path, "utf8")) as Sidecar;

/** Everything in it is what its sidecar says, and it can be changed. */
async function expectWhole(vault: Vault, sidecar: Sidecar): Promise<void> {
  const { keyId, context: encryptionContext, blob } = sidecar;
  expect(vault.id).toBe(sidecar.vaultId);
  const { keyMetadata } = await vault.kms.describeKey({ keyId: "alias/Apollo/WorkKey" });
  expect(keyMetadata).toMatchObject({ keyId, description: "golden", keyState: "Enabled" });
  const { plaintext } = await vault.kms.decrypt({
    ciphertextBlob: Buffer.from(blob, "base64"),
    encryptionContext,
  });
  expect(Buffer.from(plaintext).toString()).toBe(sidecar.plaintext);
  expect((await vault.kms.listResourceTags({ keyId })).tags).toEqual([{ tagKey: "made", tagValue: "once" }]);
  expect((await vault.kms.encrypt({ keyId, plaintext: "x" })).keyVersion).toBe(2);
  await vault.kms.createKey({ alias: "alias/new" });
}

test("there is a vault for each kind of slot that can be made", () => {
  expect(KINDS).toEqual(["combined", "keychain", "passphrase", "pkcs11", "recovery"]);
});

test.each(KINDS)("the golden vault that opens by %s opens, whole and with its anchor", async (kind) => {
  const sidecar = await sidecarOf(join(VAULTS, `${kind}.json`));
  const directory = join(await scratch(), kind);
  await cp(join(VAULTS, kind), directory, { recursive: true });
  await chmod(directory, 0o700);
  const notices: VaultNotice[] = [];
  const onWarning = (notice: VaultNotice): void => void notices.push(notice);
  const { anchor } = sidecar;
  const vault = await openVault(directory, { unlock: await unlockerOf(sidecar), anchor, onWarning });
  try {
    await expectWhole(vault, sidecar);
    expect((await vault.slots.list()).map((slot) => slot.kind)).toContain(kind);
  } finally {
    await vault.close();
  }
  expect(notices.filter(({ type }) => type === "damage")).toEqual([]);
});

test("the golden backup is restored, whole", async () => {
  const names = (await readdir(BACKUPS)).filter((name) => name.endsWith(".bin"));
  expect(names).toEqual(["recovery.bin"]);
  for (const name of names) {
    const sidecar = await sidecarOf(join(BACKUPS, name.replace(".bin", ".json")));
    const directory = join(await scratch(), "restored");
    const { id } = await restoreVault(join(BACKUPS, name), directory, { unlock: await unlockerOf(sidecar) });
    expect(id).toBe(sidecar.vaultId);
    const vault = await openVault(directory, { unlock: await unlockerOf(sidecar), anchor: sidecar.anchor });
    try {
      await expectWhole(vault, sidecar);
    } finally {
      await vault.close();
    }
  }
});
