import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { openVault, recovery } from "../src/index.ts";
import { nodeCalls } from "../src/storage/file-system-calls.ts";
import { createFileSystem } from "../src/storage/file-system.ts";
import { memoryFileCalls } from "../src/storage/memory-file-calls.ts";
import { cheapPassphrase, ManualClock, type MemoryVaults, memoryVaults } from "../src/testing.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { canary } from "./canary.ts";

const scratch = scratchDirectories();
const START = Date.UTC(2030, 0, 1);
const SECRET = canary("passphrase");

let clock: ManualClock;
let vaults: MemoryVaults;

beforeEach(() => {
  clock = new ManualClock(START);
  vaults = memoryVaults({ clock });
});

describe("vaults in memory", () => {
  test("keep what is in them from close to open, and lie on no drive", async () => {
    const { vault, recoveryCode = "" } = await vaults.createVault("my.vault", {
      unlock: cheapPassphrase(SECRET),
    });
    const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: "WorkKey" });
    await vault.close();
    for (const unlock of [cheapPassphrase(SECRET), recovery(recoveryCode)]) {
      const again = await vaults.openVault("./my.vault", { unlock });
      const { plaintext } = await again.kms.decrypt({ ciphertextBlob });
      expect(Buffer.from(plaintext).toString()).toBe("WorkKey");
      await again.close();
    }
    expect(await vaults.describeVault("my.vault")).toMatchObject({ exists: true });
    expect(await vaults.describeVault("other.vault")).toEqual({ exists: false });
    expect(await readdir(".")).not.toContain("my.vault");
    await expect(openVault("my.vault", { unlock: cheapPassphrase(SECRET) })).rejects.toMatchObject({
      code: "COFFER_VAULT_NOT_FOUND",
    });
  });

  test("refuse as those on a drive do", async () => {
    const unlock = (): ReturnType<typeof cheapPassphrase> => cheapPassphrase(SECRET);
    const { vault } = await vaults.createVault("v", { unlock: unlock() });
    await expect(vaults.openVault("v", { unlock: unlock() })).rejects.toMatchObject({
      code: "COFFER_VAULT_IN_USE",
    });
    await vault.close();
    await expect(vaults.createVault("v", { unlock: unlock() })).rejects.toMatchObject({
      code: "COFFER_VAULT_EXISTS",
    });
    await expect(vaults.openVault("v", { unlock: cheapPassphrase("wrong") })).rejects.toMatchObject({
      code: "COFFER_WRONG_SECRET",
    });
    await (await vaults.openVault("v", { unlock: unlock() })).close();
  });

  test("of one call are apart from those of another", async () => {
    const { vault } = await vaults.createVault("v", { unlock: cheapPassphrase(SECRET) });
    expect(await memoryVaults().describeVault("v")).toEqual({ exists: false });
    await vault.close();
  });

  test("change their root key and delete keys like others", async () => {
    const { vault } = await vaults.createVault("v", { unlock: cheapPassphrase(SECRET) });
    const { keyMetadata } = await vault.kms.createKey({});
    const { isOldRootDead } = await vault.rotateRootKey({ slots: [{ unlocker: cheapPassphrase(SECRET) }] });
    expect(isOldRootDead).toBe(true);
    await vault.kms.scheduleKeyDeletion({ keyId: keyMetadata.keyId, pendingWindowInDays: 7 });
    clock.advance(8 * 86_400_000);
    await expect(vault.kms.describeKey({ keyId: keyMetadata.keyId })).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
    await vault.close();
  });

  test("encrypt real files, and are backed up to them and restored from them", async () => {
    const folder = await scratch();
    const { vault, recoveryCode = "" } = await vaults.createVault("v", { unlock: cheapPassphrase(SECRET) });
    await writeFile(join(folder, "a"), "some text");
    await vault.encryptFile(join(folder, "a"), join(folder, "a.cof"));
    await vault.decryptFile(join(folder, "a.cof"), join(folder, "b"));
    expect(await readFile(join(folder, "b"), "utf8")).toBe("some text");
    await vault.backup(join(folder, "v.coa"));
    await vault.close();
    await vaults.restoreVault(join(folder, "v.coa"), "w", { unlock: recovery(recoveryCode) });
    await (await vaults.openVault("w", { unlock: cheapPassphrase(SECRET) })).close();
  });

  test("cost milliseconds", async () => {
    const begun = performance.now();
    for (let i = 0; i < 10; i++) {
      const { vault } = await vaults.createVault(`v${i}`, { unlock: cheapPassphrase(SECRET) });
      await vault.close();
    }
    // A guard against a real KDF or a real fsync, with room for a busy machine.
    expect(performance.now() - begun).toBeLessThan(10 * 250);
  });
});

describe("the manual clock", () => {
  test("tells its time, and no other", async () => {
    const { vault } = await vaults.createVault("v", { unlock: cheapPassphrase(SECRET) });
    clock.advance(1000);
    const { keyMetadata } = await vault.kms.createKey({});
    expect(keyMetadata.creationDate.getTime()).toBe(START + 1000);
    await vault.close();
  });

  test("is the time of files in memory, of which no change has the same", async () => {
    const fs = createFileSystem(memoryFileCalls("/memory", nodeCalls, clock.now));
    const file = await fs.open("/memory/file", "create");
    const stamps = new Set<bigint>();
    for (let change = 0; change < 3; change++) {
      await file.write(Uint8Array.of(change), 0);
      const { modifiedAtMs, changedAtNs } = await file.stat();
      expect(modifiedAtMs).toBe(START);
      stamps.add(changedAtNs);
    }
    expect(stamps.size).toBe(3);
    clock.advance(86_400_000);
    await file.write(Uint8Array.of(9), 0);
    expect((await fs.lstat("/memory/file")).modifiedAtMs).toBe(START + 86_400_000);
  });

  test("locks a vault when its time has come", async () => {
    const { vault } = await vaults.createVault("v", {
      unlock: cheapPassphrase(SECRET),
      autoLock: { idleMs: 60_000 },
    });
    clock.advance(59_999);
    expect(vault.state).toBe("unlocked");
    clock.advance(1);
    expect(vault.state).toBe("locked");
    await expect(vault.kms.listKeys({})).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    await vault.close();
  });

  test("lets nobody wait after a wrong secret", async () => {
    const { vault } = await vaults.createVault("v", { unlock: cheapPassphrase(SECRET) });
    await vault.lock();
    for (let i = 0; i < 8; i++) {
      await expect(vault.unlock(cheapPassphrase("wrong"))).rejects.toMatchObject({
        code: "COFFER_WRONG_SECRET",
      });
    }
    await vault.unlock(cheapPassphrase(SECRET));
    expect(clock.now()).toBe(START);
    await vault.close();
  });

  test("goes forwards only, unless it is set", () => {
    expect(() => clock.advance(-1)).toThrow(RangeError);
    clock.set(START - 5);
    expect(clock.now()).toBe(START - 5);
    expect(clock.time.monotonicMs()).toBe(0);
  });
});
