import {
  appendFile,
  chmod,
  link,
  mkdir,
  rename,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type FileStats, nodeCalls } from "../../src/storage/file-system.ts";
import { testVaults } from "../kms/kms-vault.ts";
import { VaultFiles } from "../../src/envelope/vault-files.ts";
import { modeOf } from "../storage/scratch.ts";
import { bytesOf, E, EDGE_LENGTHS, fileGround, holds, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();
const newVault = testVaults();

describe("encryptFile and decryptFile", () => {
  test.each([...EDGE_LENGTHS, 40 * P + 5])("give back %i bytes", async (length) => {
    const directory = await ground.scratch();
    const plaintext = pattern(length);
    const { source, encrypted, decrypted } = await sourceIn(directory, plaintext);
    const result = await ground.files.encryptFile(source, encrypted, {});
    const segments = Math.max(1, Math.ceil(length / P));
    expect(result).toEqual({
      plaintextBytes: length,
      encryptedBytes: 512 + 2 * 2048 + 74 + length + 32 * segments,
    });
    expect((await bytesOf(encrypted)).length).toBe(result.encryptedBytes);
    expect(await ground.files.decryptFile(encrypted, decrypted, {})).toEqual({ plaintextBytes: length });
    expect(await holds(decrypted, plaintext)).toBe(true);
    expect(await namesIn(directory)).toEqual(["a", "a.cof", "b"]);
  });

  test.each([262_144, 1_048_576])("use segments of %i bytes where asked", async (segmentBytes) => {
    const plaintext = pattern(segmentBytes * 2 + 1);
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    await ground.files.encryptFile(source, encrypted, { segmentBytes });
    expect(await ground.files.fileInfo(encrypted)).toMatchObject({
      segmentBytes,
      plaintextBytes: plaintext.length,
    });
    await ground.files.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, plaintext)).toBe(true);
  });

  test("give back a source that is read one byte at a time", async () => {
    const files = ground.on({
      open: async (...args) => {
        const handle = await nodeCalls.open(...args);
        return { ...handle, read: (buffer, position) => handle.read(buffer.subarray(0, 1), position) };
      },
    });
    const plaintext = pattern(3000);
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    await files.encryptFile(source, encrypted, {});
    await files.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, plaintext)).toBe(true);
  });

  test("make two different files of one source", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await ground.files.encryptFile(source, encrypted, {});
    await ground.files.encryptFile(source, decrypted, {});
    const [first, second] = [await bytesOf(encrypted), await bytesOf(decrypted)];
    expect(first.subarray(16, 32)).not.toEqual(second.subarray(16, 32));
    expect(first.subarray(-42)).not.toEqual(second.subarray(-42));
  });

  test("write files that only their owner can read, whatever the source's mode", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await chmod(source, 0o644);
    await ground.files.encryptFile(source, encrypted, {});
    await chmod(encrypted, 0o644);
    await ground.files.decryptFile(encrypted, decrypted, {});
    expect(await modeOf(decrypted)).toBe("0o600");
  });

  test("use the key that is named, by id or alias", async () => {
    const { kms } = ground.vault.vault;
    const { keyMetadata } = await kms.createKey({ alias: "alias/files" });
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await ground.files.encryptFile(source, encrypted, { keyId: "alias/files" });
    expect((await ground.files.fileInfo(encrypted)).entries).toMatchObject([
      { kind: "key", id: keyMetadata.keyId, keyVersion: 1 },
    ]);
    await kms.disableKey({ keyId: keyMetadata.keyId });
    await expect(ground.files.decryptFile(encrypted, decrypted, {})).rejects.toMatchObject({
      code: "COFFER_KEY_DISABLED",
    });
  });

  test("say that a file is of another vault", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await ground.files.encryptFile(source, encrypted, {});
    const { kms } = (await newVault()).vault;
    const other = new VaultFiles({ ...ground.host, kms: () => kms });
    await expect(other.decryptFile(encrypted, decrypted, {})).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
      reason: "other-vault",
    });
  });
});

