import { cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import {
  createVault,
  type FileProgress,
  openVault,
  recovery,
  type RestoreVaultOptions,
  restoreVault,
  type Vault,
} from "../src/index.ts";
import { digest } from "../src/crypto/hmac.ts";
import { concat } from "../src/bytes.ts";
import { parseBackupPreamble } from "../src/formats/backup.ts";
import type { OpenEngine } from "../src/keystore/new-vault.ts";
import { nodeFileSystem } from "../src/storage/file-system.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import type { Store } from "../src/storage/store.ts";
import { createVaultIn } from "../src/vault.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { canary } from "./canary.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();

/** A vault with two keys, one of them rotated, and its backup, made once. */
interface Sample {
  readonly directory: string;
  readonly backup: string;
  readonly bytes: Uint8Array;
  readonly code: string;
  readonly keyId: string;
  readonly blob: Uint8Array;
  readonly anchor: string;
}

let sample: Sample;

beforeAll(async () => {
  const folder = await scratch();
  const directory = join(folder, "my.vault");
  const backup = join(folder, "my.coa");
  const { vault, recoveryCode: code } = await createVault(directory, { unlock: cheapPassphrase() });
  const { keyMetadata } = await vault.kms.createKey({
    alias: "alias/one",
    tags: [{ tagKey: "a", tagValue: "b" }],
  });
  const { keyId } = keyMetadata;
  const { ciphertextBlob: blob } = await vault.kms.encrypt({ keyId, plaintext: "WorkKey" });
  await vault.kms.rotateKeyOnDemand({ keyId });
  await vault.backup(backup);
  await vault.kms.createKey({ alias: "alias/later" });
  const anchor = await vault.anchor();
  await vault.close();
  sample = { directory, backup, bytes: await readFile(backup), code, keyId, blob, anchor };
});

async function use<T>(
  directory: string,
  work: (vault: Vault) => Promise<T>,
  options: object = {},
): Promise<T> {
  const vault = await openVault(directory, { unlock: recovery(sample.code), ...options });
  try {
    return await work(vault);
  } finally {
    await vault.close();
  }
}

/** Restores into a new folder. */
async function restore(
  file: string = sample.backup,
  options: Partial<RestoreVaultOptions> = {},
): Promise<{ readonly directory: string; readonly result: Awaited<ReturnType<typeof restoreVault>> }> {
  const directory = join(await scratch(), "restored");
  const result = await restoreVault(file, directory, { unlock: recovery(sample.code), ...options });
  return { directory, result };
}

/** Writes a changed backup and returns its path. */
async function changed(bytes: Uint8Array): Promise<string> {
  const file = join(await scratch(), "changed.coa");
  await writeFile(file, bytes);
  return file;
}

const aliases = async (vault: Vault): Promise<string[]> =>
  (await vault.kms.listAliases({})).aliases.map(({ aliasName }) => aliasName).sort();

test("a restored vault holds what the backup's vault held at that moment, and goes on from there", async () => {
  const { directory, result } = await restore();
  expect(result).toMatchObject({ keyCount: 2, createdAt: expect.any(Date) });
  await use(directory, async (vault) => {
    expect(vault.id).toBe(result.id);
    expect(await aliases(vault)).toEqual(["alias/default", "alias/one"]);
    const { plaintext } = await vault.kms.decrypt({ ciphertextBlob: sample.blob });
    expect(Buffer.from(plaintext).toString()).toBe("WorkKey");
    expect((await vault.kms.encrypt({ keyId: sample.keyId, plaintext: "x" })).keyVersion).toBe(2);
    await vault.kms.createKey({ alias: "alias/new" });
  });
  expect(await use(directory, aliases)).toContain("alias/new");
});

test("a restored vault is closed to other users from its first moment [F-105]", async () => {
  const { directory } = await restore();
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const { mode } = await stat(join(entry.parentPath, entry.name));
    // LevelDB makes its own files, within a directory that is closed.
    if (entry.parentPath === directory) expect(mode & 0o077, entry.name).toBe(0);
  }
});

test("a backup opens with every way in of its moment, and with no other", async () => {
  const folder = await scratch();
  const directory = join(folder, "v");
  const { vault, recoveryCode } = await createVault(directory, { unlock: cheapPassphrase() });
  const backup = join(folder, "v.coa");
  await vault.backup(backup);
  const [{ id } = { id: "" }] = await vault.slots.list();
  const later = canary("later");
  await vault.slots.replace(id, cheapPassphrase(later));
  await vault.close();
  await restoreVault(backup, join(folder, "a"), { unlock: cheapPassphrase() });
  await restoreVault(backup, join(folder, "b"), { unlock: recovery(recoveryCode) });
  await expect(
    restoreVault(backup, join(folder, "c"), { unlock: cheapPassphrase(later) }),
  ).rejects.toMatchObject({ code: "COFFER_WRONG_SECRET" });
  expect(await readdir(folder)).toEqual(["a", "b", "v", "v.coa"]);
});

