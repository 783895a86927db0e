/**
 * When what is flushed: a name is given to nothing that is not on the drive, and a promise resolves when the name is
 * there too. A simulated power cut would need a simulated drive; the order of the calls is what decides.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type FileHandleCalls,
  type FileSystemCalls,
  nodeCalls,
  OPEN_DIRECTORY,
} from "../../src/storage/file-system-calls.ts";
import { fileGround, pattern, sourceIn, P } from "./file-ground.ts";

const ground = fileGround();

interface Recorded {
  readonly calls: Partial<FileSystemCalls>;
  /** Each call that writes, names or flushes, when it began and when it has ended. */
  readonly log: string[];
}

function recorded(): Recorded {
  const log: string[] = [];
  async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
    log.push(`${name} …`);
    const result = await work();
    // What is not awaited by the caller would come later than this.
    await new Promise((resolve) => setImmediate(resolve));
    log.push(name);
    return result;
  }
  const calls: Partial<FileSystemCalls> = {
    open: async (path, flags, mode): Promise<FileHandleCalls> => {
      const handle = await nodeCalls.open(path, flags, mode);
      const what = flags === OPEN_DIRECTORY ? "folder" : basename(path).replace(/\..*tmp$/u, ".tmp");
      return {
        ...handle,
        read: (buffer, at) => handle.read(buffer, at),
        write: (bytes, at) => step(`write ${what} at ${at}`, () => handle.write(bytes, at)),
        writev: (parts, at) => step(`write ${what} at ${at}`, () => handle.writev(parts, at)),
        sync: () => step(`flush ${what}`, () => handle.sync()),
        stat: () => handle.stat(),
        close: () => handle.close(),
      };
    },
    rename: (from, to) => step("name", () => nodeCalls.rename(from, to)),
    link: (from, to) => step("name", () => nodeCalls.link(from, to)),
    unlink: (path) => step("unname", () => nodeCalls.unlink(path)),
  };
  return { calls, log };
}

const isWrite = (entry: string): boolean => entry.startsWith("write");

describe.each([
  ["encryptFile", false],
  ["encryptFile", true],
  ["decryptFile", false],
  ["decryptFile", true],
] as const)("%s, overwrite %s", (operation, overwrite) => {
  test.each([0, 1000, 18 * P + 7])(
    "of %i bytes: writes, flush, name, flush of the folder",
    async (length) => {
      const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(length));
      await ground.files.encryptFile(source, encrypted, {});
      if (overwrite) await writeFile(decrypted, "old");
      const { calls, log } = recorded();
      const from = operation === "encryptFile" ? source : encrypted;
      await ground.on(calls)[operation](from, decrypted, { overwrite });
      const [flush, flushed] = [
        log.findIndex((e) => /^flush .*tmp …$/u.test(e)),
        log.findIndex((e) => /^flush .*tmp$/u.test(e)),
      ];
      // An empty plaintext has nothing to write.
      if (length > 0 || operation === "encryptFile") expect(log.slice(0, flush).some(isWrite)).toBe(true);
      expect(log.slice(flush).filter(isWrite)).toEqual([]);
      expect(log.slice(0, flush).filter((e) => !isWrite(e))).toEqual([]);
      const naming = overwrite ? ["name …", "name"] : ["name …", "name", "unname …", "unname"];
      expect(log.slice(flushed + 1)).toEqual([...naming, "flush folder …", "flush folder"]);
    },
  );
});

describe.each(["encryptFile", "decryptFile"] as const)("%s", (operation) => {
  async function begun(): Promise<{ from: string; to: string }> {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), pattern(P));
    await ground.files.encryptFile(source, encrypted, {});
    await writeFile(decrypted, "old");
    return { from: operation === "encryptFile" ? source : encrypted, to: decrypted };
  }

  /** Calls whose flush of a new file, or of a folder, is `flush`. */
  function flushing(of: "file" | "folder", flush: () => Promise<void>): Partial<FileSystemCalls> {
    return {
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        const isFolder = flags === OPEN_DIRECTORY;
        if (isFolder !== (of === "folder")) return handle;
        return { ...handle, sync: flush };
      },
    };
  }

  test("that is ended while it is flushed leaves the old destination", async () => {
    const { from, to } = await begun();
    const controller = new AbortController();
    const files = ground.on(flushing("file", async () => controller.abort(new Error("no longer wanted"))));
    const working = files[operation](from, to, { overwrite: true, signal: controller.signal });
    await expect(working).rejects.toThrow("no longer wanted");
    expect(await readFile(to, "utf8")).toBe("old");
  });

  test("whose name cannot be made durable says that its outcome is unknown", async () => {
    const { from, to } = await begun();
    const broken = (): Promise<void> => Promise.reject(Object.assign(new Error("broken"), { code: "EIO" }));
    await expect(
      ground.on(flushing("folder", broken))[operation](from, to, { overwrite: true }),
    ).rejects.toMatchObject({ code: "COFFER_IO", reason: "outcome-unknown", details: { errno: "EIO" } });
  });
});

test.each(["rewrapFile", "shareFile", "unshareFile"] as const)(
  "%s flushes area 0 before it writes area 1, and that one before it is done [F-211]",
  async (operation) => {
    const { source, encrypted } = await sourceIn(await ground.scratch(), pattern(P + 1));
    const { keyMetadata } = await ground.vault.vault.kms.createKey({});
    await ground.files.encryptFile(source, encrypted, {});
    const shared = await ground.files.shareFile(encrypted, { with: { keyId: keyMetadata.keyId } });
    const { keyMetadata: third } = await ground.vault.vault.kms.createKey({});
    const { calls, log } = recorded();
    const files = ground.on(calls);
    if (operation === "rewrapFile") await files.rewrapFile(encrypted, { keyId: third.keyId });
    else if (operation === "shareFile") await files.shareFile(encrypted, { with: { keyId: third.keyId } });
    else await files.unshareFile(encrypted, shared.entry);
    const name = basename(encrypted);
    const [first, second] = log.filter((e) => isWrite(e) && !e.endsWith("…"));
    const placeOf = (entry: string | undefined): number => Number(entry?.split(" ").at(-1));
    expect(placeOf(first)).toBeLessThan(placeOf(second));
    const flush = [`flush ${name} …`, `flush ${name}`];
    expect(log).toEqual([`${first} …`, first, ...flush, `${second} …`, second, ...flush]);
  },
);