describe("the encryption context [F-210] [F-224]", () => {
  const encryptionContext = { film: "2001", "": "ü" };

  test("is stored unless told otherwise, and a given one must be the same", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await ground.files.encryptFile(source, encrypted, { encryptionContext });
    expect(await ground.files.fileInfo(encrypted)).toMatchObject({ encryptionContext });
    await ground.files.decryptFile(encrypted, decrypted, {});
    await ground.files.decryptFile(encrypted, decrypted, { encryptionContext, overwrite: true });
    for (const wrong of [{}, { film: "2010", "": "ü" }, { film: "2001" }]) {
      await expect(
        ground.files.decryptFile(encrypted, decrypted, { encryptionContext: wrong, overwrite: true }),
      ).rejects.toMatchObject({ code: "COFFER_INVALID_CIPHERTEXT" });
    }
  });

  test("is needed where it is not stored", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await ground.files.encryptFile(source, encrypted, { encryptionContext, storeContext: false });
    expect(await ground.files.fileInfo(encrypted)).toMatchObject({ encryptionContext: undefined });
    await expect(ground.files.decryptFile(encrypted, decrypted, {})).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
    await ground.files.decryptFile(encrypted, decrypted, { encryptionContext });
  });

  test("has no names of Coffer's own", async () => {
    const { source, encrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await expect(
      ground.files.encryptFile(source, encrypted, { encryptionContext: { "coffer:file": "x" } }),
    ).rejects.toMatchObject({ code: "COFFER_INVALID_ARGUMENT", reason: "reserved-name" });
  });

  test("the data key is an ordinary one: decrypt gives it out under the context with the file's id", async () => {
    const { source, encrypted } = await sourceIn(await ground.scratch(), pattern(10));
    await ground.files.encryptFile(source, encrypted, { encryptionContext });
    const { fileId } = await ground.files.fileInfo(encrypted);
    const area = (await bytesOf(encrypted)).subarray(512);
    const opened = await ground.vault.vault.kms.decrypt({
      ciphertextBlob: area.slice(16, 16 + 136),
      encryptionContext: { ...encryptionContext, "coffer:file": fileId },
    });
    expect(opened.plaintext).toHaveLength(32);
  });
});

describe("the destination", () => {
  test("is refused when it exists, and replaced with overwrite", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(10));
    await writeFile(encrypted, "old");
    await expect(ground.files.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_ALREADY_EXISTS",
    });
    expect(await bytesOf(encrypted)).toHaveLength(3);
    await ground.files.encryptFile(source, encrypted, { overwrite: true });
    expect((await ground.files.fileInfo(encrypted)).plaintextBytes).toBe(10);
    expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  });

  test("is not replaced when it appears while the work goes on", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(10));
    const files = ground.on({
      link: async (from, to) => {
        await writeFile(encrypted, "theirs");
        return nodeCalls.link(from, to);
      },
    });
    await expect(files.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_ALREADY_EXISTS",
    });
    expect(await bytesOf(encrypted)).toHaveLength(6);
    expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  });

  test("is written where the file system has no second names", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(10));
    const files = ground.on({ link: () => Promise.reject(Object.assign(new Error(), { code: "EPERM" })) });
    await files.encryptFile(source, encrypted, {});
    expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  });

  test("is refused when it is the source, by name, link or hard link", async () => {
    const directory = await ground.scratch();
    const { source } = await sourceIn(directory, pattern(10));
    await symlink("a", join(directory, "soft"));
    await link(source, join(directory, "hard"));
    for (const name of ["a", "soft", "hard"]) {
      await expect(
        ground.files.encryptFile(source, join(directory, name), { overwrite: true }),
      ).rejects.toMatchObject({ code: "COFFER_INVALID_ARGUMENT", reason: "same-file" });
    }
    expect(await bytesOf(source)).toEqual(pattern(10));
  });

  test("is refused when it is a directory or in none", async () => {
    const directory = await ground.scratch();
    const { source } = await sourceIn(directory, pattern(10));
    await mkdir(join(directory, "d"));
    for (const path of [join(directory, "d"), join(directory, "nowhere", "x")]) {
      await expect(ground.files.encryptFile(source, path, { overwrite: true })).rejects.toMatchObject({
        code: "COFFER_IO",
      });
    }
    expect(await namesIn(directory)).toEqual(["a", "d"]);
  });
});