test("a restore of an older state is refused by a later anchor, until it is accepted", async () => {
  const { directory } = await restore();
  const { anchor } = sample;
  await expect(use(directory, aliases, { anchor })).rejects.toMatchObject({ reason: "anchor" });
  await use(directory, aliases, { anchor, acceptRollback: true });
  expect(await use(directory, aliases, { anchor })).toEqual(["alias/default", "alias/one"]);
});

test("a backup is one moment of a vault that is changed meanwhile [F-165]", async () => {
  const folder = await scratch();
  const { vault, recoveryCode } = await createVault(join(folder, "v"), { unlock: cheapPassphrase() });
  const made: string[] = [];
  const writing = (async () => {
    for (let i = 0; i < 30; i++) {
      await vault.kms.createKey({ alias: `alias/n${i}` });
      made.push(`alias/n${i}`);
    }
  })();
  const files: string[] = [];
  const atLeast: number[] = [];
  for (let i = 0; i < 4; i++) {
    const file = join(folder, `${i}.coa`);
    atLeast.push(made.length);
    await vault.backup(file);
    files.push(file);
  }
  await writing;
  await vault.close();
  for (const [i, file] of files.entries()) {
    const directory = join(folder, `restored-${i}`);
    await restoreVault(file, directory, { unlock: recovery(recoveryCode) });
    const restored = await openVault(directory, { unlock: recovery(recoveryCode) });
    const { aliases: found } = await restored.kms.listAliases({ limit: 100 });
    const numbers = found
      .map(({ aliasName }) => Number(/^alias\/n(\d+)$/u.exec(aliasName)?.[1] ?? -1))
      .filter((number) => number >= 0)
      .sort((a, b) => a - b);
    // A prefix of what was made: no change is missing, none is there in part.
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(numbers.length).toBeGreaterThanOrEqual(atLeast[i] ?? 0);
    await restored.close();
  }
});

test("a check makes nothing, and names what is in the backup", async () => {
  const folder = await scratch();
  const directory = join(folder, "untouched");
  const result = await restoreVault(sample.backup, directory, {
    unlock: recovery(sample.code),
    verifyOnly: true,
  });
  expect(result.keyCount).toBe(2);
  expect(await readdir(folder)).toEqual([]);
});

test("a backup holds nothing in clear", async () => {
  const text = Buffer.from(sample.bytes).toString("latin1");
  for (const secret of ["alias/one", "WorkKey", sample.code, canary("passphrase")]) {
    expect(text).not.toContain(secret);
  }
});

test("progress is told, forwards, to the end", async () => {
  const folder = await scratch();
  const told: FileProgress[] = [];
  const onProgress = (progress: FileProgress): void => void told.push(progress);
  await use(sample.directory, (vault) => vault.backup(join(folder, "b.coa"), { onProgress }));
  expect(told.at(-1)?.bytes).toBe(told.at(-1)?.totalBytes);
  told.length = 0;
  await restore(sample.backup, { onProgress });
  expect(told.at(-1)).toEqual({ bytes: 2 * sample.bytes.length, totalBytes: 2 * sample.bytes.length });
});

test("a listener that throws when all is done ends backup and restore, and leaves nothing", async () => {
  const folder = await scratch();
  const file = join(folder, "old.coa");
  await writeFile(file, "mine");
  const onProgress = ({ bytes, totalBytes }: FileProgress): void => {
    if (bytes === totalBytes) throw new Error("enough");
  };
  await use(sample.directory, async (vault) => {
    await expect(vault.backup(file, { onProgress, overwrite: true })).rejects.toThrow("enough");
    await expect(vault.backup(join(folder, "new.coa"), { onProgress })).rejects.toThrow("enough");
  });
  const unlock = recovery(sample.code);
  await expect(restoreVault(sample.backup, join(folder, "v"), { unlock, onProgress })).rejects.toThrow(
    "enough",
  );
  expect(await readFile(file, "utf8")).toBe("mine");
  expect(await readdir(folder)).toEqual(["old.coa"]);
});

