import { generateKeyPairSync } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { combined, createVault, openVault, type Unlocker } from "../../../../src/index.ts";
import { passphraseWith } from "../../../../src/keystore/slots/passphrase.ts";
import { listTokensWith } from "../../../../src/keystore/slots/pkcs11/list-tokens.ts";
import { scratchDirectories } from "../../../storage/scratch.ts";
import { addToken, byToken, HELPER, nss, softHsm, tokenOf, type TokenAccess } from "./token-ground.ts";

const scratch = scratchDirectories();
const CHEAP = { cost: { memoryKiB: 64, passes: 1, lanes: 1 }, floor: { memoryKiB: 8, passes: 1 } };
const phrase = (text = "correct horse"): Unlocker => passphraseWith(text, CHEAP);
const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const shared = pair.privateKey.export({ type: "pkcs8", format: "der" }).toString("base64");

let hsm: TokenAccess;
let soft: TokenAccess;

beforeAll(async () => {
  hsm = await softHsm(await scratch());
  await addToken(hsm, "vault", [
    { kind: "ec256", id: "03", label: "slot 9d" },
    { kind: "ec384", id: "05" },
    { kind: "rsa2048", id: "04" },
    { kind: "rsa3072", id: "0b" },
    { kind: "rsa4096", id: "0c" },
    { kind: "aes", id: "06" },
    { kind: "ec521", id: "07" },
    { kind: "rsa1024", id: "08" },
    { kind: "ec256", id: "09", derive: false },
    { kind: "ec256", id: "0a", pkcs8: shared },
  ]);
  soft = await nss(await scratch(), [
    { kind: "ec256", id: "03" },
    { kind: "ec384", id: "05" },
    { kind: "rsa2048", id: "04" },
    { kind: "aes", id: "06" },
    { kind: "ec256", id: "0a", pkcs8: shared },
  ]);
});

async function vaultWith(unlock: Unlocker): Promise<string> {
  const directory = await scratch();
  const { vault } = await createVault(directory, { unlock, recoveryCode: false });
  await vault.close();
  return directory;
}

async function expectOpens(directory: string, unlock: Unlocker): Promise<void> {
  const vault = await openVault(directory, { unlock });
  const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: "x" });
  expect(Buffer.from((await vault.kms.decrypt({ ciphertextBlob })).plaintext).toString()).toBe("x");
  await vault.close();
}

describe.each([
  ["SoftHSM", (): TokenAccess => hsm, ["03", "05", "04", "0b", "0c"]],
  ["NSS", (): TokenAccess => soft, ["03", "05", "04"]],
] as const)("a vault on %s", (_name, access, ids) => {
  test.each(ids)("opens with key %s, found by its public half, and one PIN [F-149]", async (keyId) => {
    const directory = await vaultWith(
      byToken(access(), { keyId, tokenLabel: access() === hsm ? "vault" : "nss" }),
    );
    const { unlocker, asked } = tokenOf(access());
    await expectOpens(directory, unlocker);
    expect(asked.map(({ attempt, reason }) => [attempt, reason])).toEqual([[1, "unlock"]]);
  });

  test("opens with an AES key, of a token that is named", async () => {
    const tokenLabel = access() === hsm ? "vault" : "nss";
    const directory = await vaultWith(byToken(access(), { keyId: "06", tokenLabel }));
    await expectOpens(directory, byToken(access(), { tokenLabel }));
    const { unlocker, asked } = tokenOf(access());
    await expect(openVault(directory, { unlock: unlocker })).rejects.toMatchObject({
      code: "COFFER_TOKEN_AMBIGUOUS",
    });
    expect(asked).toEqual([]);
  });
});

test("a slot that one driver made opens through another", async () => {
  const directory = await vaultWith(byToken(hsm, { keyId: "0a" }));
  await expectOpens(directory, byToken(soft));
  const other = await vaultWith(byToken(soft, { keyId: "0a" }));
  await expectOpens(other, byToken(hsm));
});

