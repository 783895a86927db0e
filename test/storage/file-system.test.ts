import { execFile } from "node:child_process";
import { link, mkdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/bytes.ts";
import {
  createFileSystem,
  type FileHandleCalls,
  type FileSystem,
  type FileSystemEnvironment,
  hasErrno,
  nodeCalls,
  nodeFileSystem as fs,
  UnexpectedFileError,
} from "../../src/storage/file-system.ts";
import { ioError } from "../../src/storage/io-error.ts";
import { DamagedError } from "../../src/errors.ts";
import { modeOf, scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** The real file system with other single calls on open files. */
function withHandles(
  change: (handle: FileHandleCalls) => Partial<FileHandleCalls>,
  environment?: FileSystemEnvironment,
): FileSystem {
  const open = async (path: string, flags: number, mode: number): Promise<FileHandleCalls> => {
    const handle = await nodeCalls.open(path, flags, mode);
    return { ...handle, ...change(handle) };
  };
  return createFileSystem({ ...nodeCalls, open }, environment);
}

async function reasonOf(opening: Promise<unknown>): Promise<string> {
  return opening.then(
    () => "opened",
    (error: unknown) =>
      error instanceof UnexpectedFileError ? error.reason : String((error as { code?: unknown }).code),
  );
}

describe("reading a file", () => {
  test("returns all of it in a plain array, up to the limit and not one byte more", async () => {
    const path = join(await scratch(), "file");
    await writeFile(path, "0123456789");
    const bytes = await fs.readFile(path, { maxBytes: 10 });
    expect(bytes).toEqual(utf8("0123456789"));
    expect(Buffer.isBuffer(bytes)).toBe(false);
    expect(await reasonOf(fs.readFile(path, { maxBytes: 9 }))).toBe("too-large");
    await writeFile(path, "");
    expect(await fs.readFile(path, { maxBytes: 10 })).toEqual(new Uint8Array(0));
    expect(await reasonOf(fs.readFile(`${path}2`, { maxBytes: 9 }))).toBe("ENOENT");
  });

  test("goes to the end where the size says nothing, and keeps the limit there too", async () => {
    const text = Buffer.from(await fs.readFile("/proc/self/status", { maxBytes: 100_000 })).toString();
    expect(text).toContain(`Pid:\t${process.pid}`);
    expect(await reasonOf(fs.readFile("/proc/self/status", { maxBytes: 10 }))).toBe("too-large");
  });

  test("goes on over short reads", async () => {
    const path = join(await scratch(), "file");
    await writeFile(path, "0123456789");
    const short = withHandles((handle) => ({ read: (buffer, at) => handle.read(buffer.subarray(0, 3), at) }));
    expect(await short.readFile(path, { maxBytes: 10 })).toEqual(utf8("0123456789"));
    const handle = await short.open(path, "read");
    const buffer = new Uint8Array(8);
    expect(await handle.read(buffer, 5)).toBe(5);
    expect(buffer.subarray(0, 5)).toEqual(utf8("56789"));
    await Promise.all([handle.close(), handle.close()]);
  });

  test.each(["linux", "win32"] as const)(
    "refuses whatever is planted, without waiting, on %s",
    async (platform) => {
      const port = createFileSystem(nodeCalls, { platform });
      const directory = await scratch();
      const path = (name: string): string => join(directory, name);
      await writeFile(path("file"), "text");
      await symlink(path("file"), path("link"));
      await symlink(path("nothing"), path("dangling"));
      await mkdir(path("folder"));
      await promisify(execFile)("mkfifo", [path("fifo")]);
      await link(path("file"), path("hard"));
      const read = (name: string): Promise<string> => reasonOf(port.readFile(path(name), { maxBytes: 10 }));
      expect(await read("link")).toBe("symlink");
      expect(await read("dangling")).toBe("symlink");
      expect(await read("folder")).toBe("not-a-file");
      expect(await read("hard")).toBe("opened");
      expect(await reasonOf(port.readFile(path("link"), { maxBytes: 10, noFollow: false }))).toBe("opened");
      expect(await reasonOf(port.open(path("link"), "update"))).toBe("symlink");
      expect(await reasonOf(port.open(path("folder"), "update"))).toBe("not-a-file");
      for (const name of ["link", "dangling", "folder", "fifo", "file"]) {
        expect(await reasonOf(port.open(path(name), "create"))).toBe("EEXIST");
      }
      if (platform === "win32") return; // its own named pipes are not files of a folder
      expect(await read("fifo")).toBe("not-a-file");
      expect(await reasonOf(port.readFile("/dev/zero", { maxBytes: 10 }))).toBe("not-a-file");
    },
  );

  test("notices on win32 that the file was exchanged between look and open", async () => {
    const directory = await scratch();
    await writeFile(join(directory, "a"), "a");
    await writeFile(join(directory, "b"), "b");
    const open: typeof nodeCalls.open = (_path, flags, mode) =>
      nodeCalls.open(join(directory, "b"), flags, mode);
    const port = createFileSystem({ ...nodeCalls, open }, { platform: "win32" });
    expect(await reasonOf(port.readFile(join(directory, "a"), { maxBytes: 1 }))).toBe("swapped");
  });
});

describe("writing to a file", () => {
  test("goes on over short writes, in one piece and in several", async () => {
    const path = join(await scratch(), "file");
    const short = withHandles((handle) => ({
      write: (bytes, at) => handle.write(bytes.subarray(0, 3), at),
      writev: (parts, at) => handle.write(Buffer.concat(parts).subarray(0, 4), at),
    }));
    const handle = await short.open(path, "create");
    await handle.write(utf8("0123456789"), 0);
    await handle.writev([utf8("ab"), utf8(""), utf8("cdefg"), utf8("hi")], 10);
    await handle.writev([], 99);
    await handle.writev([utf8("")], 99);
    await handle.sync();
    await handle.truncate(18);
    expect((await handle.stat()).size).toBe(18);
    await handle.close();
    expect(await readFile(path, "utf8")).toBe("0123456789abcdefgh");
  });

  test("writes all parts with one call where the system takes them", async () => {
    const path = join(await scratch(), "file");
    const handle = await fs.open(path, "create");
    await handle.writev([utf8("ab"), utf8("cd")], 1);
    await handle.close();
    expect(await readFile(path, "latin1")).toBe("\0abcd");
    const again = await fs.open(path, "update");
    await again.write(utf8("X"), 0);
    await again.close();
    expect(await readFile(path, "latin1")).toBe("Xabcd");
  });

  test("fails rather than loop when a write takes nothing", async () => {
    const path = join(await scratch(), "file");
    const stuck = withHandles(() => ({ write: async () => 0, writev: async () => 0 }));
    const handle = await stuck.open(path, "create");
    await expect(handle.write(utf8("a"), 0)).rejects.toMatchObject({ code: "EIO" });
    await expect(handle.writev([utf8("a")], 0)).rejects.toMatchObject({ code: "EIO" });
    await handle.close();
  });
});

describe("renaming", () => {
  function renaming(
    platform: NodeJS.Platform,
    code: string,
    failures: number,
  ): { port: FileSystem; log: { tries: number; ms: number } } {
    const log = { tries: 0, ms: 0 };
    const rename = async (from: string, to: string): Promise<void> => {
      if (++log.tries <= failures) throw errno(code);
      await nodeCalls.rename(from, to);
    };
    const sleep = async (ms: number): Promise<void> => {
      log.ms += ms;
    };
    return { port: createFileSystem({ ...nodeCalls, rename }, { platform, now: () => log.ms, sleep }), log };
  }

  test.each(["EPERM", "EACCES", "EBUSY"])(
    "is tried again on win32 while another program holds the file: %s",
    async (code) => {
      const directory = await scratch();
      await writeFile(join(directory, "a"), "new");
      await writeFile(join(directory, "b"), "old");
      const { port, log } = renaming("win32", code, 5);
      await port.rename(join(directory, "a"), join(directory, "b"));
      expect(log.tries).toBe(6);
      expect(await readFile(join(directory, "b"), "utf8")).toBe("new");
    },
  );

  test("gives up on win32 after 10 seconds, with the old file intact", async () => {
    const directory = await scratch();
    await writeFile(join(directory, "a"), "new");
    await writeFile(join(directory, "b"), "old");
    const { port, log } = renaming("win32", "EBUSY", Infinity);
    await expect(port.rename(join(directory, "a"), join(directory, "b"))).rejects.toMatchObject({
      code: "EBUSY",
    });
    expect(log.ms).toBe(10_000);
    expect(log.tries).toBeLessThan(40);
    expect(await readFile(join(directory, "b"), "utf8")).toBe("old");
  });

  test.each([
    ["linux", "EBUSY"],
    ["darwin", "EPERM"],
    ["win32", "ENOENT"],
    ["win32", "ENOSPC"],
  ] as const)("is not tried again on %s after %s", async (platform, code) => {
    const { port, log } = renaming(platform, code, Infinity);
    await expect(port.rename("/a", "/b")).rejects.toMatchObject({ code });
    expect(log).toEqual({ tries: 1, ms: 0 });
  });
});

describe("folders", () => {
  test("are flushed through their handle, but not on win32", async () => {
    const directory = await scratch();
    const synced: string[] = [];
    for (const platform of ["linux", "darwin", "win32"] as const) {
      const port = withHandles(
        (handle) => ({
          sync: () => {
            synced.push(platform);
            return handle.sync();
          },
        }),
        { platform },
      );
      await port.syncDirectory(directory);
    }
    expect(synced).toEqual(["linux", "darwin"]);
    await expect(fs.syncDirectory(join(directory, "absent"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("say that a flush failed, but for file systems that know no such thing", async () => {
    const directory = await scratch();
    const failing = (code: string): FileSystem =>
      withHandles(() => ({ sync: () => Promise.reject(errno(code)) }));
    await expect(failing("EIO").syncDirectory(directory)).rejects.toMatchObject({ code: "EIO" });
    await expect(failing("ENOSPC").syncDirectory(directory)).rejects.toMatchObject({ code: "ENOSPC" });
    await failing("EINVAL").syncDirectory(directory);
  });

  test("list what they hold in order, with the kind of each, following nothing", async () => {
    const directory = await scratch();
    await writeFile(join(directory, "b"), "");
    await mkdir(join(directory, "a"));
    await symlink("a", join(directory, "c"));
    await promisify(execFile)("mkfifo", [join(directory, "d")]);
    expect(await fs.readDirectory(directory)).toEqual([
      { name: "a", kind: "directory" },
      { name: "b", kind: "file" },
      { name: "c", kind: "symlink" },
      { name: "d", kind: "other" },
    ]);
    expect((await fs.lstat(join(directory, "c"))).kind).toBe("symlink");
    expect((await fs.stat(join(directory, "c"))).kind).toBe("directory");
    expect(await fs.realpath(join(directory, "c"))).toBe(join(directory, "a"));
  });

  test("are removed with all in them, and links in them are not followed", async () => {
    const directory = await scratch();
    await mkdir(join(directory, "tree", "deep"), { recursive: true });
    await writeFile(join(directory, "kept"), "kept");
    await symlink(join(directory, "kept"), join(directory, "tree", "deep", "link"));
    await fs.removeTree(join(directory, "tree"));
    await fs.removeTree(join(directory, "tree"));
    expect((await fs.readDirectory(directory)).map(({ name }) => name)).toEqual(["kept"]);
    await fs.mkdir(join(directory, "empty"));
    await fs.rmdir(join(directory, "empty"));
  });

  test("and files are copied and linked to new names only", async () => {
    const directory = await scratch();
    const path = (name: string): string => join(directory, name);
    await writeFile(path("a"), "a");
    await symlink(path("elsewhere"), path("planted"));
    await fs.copyFile(path("a"), path("b"));
    await fs.link(path("a"), path("c"));
    expect((await fs.lstat(path("c"))).links).toBe(2);
    await expect(fs.copyFile(path("a"), path("planted"))).rejects.toMatchObject({ code: "EEXIST" });
    await expect(fs.link(path("a"), path("planted"))).rejects.toMatchObject({ code: "EEXIST" });
    expect(await readlink(path("planted"))).toBe(path("elsewhere"));
  });

  test("have no modes on win32", async () => {
    const directory = await scratch();
    const port = createFileSystem(nodeCalls, { platform: "win32" });
    await port.mkdir(join(directory, "made"), 0o700);
    await port.chmod(join(directory, "made"), 0o755);
    expect(await modeOf(join(directory, "made"))).toBe("0o700");
    const handle = await port.open(join(directory, "file"), "create");
    await handle.chmod(0o644);
    await handle.close();
    expect(await modeOf(join(directory, "file"))).toBe("0o600");
  });
});

describe("errors for people", () => {
  test("say what could not be done, why and what to do, and name the last part of the path only", () => {
    const error = ioError(errno("ENOSPC"), "write the vault header", "/secret/place/header.0");
    expect(error).toMatchObject({
      code: "COFFER_IO",
      retryable: true,
      details: { errno: "ENOSPC", action: "write the vault header" },
    });
    expect(error.message).toBe(
      'Could not write the vault header ("header.0"): no space is left on the drive. Free some space and try again.',
    );
    expect(ioError(errno("EWEIRD"), "read").message).toContain("EWEIRD");
    expect(ioError(new Error("x"), "read").details).toEqual({ errno: "UNKNOWN", action: "read" });
    expect(ioError(errno("see /secret/place"), "read").details["errno"]).toBe("UNKNOWN");
    expect(ioError(undefined, "read").details["errno"]).toBe("UNKNOWN");
  });

  test("name a file of the wrong kind, and pass errors of ours as they are", () => {
    const planted = ioError(new UnexpectedFileError("symlink"), "read the vault header", "/x/header.0");
    expect(planted).toMatchObject({ code: "COFFER_IO", details: { errno: "ELOOP", reason: "symlink" } });
    const ours = new DamagedError("damaged");
    expect(ioError(ours, "read")).toBe(ours);
    expect(hasErrno(errno("ENOENT"), "EEXIST", "ENOENT")).toBe(true);
    expect(hasErrno(null, "ENOENT")).toBe(false);
  });
});