test("nothing is replaced: neither a file by a backup, nor a directory by a restore [F-167]", async () => {
  const folder = await scratch();
  const file = join(folder, "taken");
  await writeFile(file, "mine");
  await use(sample.directory, async (vault) => {
    await expect(vault.backup(file)).rejects.toMatchObject({ code: "COFFER_ALREADY_EXISTS" });
    expect(await readFile(file, "utf8")).toBe("mine");
    await vault.backup(file, { overwrite: true });
  });
  await restore(file);
  const before = await treeOf(sample.directory);
  const unlock = (): RestoreVaultOptions => ({ unlock: recovery(sample.code) });
  await expect(restoreVault(file, sample.directory, unlock())).rejects.toMatchObject({
    code: "COFFER_VAULT_EXISTS",
  });
  expect(await treeOf(sample.directory)).toEqual(before);
  await mkdir(join(folder, "full"));
  await writeFile(join(folder, "full", "x"), "x");
  await expect(restoreVault(file, join(folder, "full"), unlock())).rejects.toMatchObject({
    reason: "not-empty",
  });
  expect(await readdir(folder)).toEqual(["full", "taken"]);
});

test("a backup into the vault's own directory is refused, and so is one over its header", async () => {
  await use(sample.directory, async (vault) => {
    for (const name of ["b.coa", "header.0", join("db-1", "b.coa")]) {
      await expect(vault.backup(join(sample.directory, name), { overwrite: true })).rejects.toMatchObject({
        reason: "inside-vault",
      });
    }
  });
});

