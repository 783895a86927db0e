import { rm, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { VaultFiles } from "../../src/envelope/vault-files.ts";
import { type FileHandleCalls, type FileSystemCalls, nodeCalls } from "../../src/storage/file-system.ts";
import { bytesOf, fileGround, holds, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();

/** Calls of which the k-th that changes or flushes something fails, once. */
function failingAt(k: number): { calls: Partial<FileSystemCalls>; happened: () => string | undefined } {
  let count = 0;
  let happened: string | undefined;
  const guarded =
    <Args extends unknown[], T>(name: string, call: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      if (happened === undefined && count++ === k) {
        happened = name;
        throw Object.assign(new Error(name), { code: "ENOSPC" });
      }
      return call(...args);
    };
  const calls: Partial<FileSystemCalls> = {
    open: guarded("open", async (...args): Promise<FileHandleCalls> => {
      const handle = await nodeCalls.open(...args);
      return {
        ...handle,
        write: guarded("write", (bytes: Uint8Array, at: number) => handle.write(bytes, at)),
        writev: guarded("writev", (bytes: readonly Uint8Array[], at: number) => handle.writev(bytes, at)),
        sync: guarded("sync", () => handle.sync()),
        stat: guarded("stat", () => handle.stat()),
        read: guarded("read", (buffer: Uint8Array, at: number) => handle.read(buffer, at)),
        close: async () => {
          await handle.close();
        },
      };
    }),
    rename: guarded("rename", (from: string, to: string) => nodeCalls.rename(from, to)),
    link: guarded("link", (from: string, to: string) => nodeCalls.link(from, to)),
  };
  return { calls, happened: () => happened };
}

describe.each([
  ["encryptFile", false],
  ["encryptFile", true],
  ["decryptFile", false],
  ["decryptFile", true],
] as const)("%s, overwrite %s", (operation, overwrite) => {
  test("whichever call fails, the old destination or none is there, and nothing beside it", async () => {
    const directory = await ground.scratch();
    const plaintext = pattern(18 * P + 7);
    const { source, encrypted, decrypted } = await sourceIn(directory, plaintext);
    await ground.files.encryptFile(source, encrypted, {});
    const [from, to] = operation === "encryptFile" ? [source, decrypted] : [encrypted, decrypted];
    const run = (files: VaultFiles): Promise<unknown> => files[operation](from, to, { overwrite });
    const seen: string[] = [];
    for (let k = 0; ; k++) {
      if (overwrite) await writeFile(to, "old");
      const fault = failingAt(k);
      const error: unknown = await run(ground.on(fault.calls)).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      const name = fault.happened();
      if (name === undefined) break;
      seen.push(name);
      // Without second names a rename does it. The last flush is of the folder, when the file is in its place.
      const isDone = error === undefined || (await namesIn(directory)).includes("b");
      if (error === undefined) expect(name).toBe("link");
      else expect(error, name).toMatchObject({ code: "COFFER_IO", details: { errno: "ENOSPC" } });
      expect(await namesIn(directory)).toEqual(isDone || overwrite ? ["a", "a.cof", "b"] : ["a", "a.cof"]);
      if (overwrite && (await bytesOf(to)).length === 3)
        expect(await holds(to, Buffer.from("old"))).toBe(true);
      else if (operation === "decryptFile" && isDone) expect(await holds(to, plaintext)).toBe(true);
      await rm(to, { force: true });
    }
    const calls = ["open", "stat", "read", "writev", "sync", overwrite ? "rename" : "link"];
    // The last segment goes by itself.
    if (operation === "decryptFile") calls.push("write");
    expect(new Set(seen)).toEqual(new Set(calls));
  });
});
