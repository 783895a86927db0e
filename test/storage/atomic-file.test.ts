// Children run the built package: `npm run build` comes first.
import { execFile } from "node:child_process";
import { link, lstat, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/bytes.ts";
import {
  publishTemporary,
  syncFolder,
  unlinkIfPresent,
  writeTemporary,
} from "../../src/storage/atomic-file.ts";
import {
  createFileSystem,
  type FileHandleCalls,
  type FileSystem,
  nodeCalls,
  nodeFileSystem as fs,
} from "../../src/storage/file-system.ts";
import { distUrl, modeOf, runModule, scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

/** Notes every call that changes something or makes it durable, and lets one of them fail. */
function recorded(failAt = Infinity, code = "EIO"): { port: FileSystem; log: string[] } {
  const log: string[] = [];
  async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
    log.push(name);
    if (log.length === failAt) throw Object.assign(new Error(name), { code });
    return work();
  }
  const open = async (path: string, flags: number, mode: number): Promise<FileHandleCalls> => {
    const handle = await step("open", () => nodeCalls.open(path, flags, mode));
    return {
      ...handle,
      write: (bytes, at) => step("write", () => handle.write(bytes, at)),
      sync: () => step("sync", () => handle.sync()),
      chmod: (bits) => step("chmod", () => handle.chmod(bits)),
      close: async () => {
        await handle.close();
        return step("close", async () => undefined);
      },
    };
  };
  const port = createFileSystem({
    ...nodeCalls,
    open,
    rename: (from, to) => step("rename", () => nodeCalls.rename(from, to)),
  });
  return { port, log };
}

/** The three steps for one file. */
async function replaceFile(port: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const temporaryPath = `${path}.tmp`;
  await writeTemporary(port, temporaryPath, bytes);
  try {
    await publishTemporary(port, temporaryPath, path);
  } catch (error) {
    await port.unlink(temporaryPath);
    throw error;
  }
  await syncFolder(port, dirname(path));
}

describe("replacing a file", () => {
  test("writes, flushes, renames and flushes the folder, in this order", async () => {
    const directory = await scratch();
    const path = join(directory, "header.0");
    await writeFile(path, "old");
    const { port, log } = recorded();
    await replaceFile(port, path, utf8("new"));
    expect(log).toEqual(["open", "chmod", "write", "sync", "close", "rename", "open", "sync", "close"]);
    expect(await readFile(path, "utf8")).toBe("new");
    expect(await readdir(directory)).toEqual(["header.0"]);
  });

  test("leaves the old file or the new one, and nothing beside it, at whatever call it fails", async () => {
    for (let failAt = 1; failAt <= 9; failAt++) {
      for (const code of ["ENOSPC", "EIO", "EACCES", "EMFILE"]) {
        const directory = await scratch();
        const path = join(directory, "header.0");
        await writeFile(path, "old");
        const { port } = recorded(failAt, code);
        await expect(replaceFile(port, path, utf8("new"))).rejects.toMatchObject({
          code: "COFFER_IO",
          details: { errno: code },
        });
        expect(await readFile(path, "utf8")).toBe(failAt <= 6 ? "old" : "new");
        expect(await readdir(directory)).toEqual(["header.0"]);
        await replaceFile(fs, path, utf8("newer"));
        expect(await readFile(path, "utf8")).toBe("newer");
      }
    }
  });

  test("replaces a planted link and never writes through it", async () => {
    const directory = await scratch();
    const victim = join(await scratch(), "victim");
    await writeFile(victim, "precious");
    for (const plant of [symlink, link]) {
      const path = join(directory, plant.name);
      await plant(victim, path);
      await replaceFile(fs, path, utf8("new"));
      expect((await lstat(path)).isFile()).toBe(true);
      expect((await lstat(path)).nlink).toBe(1);
      expect(await readFile(victim, "utf8")).toBe("precious");
    }
    await promisify(execFile)("mkfifo", [join(directory, "fifo")]);
    await replaceFile(fs, join(directory, "fifo"), utf8("new"));
    expect(await readFile(join(directory, "fifo"), "utf8")).toBe("new");
  });

  test("fails on a planted folder and leaves it", async () => {
    const directory = await scratch();
    await mkdir(join(directory, "header.0"));
    await writeFile(join(directory, "header.0", "kept"), "kept");
    await expect(replaceFile(fs, join(directory, "header.0"), utf8("new"))).rejects.toMatchObject({
      code: "COFFER_IO",
    });
    expect(await readdir(directory)).toEqual(["header.0"]);
    expect(await readdir(join(directory, "header.0"))).toEqual(["kept"]);
  });
});

describe("writing a temporary file", () => {
  test("refuses a name that is taken, whatever lies there, and removes nothing of others", async () => {
    const directory = await scratch();
    const victim = join(await scratch(), "victim");
    const path = (name: string): string => join(directory, name);
    await writeFile(path("file"), "kept");
    await symlink(victim, path("link"));
    await mkdir(path("folder"));
    await promisify(execFile)("mkfifo", [path("fifo")]);
    for (const name of ["file", "link", "folder", "fifo"]) {
      await expect(writeTemporary(fs, path(name), utf8("new"))).rejects.toMatchObject({
        details: { errno: "EEXIST" },
      });
    }
    expect(await readdir(directory)).toEqual(["fifo", "file", "folder", "link"]);
    expect(await readFile(path("file"), "utf8")).toBe("kept");
    await expect(lstat(victim)).rejects.toThrow("ENOENT");
  });

  test("removes a leftover first where that is asked for, a link as a link", async () => {
    const directory = await scratch();
    const victim = join(await scratch(), "victim");
    await writeFile(victim, "precious");
    const path = join(directory, "header.0.tmp");
    await symlink(victim, path);
    for (let i = 0; i < 2; i++) await writeTemporary(fs, path, utf8("new"), { leftover: "remove" });
    expect(await readFile(path, "utf8")).toBe("new");
    expect(await readFile(victim, "utf8")).toBe("precious");
    await mkdir(`${path}2`);
    await expect(writeTemporary(fs, `${path}2`, utf8("new"), { leftover: "remove" })).rejects.toMatchObject({
      code: "COFFER_IO",
    });
    expect(await unlinkIfPresent(fs, path)).toBe(true);
    expect(await unlinkIfPresent(fs, path)).toBe(false);
  });

  test("is one step of three: several files can be flushed before the first is renamed", async () => {
    const directory = await scratch();
    const path = (name: string): string => join(directory, name);
    const { port, log } = recorded();
    await writeTemporary(port, path("header.0.tmp"), utf8("g2"));
    await writeTemporary(port, path("header.1.tmp"), utf8("g2"));
    await publishTemporary(port, path("header.0.tmp"), path("header.0"));
    await publishTemporary(port, path("header.1.tmp"), path("header.1"));
    await syncFolder(port, directory);
    const writing = ["open", "chmod", "write", "sync", "close"];
    expect(log).toEqual([...writing, ...writing, "rename", "rename", "open", "sync", "close"]);
    expect(await readdir(directory)).toEqual(["header.0", "header.1"]);
    await expect(publishTemporary(fs, path("absent"), path("header.0"))).rejects.toMatchObject({
      details: { errno: "ENOENT" },
    });
    await expect(syncFolder(fs, path("absent"))).rejects.toMatchObject({ details: { errno: "ENOENT" } });
  });
});

describe("flushes of one folder", () => {
  /** Flushes end when they are told to. */
  function heldFlushes(): { port: FileSystem; begun: string[]; end: (error?: Error) => Promise<void> } {
    const begun: string[] = [];
    const ends: ((error?: Error) => void)[] = [];
    const syncDirectory = (path: string): Promise<void> => {
      begun.push(path);
      return new Promise((resolve, reject) =>
        ends.push((error) => (error === undefined ? resolve() : reject(error))),
      );
    };
    const end = async (error?: Error): Promise<void> => {
      ends.shift()?.(error);
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { port: { ...fs, syncDirectory }, begun, end };
  }

  test("that are asked for while one is under way are one, which begins after it", async () => {
    const { port, begun, end } = heldFlushes();
    const done: number[] = [];
    const ask = (n: number): Promise<void> => syncFolder(port, "/a").then(() => void done.push(n));
    const first = ask(1);
    const others = [ask(2), ask(3)];
    expect(begun).toEqual(["/a"]);
    await end();
    expect([done, begun]).toEqual([[1], ["/a", "/a"]]);
    const last = ask(4);
    await end();
    expect([done, begun]).toEqual([
      [1, 2, 3],
      ["/a", "/a", "/a"],
    ]);
    await end();
    await Promise.all([first, ...others, last]);
    expect(done).toEqual([1, 2, 3, 4]);
  });

  test.each([
    ["the one under way", [0], [0, 1, 2]],
    ["the one they share", [1], [1, 2]],
  ])("fail for all that may have been covered by %s, and for nobody later", async (_, failing, refused) => {
    const { port, end } = heldFlushes();
    const ended = Promise.allSettled([1, 2, 3].map(() => syncFolder(port, "/a")));
    for (const turn of [0, 1]) {
      await end(failing.includes(turn) ? Object.assign(new Error("broken"), { code: "EIO" }) : undefined);
    }
    const outcomes = await ended;
    const rejected = outcomes.flatMap(({ status }, n) => (status === "rejected" ? [n] : []));
    expect(rejected).toEqual(refused);
    for (const n of refused)
      expect(outcomes[n]).toMatchObject({ reason: { code: "COFFER_IO", details: { errno: "EIO" } } });
    const later = syncFolder(port, "/a");
    await end();
    await later;
  });

  test("are of the folder that the path named when they were asked for", async () => {
    const { port, begun, end } = heldFlushes();
    const first = syncFolder(port, "some/where");
    const before = process.cwd();
    const second = syncFolder(port, "some/where");
    await end();
    await end();
    await Promise.all([first, second]);
    expect(begun).toEqual([join(before, "some/where"), join(before, "some/where")]);
  });

  test("go on after a call that threw at once", async () => {
    const broken = {
      ...fs,
      syncDirectory: () => {
        throw Object.assign(new Error("broken"), { code: "EIO" });
      },
    };
    await expect(syncFolder(broken, "/a")).rejects.toMatchObject({ code: "COFFER_IO" });
    await expect(syncFolder(broken, "/a")).rejects.toMatchObject({ code: "COFFER_IO" });
  });

  test("of other folders and other file systems are their own", async () => {
    const [one, other] = [heldFlushes(), heldFlushes()];
    const asked = [syncFolder(one.port, "/a"), syncFolder(one.port, "/b"), syncFolder(other.port, "/a")];
    expect([one.begun, other.begun]).toEqual([["/a", "/b"], ["/a"]]);
    await Promise.all([one.end(), other.end()]);
    await one.end();
    await Promise.all(asked);
  });
});

describe("modes", () => {
  test.each(["0", "022", "0777"])("are 0600 and 0700 under umask %s", async (umask) => {
    const directory = await scratch();
    const source = `
      import { writeTemporary } from ${JSON.stringify(distUrl("storage/atomic-file.js"))};
      import { nodeFileSystem as fs } from ${JSON.stringify(distUrl("storage/file-system.js"))};
      import { acquireVaultLock } from ${JSON.stringify(distUrl("storage/vault-lock.js"))};
      const [directory, umask] = process.argv.slice(1);
      process.umask(parseInt(umask, 8));
      await writeTemporary(fs, directory + "/temporary", Uint8Array.of(1));
      await writeTemporary(fs, directory + "/wider", Uint8Array.of(1), { mode: 0o644 });
      await fs.mkdir(directory + "/made");
      await acquireVaultLock(fs, directory);
    `;
    await runModule(source, [directory, umask]);
    const modes: Record<string, string> = {};
    for (const name of await readdir(directory)) modes[name] = await modeOf(join(directory, name));
    expect(modes).toEqual({
      made: "0o700",
      temporary: "0o600",
      "vault.lock": "0o600",
      wider: "0o644",
    });
  });
});