test("token and passphrase together: neither opens alone", async () => {
  const directory = await vaultWith(combined(phrase(), byToken(hsm, { keyId: "03" })));
  await expectOpens(directory, combined(byToken(hsm), phrase()));
  const { unlocker, asked } = tokenOf(hsm);
  await expect(openVault(directory, { unlock: combined(phrase("wrong"), unlocker) })).rejects.toMatchObject({
    code: "COFFER_WRONG_SECRET",
  });
  expect(asked.length).toBe(1);
  await expect(openVault(directory, { unlock: phrase() })).rejects.toMatchObject({
    code: "COFFER_WRONG_SECRET",
  });
  await expect(openVault(directory, { unlock: byToken(hsm) })).rejects.toMatchObject({
    code: "COFFER_TOKEN_KEY_NOT_FOUND",
    details: { reason: "combined" },
  });
});

test("two tokens together, of one module", async () => {
  const both = (): Unlocker => combined(byToken(hsm, { keyId: "03" }), byToken(hsm, { keyId: "04" }));
  const directory = await vaultWith(both());
  await expectOpens(directory, both());
});

test.each(["07", "08"])("key %s is of a kind that no slot takes, and no PIN is asked for", async (keyId) => {
  const { unlocker, asked } = tokenOf(hsm, { keyId });
  await expect(createVault(await scratch(), { unlock: unlocker })).rejects.toMatchObject({
    code: "COFFER_TOKEN_KEY_UNSUITABLE",
  });
  expect(asked).toEqual([]);
});

test("the trial finds a key that may not agree; without it the first unlock does", async () => {
  await expect(createVault(await scratch(), { unlock: byToken(hsm, { keyId: "09" }) })).rejects.toMatchObject(
    {
      code: "COFFER_TOKEN_KEY_UNSUITABLE",
      details: { stage: "operate", tokenLabel: "vault" },
    },
  );
  const { unlocker, asked } = tokenOf(hsm, { keyId: "09", trial: false });
  const directory = await vaultWith(unlocker);
  expect(asked).toEqual([]);
  await expect(openVault(directory, { unlock: byToken(hsm) })).rejects.toMatchObject({
    code: "COFFER_TOKEN_KEY_UNSUITABLE",
  });
});

test("several keys that fit are not chosen from, and a key that is not there is not found", async () => {
  await expect(createVault(await scratch(), { unlock: byToken(hsm) })).rejects.toMatchObject({
    code: "COFFER_TOKEN_AMBIGUOUS",
    details: { reason: "key" },
  });
  const { unlocker, asked } = tokenOf(hsm, { keyId: "77" });
  await expect(createVault(await scratch(), { unlock: unlocker })).rejects.toMatchObject({
    code: "COFFER_TOKEN_KEY_NOT_FOUND",
  });
  await expect(
    createVault(await scratch(), { unlock: byToken(hsm, { tokenLabel: "none" }) }),
  ).rejects.toMatchObject({
    code: "COFFER_TOKEN_KEY_NOT_FOUND",
    details: { tokensSeen: ["vault"] },
  });
  // Without a public key that is an AES key's id, perhaps: the login comes first.
  expect(asked.length).toBe(1);
});

test("tokens are listed with what can serve and what is missing, without a PIN", async () => {
  const [token, ...more] = await listTokensWith({ ...hsm }, { script: HELPER });
  expect(more).toEqual([]);
  expect(token).toMatchObject({ label: "vault", needsPin: true, pinLocked: false, takesAesKeys: true });
  const keys = Object.fromEntries((token?.keys ?? []).map(({ keyId, algorithm }) => [keyId, algorithm]));
  expect(keys).toEqual({
    "03": "ecdh-p256",
    "04": "rsa-oaep-sha256",
    "05": "ecdh-p384",
    "07": undefined,
    "08": undefined,
    "09": "ecdh-p256",
    "0a": "ecdh-p256",
    "0b": "rsa-oaep-sha256",
    "0c": "rsa-oaep-sha256",
  });
  const unusable = token?.keys.filter(({ isUsable }) => !isUsable).map(({ missing }) => missing);
  expect(unusable).toEqual(Array(2).fill("Not P-256, P-384 or RSA of 2048, 3072 or 4096 bits."));
});
