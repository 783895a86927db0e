import { expect, test } from "vitest";
import { testVaults } from "../kms/kms-vault.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { holds, isSame, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const newVault = testVaults();
const scratch = scratchDirectories();
const plaintext = pattern(3 * P + 5);

test("a vault encrypts and decrypts files, and reads in them", async () => {
  const { vault } = await newVault();
  const { source, encrypted, decrypted } = await sourceIn(await scratch(), plaintext);
  await vault.encryptFile(source, encrypted);
  await vault.decryptFile(encrypted, decrypted);
  expect(await holds(decrypted, plaintext)).toBe(true);
  const reader = await vault.openFile(encrypted);
  expect(isSame(await reader.read(P, 10), plaintext.subarray(P, P + 10))).toBe(true);
  await vault.rewrapFile(encrypted);
  expect((await vault.fileInfo(encrypted)).entries).toHaveLength(1);
  await reader.close();
});

test("files outlive a rotation of their key, and the vault's lock", async () => {
  const { vault, reopen } = await newVault();
  const { source, encrypted, decrypted } = await sourceIn(await scratch(), plaintext);
  await vault.encryptFile(source, encrypted);
  const { keyMetadata } = await vault.kms.describeKey({ keyId: "alias/default" });
  await vault.kms.rotateKeyOnDemand({ keyId: keyMetadata.keyId });
  await vault.close();
  const again = await reopen();
  await again.decryptFile(encrypted, decrypted);
  expect(await holds(decrypted, plaintext)).toBe(true);
});

test("locking ends readers, streams and running work with COFFER_LOCKED; fileInfo goes on", async () => {
  const { vault } = await newVault();
  const directory = await scratch();
  const { source, encrypted } = await sourceIn(directory, pattern(400 * P));
  await vault.encryptFile(source, encrypted);
  const reader = await vault.openFile(encrypted);
  const stream = vault.encryptStream();
  const writer = stream.writable.getWriter();
  writer.closed.catch(() => undefined);
  const running = vault.encryptFile(source, `${encrypted}.2`);
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([
    vault.lock(),
    expect(running).rejects.toMatchObject({ code: "COFFER_LOCKED" }),
    expect(stream.readable.getReader().read()).rejects.toMatchObject({ code: "COFFER_LOCKED" }),
  ]);
  await expect(reader.read(0, 1)).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await expect(vault.decryptFile(encrypted, `${encrypted}.3`)).rejects.toMatchObject({
    code: "COFFER_LOCKED",
  });
  expect(() => vault.decryptStream()).toThrow(/locked/u);
  expect((await vault.fileInfo(encrypted)).entries).toHaveLength(1);
  expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  await reader.close();
});