describe("the source", () => {
  test("that does not exist, or is no file, is refused", async () => {
    const directory = await ground.scratch();
    for (const path of [join(directory, "nothing"), directory]) {
      await expect(ground.files.encryptFile(path, join(directory, "x"), {})).rejects.toMatchObject({
        code: "COFFER_IO",
      });
    }
    expect(await namesIn(directory)).toEqual([]);
  });

  test.each([
    ["grows", (path: string) => appendFile(path, "x")],
    ["shrinks", (path: string) => truncate(path, P)],
    ["is touched", (path: string) => utimes(path, 1, 1)],
    ["is replaced", (path: string) => rename(`${path}.new`, path)],
  ])("that %s while it is read is an error, and leaves nothing", async (_, change) => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(3 * P));
    await writeFile(`${source}.new`, pattern(3 * P, 2));
    let isChanged = false;
    const files = ground.on({
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        if (!path.endsWith(".tmp")) return handle;
        return {
          ...handle,
          writev: async (parts, position) => {
            if (!isChanged) await change(source);
            isChanged = true;
            return handle.writev(parts, position);
          },
        };
      },
    });
    await expect(files.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_SOURCE_CHANGED",
      retryable: true,
    });
    expect((await namesIn(directory)).filter((name) => name.includes("cof"))).toEqual([]);
  });

  test("named by a relative path is the one of the call, wherever the process goes meanwhile", async () => {
    const [directory, elsewhere] = [await ground.scratch(), await ground.scratch()];
    await sourceIn(directory, pattern(P));
    const before = process.cwd();
    const files = ground.on({
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        process.chdir(elsewhere);
        return handle;
      },
    });
    try {
      process.chdir(directory);
      await files.encryptFile("a", "a.cof", {});
      process.chdir(directory);
      await files.decryptFile("a.cof", "b", {});
    } finally {
      process.chdir(before);
    }
    expect([await namesIn(directory), await namesIn(elsewhere)]).toEqual([["a", "a.cof", "b"], []]);
  });

  test("that has more than it says is an error, and leaves nothing", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(3 * P));
    // As the files of /proc do, which say that they are empty.
    const shorter = (stats: FileStats): FileStats =>
      stats.kind === "file" ? { ...stats, size: 2 * P } : stats;
    const files = ground.on({
      stat: async (path) => shorter(await nodeCalls.stat(path)),
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        return path === source ? { ...handle, stat: async () => shorter(await handle.stat()) } : handle;
      },
    });
    await expect(files.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_SOURCE_CHANGED",
    });
    expect(await namesIn(directory)).toEqual(["a"]);
  });

  test("that is no encrypted file says what it is", async () => {
    const directory = await ground.scratch();
    const path = join(directory, "x");
    const { ciphertextBlob } = await ground.vault.vault.kms.encrypt({ plaintext: "x" });
    const cases: [Uint8Array, string][] = [
      [ciphertextBlob, "coffer-blob"],
      [new Uint8Array(0), "empty"],
      [pattern(100), "not-a-file"],
      [new TextEncoder().encode("age-encryption.org/v1\n"), "age"],
    ];
    for (const [bytes, reason] of cases) {
      await writeFile(path, bytes);
      await expect(ground.files.decryptFile(path, join(directory, "y"), {})).rejects.toMatchObject({
        code: "COFFER_INVALID_CIPHERTEXT",
        reason,
      });
    }
    expect(await namesIn(directory)).toEqual(["x"]);
  });
});