test("a backup appears whole or not at all, with mode 0600 [F-166]", async () => {
  const folder = await scratch();
  const stop = new AbortController();
  await use(sample.directory, async (vault) => {
    const onProgress = (): void => stop.abort(new Error("enough"));
    const path = join(folder, "b.coa");
    await expect(vault.backup(path, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
    await vault.backup(path, { onProgress, signal: stop.signal }).catch(() => undefined);
    const names = await readdir(folder);
    expect(names.filter((name) => name !== "b.coa")).toEqual([]);
    await vault.backup(path, { overwrite: true });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });
});

test("a backup that is under way when the vault is locked ends with COFFER_LOCKED, and leaves no file", async () => {
  const folder = await scratch();
  const directory = join(folder, "v");
  await cp(sample.directory, directory, { recursive: true });
  const vault = await openVault(directory, { unlock: recovery(sample.code) });
  const outcome = vault.backup(join(folder, "b.coa")).catch((error: unknown) => error);
  await vault.lock();
  expect(await outcome).toMatchObject({ code: "COFFER_LOCKED" });
  await expect(vault.backup(join(folder, "b.coa"))).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await vault.close();
  expect(await readdir(folder)).toEqual(["v"]);
});

test("a restore that is given up leaves nothing", async () => {
  const folder = await scratch();
  const stop = new AbortController();
  const onProgress = (): void => stop.abort(new Error("enough"));
  await expect(
    restoreVault(sample.backup, join(folder, "v"), {
      unlock: recovery(sample.code),
      onProgress,
      signal: stop.signal,
    }),
  ).rejects.toThrow("enough");
  expect(await readdir(folder)).toEqual([]);
});

test("a changed byte anywhere is refused, and nothing is made [F-160] [F-163]", async () => {
  const { bytes } = sample;
  const places = [0, 7, 8, 9, 10, 11, 12, 16, 20, 39, 43, 44, 63, 64, 80, 128, 300, bytes.length - 1];
  for (let i = 1; i < 20; i++) places.push(Math.floor((bytes.length * i) / 20));
  for (const at of places) {
    const copy = new Uint8Array(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    const file = await changed(copy);
    const directory = join(await scratch(), "v");
    await expect(
      restoreVault(file, directory, { unlock: recovery(sample.code) }),
      `byte ${at}`,
    ).rejects.toMatchObject({ code: expect.stringMatching(/^COFFER_(?:DAMAGED|UNSUPPORTED_FORMAT)$/u) });
    expect(await readdir(join(directory, ".."))).toEqual([]);
  }
});

test("a backup cut anywhere, or with bytes after its end, is refused [F-160] [F-162]", async () => {
  const { bytes } = sample;
  for (const length of [8, 9, 63, 64, 100, 500, bytes.length - 17, bytes.length - 1]) {
    const file = await changed(bytes);
    await truncate(file, length);
    await expect(restore(file)).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
  }
  await expect(restore(await changed(concat(bytes, Uint8Array.of(0))))).rejects.toMatchObject({
    code: "COFFER_DAMAGED",
  });
  for (const other of ["", "something else", "\x89COF\r\n\x1a\n"]) {
    const file = await changed(Buffer.from(other, "latin1"));
    await expect(restore(file)).rejects.toMatchObject({ code: "COFFER_UNSUPPORTED_FORMAT" });
  }
});

test("a backup whose slots ask for too much is refused before any memory is taken: A-44", async () => {
  const folder = await scratch();
  const { vault } = await createVault(join(folder, "v"), { unlock: cheapPassphrase() });
  await vault.backup(join(folder, "v.coa"));
  await vault.close();
  const bytes = new Uint8Array(await readFile(join(folder, "v.coa")));
  const image = bytes.subarray(64, 64 + parseBackupPreamble(bytes.subarray(0, 64)).headerBytes);
  // Memory of the first slot, behind its lengths, type, id and date.
  new DataView(bytes.buffer).setUint32(64 + 64 + 2 + 26 + 1, 2 ** 32 - 1);
  image.set(digest("sha256", image.subarray(0, -32)), image.length - 32);
  const file = await changed(bytes);
  const hostile = restoreVault(file, join(folder, "w"), { unlock: cheapPassphrase() });
  await expect(hostile).rejects.toMatchObject({ code: "COFFER_KDF_LIMIT" });
  expect(await readdir(folder)).toEqual(["v", "v.coa"]);
});

test("a later version, and one with files in it, is told from damage [F-161]", () => {
  for (const at of [8, 9, 10, 11]) {
    const copy = new Uint8Array(sample.bytes.subarray(0, 64));
    copy[at] = (copy[at] ?? 0) ^ 2;
    expect(() => parseBackupPreamble(copy)).toThrow(
      expect.objectContaining({ code: "COFFER_UNSUPPORTED_FORMAT" }),
    );
  }
});

test("a body of another backup of the same vault does not fit", async () => {
  const folder = await scratch();
  const other = join(folder, "other.coa");
  await use(sample.directory, (vault) => vault.backup(other));
  const otherBytes = await readFile(other);
  const length = parseBackupPreamble(otherBytes.subarray(0, 64)).headerBytes + 64;
  const own = parseBackupPreamble(sample.bytes.subarray(0, 64)).headerBytes + 64;
  const mixed = concat(sample.bytes.subarray(0, own), otherBytes.subarray(length));
  await expect(restore(await changed(mixed))).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
});

test("a vault with damaged records makes no backup, and keeps the one before [F-165]", async () => {
  const folder = await scratch();
  const backup = join(folder, "b.coa");
  let engine: Store | undefined;
  const openEngine: OpenEngine = async (path, options) => (engine = await openLevelStore(path, options));
  const { vault } = await createVaultIn({ fs: nodeFileSystem, openEngine }, join(folder, "v"), {
    unlock: cheapPassphrase(),
  });
  await vault.kms.createKey({ alias: "alias/one" });
  await vault.backup(backup);
  const before = await readFile(backup);
  const alias = Uint8Array.of(0x04);
  for await (const [key, value] of engine?.entries({ gte: alias, limit: 1 }) ?? []) {
    value[40] = (value[40] ?? 0) ^ 1;
    await engine?.write([{ type: "put", key, value }]);
  }
  await expect(vault.backup(backup, { overwrite: true })).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
  expect((await readFile(backup)).equals(before)).toBe(true);
  expect(await readdir(folder)).toEqual(["b.coa", "v"]);
  await vault.close();
});

test("a vault that has lost a header copy makes a backup, and one over that copy's place is refused", async () => {
  const folder = await scratch();
  const directory = join(folder, "v");
  const { vault } = await createVault(directory, { unlock: cheapPassphrase() });
  await rm(join(directory, "header.0"));
  await expect(vault.backup(join(directory, "header.0"))).rejects.toMatchObject({ reason: "inside-vault" });
  await vault.backup(join(folder, "v.coa"));
  await vault.close();
  await restoreVault(join(folder, "v.coa"), join(folder, "w"), { unlock: cheapPassphrase() });
});

test("a mirror that is damaged is written into the backup anew from its record", async () => {
  const folder = await scratch();
  const backup = join(folder, "b.coa");
  let engine: Store | undefined;
  const openEngine: OpenEngine = async (path, options) => (engine = await openLevelStore(path, options));
  const { vault } = await createVaultIn({ fs: nodeFileSystem, openEngine }, join(folder, "v"), {
    unlock: cheapPassphrase(),
  });
  const mirrors = { gte: Uint8Array.of(0x82), lt: Uint8Array.of(0x84) };
  for await (const [key] of engine?.entries(mirrors) ?? []) await engine?.write([{ type: "delete", key }]);
  const { recordCount } = await vault.backup(backup);
  const sound = await restoreVault(backup, join(folder, "w"), { unlock: cheapPassphrase() });
  expect(sound.recordCount).toBe(recordCount);
  await vault.close();
});

test("options are checked at the edge", async () => {
  await expect(restoreVault("", "x", { unlock: recovery(sample.code) })).rejects.toThrow(TypeError);
  await expect(
    restoreVault("x", "y", { unlock: recovery(sample.code), verify: true } as never),
  ).rejects.toThrow("options.verify: no such option");
  await use(sample.directory, async (vault) => {
    await expect(vault.backup("")).rejects.toThrow(TypeError);
    await expect(vault.backup("x", { force: true } as never)).rejects.toThrow("options.force");
  });
});