describe("progress", () => {
  test("goes up to the whole, at most every 50 ms", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(80 * P));
    const slow = ground.on({
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        const read: typeof handle.read = async (buffer, position) => {
          await new Promise((resolve) => setTimeout(resolve, 20));
          return handle.read(buffer, position);
        };
        return { ...handle, read };
      },
    });
    for (const run of [
      (onProgress: (p: { bytes: number; totalBytes: number }) => void) =>
        slow.encryptFile(source, encrypted, { onProgress }),
      (onProgress: (p: { bytes: number; totalBytes: number }) => void) =>
        slow.decryptFile(encrypted, decrypted, { onProgress }),
    ]) {
      const told: { bytes: number; atMs: number }[] = [];
      await run(({ bytes, totalBytes }) => {
        expect(totalBytes).toBe(80 * P);
        told.push({ bytes, atMs: performance.now() });
      });
      expect(told.length).toBeGreaterThan(1);
      expect(told.at(-1)?.bytes).toBe(80 * P);
      for (const [i, { bytes, atMs }] of told.entries()) {
        const before = told[i - 1];
        if (before === undefined) continue;
        expect(bytes).toBeGreaterThanOrEqual(before.bytes);
        expect(atMs - before.atMs).toBeGreaterThanOrEqual(49);
      }
    }
  });

  test("a listener that throws ends the work, and leaves nothing", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(80 * P));
    const onProgress = (): void => {
      throw new Error("enough");
    };
    await expect(ground.files.encryptFile(source, encrypted, { onProgress })).rejects.toThrow("enough");
    expect(await namesIn(directory)).toEqual(["a"]);
  });

  test("a listener that throws when all is done leaves nothing either, and what was there before", async () => {
    const directory = await ground.scratch();
    const { source, encrypted, decrypted } = await sourceIn(directory, pattern(P));
    await ground.files.encryptFile(source, encrypted);
    const [old, other] = [pattern(100, 2), join(directory, "c.cof")];
    await writeFile(decrypted, old);
    await writeFile(other, old);
    const onProgress = ({ bytes, totalBytes }: { bytes: number; totalBytes: number }): void => {
      if (bytes === totalBytes) throw new Error("enough");
    };
    const over = { onProgress, overwrite: true };
    for (const run of [
      () => ground.files.encryptFile(source, other, over),
      () => ground.files.encryptFile(source, join(directory, "new.cof"), { onProgress }),
      () => ground.files.decryptFile(encrypted, decrypted, over),
      () => ground.files.decryptFile(encrypted, join(directory, "new"), { onProgress }),
    ]) {
      await expect(run()).rejects.toThrow("enough");
    }
    expect(await namesIn(directory)).toEqual(["a", "a.cof", "b", "c.cof"]);
    expect(await holds(decrypted, old)).toBe(true);
    expect(await holds(other, old)).toBe(true);
  });
});

describe("ending early", () => {
  const slowly = (): VaultFiles =>
    ground.on({
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        const read: typeof handle.read = async (buffer, position) => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          return handle.read(buffer, position);
        };
        return { ...handle, read };
      },
    });

  test("an abort rejects with its reason and leaves nothing, at any time", async () => {
    const directory = await ground.scratch();
    const { source, encrypted, decrypted } = await sourceIn(directory, pattern(64 * P));
    await ground.files.encryptFile(source, encrypted, {});
    const reason = new Error("no longer wanted");
    for (const afterMs of [0, 3, 8, 15, 25]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), afterMs);
      const { signal } = controller;
      await expect(slowly().encryptFile(source, join(directory, "x"), { signal })).rejects.toBe(reason);
      const again = new AbortController();
      setTimeout(() => again.abort(reason), afterMs);
      await expect(slowly().decryptFile(encrypted, decrypted, { signal: again.signal })).rejects.toBe(reason);
    }
    await expect(
      ground.files.encryptFile(source, decrypted, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  });

  test("a lock ends the work with COFFER_LOCKED and leaves nothing", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, pattern(64 * P));
    const running = slowly().encryptFile(source, encrypted, {});
    setTimeout(ground.lock, 10);
    await expect(running).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    await expect(ground.files.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_LOCKED",
    });
    expect(await namesIn(directory)).toEqual(["a"]);
  });
});

describe("arguments", () => {
  test.each([
    ["no such option", { colour: 1 }],
    ["segmentBytes", { segmentBytes: 1000 }],
    ["overwrite", { overwrite: 1 }],
    ["onProgress", { onProgress: 1 }],
    ["signal", { signal: {} }],
    ["encryptionContext", { encryptionContext: { a: 1 } }],
  ])("%s", async (message, options) => {
    await expect(ground.files.encryptFile("a", "b", options as never)).rejects.toThrow(
      expect.objectContaining({ name: "TypeError", message: expect.stringContaining(message) as string }),
    );
  });

  test("paths are strings", async () => {
    await expect(ground.files.encryptFile(Buffer.from("a") as never, "b", {})).rejects.toThrow(TypeError);
    await expect(ground.files.decryptFile("a", "", {})).rejects.toThrow(TypeError);
  });

  test("a whole segment is 32 bytes longer than its plaintext", () => {
    expect(E - P).toBe(32);
  });
});
