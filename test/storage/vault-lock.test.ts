// Children and workers run the built package: `npm run build` comes first.
import { execFile, spawn } from "node:child_process";
import { mkdir, link, readdir, readFile, rename, symlink, unlink, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import type { CofferError } from "../../src/errors.ts";
import { createFileSystem, nodeCalls, nodeFileSystem as fs } from "../../src/storage/file-system.ts";
import {
  decodeLockRecord,
  encodeLockRecord,
  isLiving,
  type LockRecord,
} from "../../src/storage/lock-record.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { type ProcessProbe, processProbe } from "../../src/storage/process-probe.ts";
import { acquireVaultLock, inspectVaultLock, type VaultLock } from "../../src/storage/vault-lock.ts";
import { distUrl, kill, modeOf, runModule, scratchDirectories, startModule } from "./scratch.ts";

const scratch = scratchDirectories();

const acquireAndStay = `
  import { acquireVaultLock } from ${JSON.stringify(distUrl("storage/vault-lock.js"))};
  import { nodeFileSystem } from ${JSON.stringify(distUrl("storage/file-system.js"))};
  const lock = await acquireVaultLock(nodeFileSystem, process.argv[1]).catch((error) => error);
  console.log(lock.code ?? "held");
  process.stdin.resume();
  process.stdin.on("end", () => process.exit());
`;

async function refusal(acquiring: Promise<VaultLock>): Promise<CofferError> {
  return acquiring.then(
    () => {
      throw new Error("the lock was given out");
    },
    (error: unknown) => error as CofferError,
  );
}

async function recordIn(directory: string): Promise<LockRecord | undefined> {
  return decodeLockRecord(await readFile(join(directory, "vault.lock")));
}

async function leaveStaleLock(directory: string): Promise<LockRecord> {
  const own = await processProbe(fs).startOf(process.pid);
  const record = {
    pid: process.pid,
    host: "",
    started: `${own ?? ""}1`,
    instance: "ab".repeat(16),
    since: 1,
  };
  record.host = processProbe(fs).host.replaceAll(/[^\w.-]/gu, "_");
  await writeFile(join(directory, "vault.lock"), encodeLockRecord(record));
  return record;
}

describe("the vault lock", () => {
  test("names its holder in a file 0600, and leaves nothing when it is released", async () => {
    const directory = await scratch();
    const lock = await acquireVaultLock(fs, directory, { clock: () => 1_700_000_000_000 });
    expect(lock.wasUnclean).toBe(false);
    expect(lock.directory).toBe(directory);
    expect(await recordIn(directory)).toEqual(lock.record);
    expect(lock.record).toMatchObject({ pid: process.pid, since: 1_700_000_000_000 });
    expect(await modeOf(join(directory, "vault.lock"))).toBe("0o600");
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    expect(await lock.isHeld()).toBe(true);
    await Promise.all([lock.release(), lock.release()]);
    await lock.release();
    expect(await readdir(directory)).toEqual([]);
    expect(await lock.isHeld()).toBe(false);
  });

  test("is refused at once to the same process, by whatever path it comes", async () => {
    const directory = await scratch();
    const link = join(await scratch(), "link");
    await symlink(directory, link);
    const lock = await acquireVaultLock(fs, directory);
    for (const path of [
      directory,
      relative(process.cwd(), directory),
      link,
      join(directory, "..", basename(directory)),
    ]) {
      const error = await refusal(acquireVaultLock(fs, path));
      expect(error).toMatchObject({ code: "COFFER_VAULT_IN_USE", retryable: true });
      const { pid, since } = lock.record;
      expect(error.details).toMatchObject({ pid, since, sameProcess: true });
      expect(error.message).toContain(new Date(since).toISOString());
    }
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    await lock.release();
    await (await acquireVaultLock(fs, link)).release();
  });

  test("is refused to a worker thread", async () => {
    const directory = await scratch();
    const lock = await acquireVaultLock(fs, directory);
    const source = `
      import { parentPort, workerData } from "node:worker_threads";
      import { acquireVaultLock } from ${JSON.stringify(distUrl("storage/vault-lock.js"))};
      import { nodeFileSystem } from ${JSON.stringify(distUrl("storage/file-system.js"))};
      const lock = await acquireVaultLock(nodeFileSystem, workerData).catch((error) => error);
      parentPort.postMessage([lock.code, lock.details?.sameProcess]);
    `;
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
    const worker = new Worker(url, { workerData: directory });
    const answer = await new Promise((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
    expect(answer).toEqual(["COFFER_VAULT_IN_USE", true]);
    await lock.release();
  });

  test("is refused to another process while its holder lives, and taken over once it was killed", async () => {
    const directory = await scratch();
    const { child, line } = await startModule(acquireAndStay, [directory]);
    expect(line).toBe("held");
    expect(await inspectVaultLock(fs, directory)).toMatchObject({ state: "held", pid: child.pid });
    const error = await refusal(acquireVaultLock(fs, directory));
    expect(error).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    expect(error.details).toMatchObject({ pid: child.pid, sameProcess: false });
    await kill(child);
    expect(await inspectVaultLock(fs, directory)).toMatchObject({ state: "stale", pid: child.pid });
    const lock = await acquireVaultLock(fs, directory);
    expect(lock.wasUnclean).toBe(true);
    expect(await recordIn(directory)).toEqual(lock.record);
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    await lock.release();
  });

  test.each([
    ["nobody held it", false],
    ["a killed process held it", true],
  ])("goes to exactly one of eight processes at once when %s", async (_what, isStale) => {
    const directory = await scratch();
    if (isStale) await leaveStaleLock(directory);
    const go = Date.now() + 500;
    const source = `
      import { acquireVaultLock } from ${JSON.stringify(distUrl("storage/vault-lock.js"))};
      import { nodeFileSystem } from ${JSON.stringify(distUrl("storage/file-system.js"))};
      const [directory, go] = process.argv.slice(1);
      while (Date.now() < Number(go));
      const lock = await acquireVaultLock(nodeFileSystem, directory).catch((error) => error);
      console.log(lock.code ?? "held " + lock.wasUnclean + " " + (await lock.isHeld()));
      process.stdin.resume();
    `;
    const started = await Promise.all(
      Array.from({ length: 8 }, () => startModule(source, [directory, String(go)])),
    );
    const answers = started.map(({ line }) => line).toSorted();
    expect(answers).toEqual([
      ...Array.from({ length: 7 }, () => "COFFER_VAULT_IN_USE"),
      `held ${isStale} true`,
    ]);
    const winner = started.find(({ line }) => line.startsWith("held"));
    expect((await recordIn(directory))?.pid).toBe(winner?.child.pid);
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    await Promise.all(started.map(({ child }) => kill(child)));
  });

  test("notices that its file was deleted, replaced or moved away with its folder, and touches no other's", async () => {
    const directory = await scratch();
    const path = join(directory, "vault.lock");
    const first = await acquireVaultLock(fs, directory);
    await unlink(path);
    expect(await first.isHeld()).toBe(false);
    const second = await acquireVaultLock(fs, directory);
    expect(await first.isHeld()).toBe(false);
    expect(await second.isHeld()).toBe(true);
    await first.release();
    expect(await second.isHeld()).toBe(true);
    await writeFile(path, encodeLockRecord({ ...second.record, instance: "cd".repeat(16) }));
    expect(await second.isHeld()).toBe(false);
    await second.release();
    expect((await recordIn(directory))?.instance).toBe("cd".repeat(16));
    await unlink(path);
    const third = await acquireVaultLock(fs, directory);
    await rename(directory, `${directory}-moved`);
    expect(await third.isHeld()).toBe(false);
    await rename(`${directory}-moved`, directory);
    expect(await third.isHeld()).toBe(true);
    await third.release();
  });

  test("stays held when its file is read, linked or chmodded", async () => {
    const directory = await scratch();
    const path = join(directory, "vault.lock");
    const lock = await acquireVaultLock(fs, directory);
    await readFile(path);
    await link(path, `${path}-backup`);
    expect(await lock.isHeld()).toBe(true);
    await fs.chmod(path, 0o644);
    expect(await lock.isHeld()).toBe(true);
    await lock.release();
    expect(await readdir(directory)).toEqual(["vault.lock-backup"]);
  });

  test("leaves LevelDB's own lock the last word when the lock file was deleted", async () => {
    const directory = await scratch();
    const lock = await acquireVaultLock(fs, directory);
    const store = await openLevelStore(join(directory, "db-1"), { create: true });
    await unlink(join(directory, "vault.lock"));
    const source = `
      import { acquireVaultLock } from ${JSON.stringify(distUrl("storage/vault-lock.js"))};
      import { openLevelStore } from ${JSON.stringify(distUrl("storage/level-store.js"))};
      import { nodeFileSystem } from ${JSON.stringify(distUrl("storage/file-system.js"))};
      const lock = await acquireVaultLock(nodeFileSystem, process.argv[1]);
      await openLevelStore(process.argv[1] + "/db-1", { create: false }).catch((error) => console.log(error.code));
      await lock.release();
    `;
    expect(await runModule(source, [directory])).toBe("COFFER_VAULT_IN_USE");
    await acquireVaultLock(fs, directory).then((again) => again.release());
    const again = openLevelStore(join(directory, "db-1"), { create: false });
    await expect(again).rejects.toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    expect(await runModule(source, [directory])).toBe("COFFER_VAULT_IN_USE");
    expect(await lock.isHeld()).toBe(false);
    await store.close();
  });

  test.each(["read", "deleted"])(
    "keeps other processes out when LevelDB's own LOCK was %s meanwhile",
    async (what) => {
      const directory = await scratch();
      const lock = await acquireVaultLock(fs, directory);
      const store = await openLevelStore(join(directory, "db-1"), { create: true });
      const path = join(directory, "db-1", "LOCK");
      await (what === "read" ? readFile(path) : unlink(path));
      const { child, line } = await startModule(acquireAndStay, [directory]);
      expect(line).toBe("COFFER_VAULT_IN_USE");
      await kill(child);
      expect(await lock.isHeld()).toBe(true);
      await store.close();
      await lock.release();
    },
  );

  test("is in use while a process on another host holds it, and says what to do", async () => {
    const directory = await scratch();
    const record = { pid: 1, host: "elsewhere", started: "1", instance: "01".repeat(16), since: 5 };
    await writeFile(join(directory, "vault.lock"), encodeLockRecord(record));
    const error = await refusal(acquireVaultLock(fs, directory));
    expect(error).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    expect(error.details).toMatchObject({ pid: 1, host: "elsewhere", since: 5, sameProcess: false });
    expect(error.message).toContain("vault.lock");
    expect(await recordIn(directory)).toEqual(record);
  });

  test("is taken over when its number belongs to another process by now", async () => {
    const directory = await scratch();
    const stale = await leaveStaleLock(directory);
    expect(await inspectVaultLock(fs, directory)).toMatchObject({ state: "stale", pid: process.pid });
    const lock = await acquireVaultLock(fs, directory);
    expect(lock.wasUnclean).toBe(true);
    expect(lock.record.instance).not.toBe(stale.instance);
    await lock.release();
  });

  test("is taken over from a process that ended and that its parent has not yet asked about", async () => {
    const directory = await scratch();
    // A shell that starts a child and never waits for it: when that ends, it is another program.
    const parent = spawn("sh", ["-c", "sleep 0.5 & echo $!; exec sleep 60"]);
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.once("data", (text: Buffer) => resolve(Number(text))),
    );
    await expect.poll(() => readFile(`/proc/${pid}/stat`, "latin1")).toMatch(/\) Z /u);
    const probe = processProbe(fs);
    expect(await probe.startOf(pid)).toBeUndefined();
    const record = { pid, host: probe.host, started: "", instance: "01".repeat(16), since: Date.now() };
    await writeFile(join(directory, "vault.lock"), encodeLockRecord(record));
    await (await acquireVaultLock(fs, directory)).release();
    parent.kill();
  });

  test("is taken over when the process that was taking it over was killed half-way, and that one's heir too", async () => {
    const directory = await scratch();
    const stale = await leaveStaleLock(directory);
    const second = { ...stale, instance: "22".repeat(16) };
    const third = { ...stale, instance: "33".repeat(16) };
    await writeFile(join(directory, `vault.lock.next-${stale.instance}`), encodeLockRecord(second));
    await writeFile(join(directory, `vault.lock.next-${second.instance}`), encodeLockRecord(third));
    await writeFile(join(directory, `vault.lock.${"44".repeat(16)}`), "half");
    const lock = await acquireVaultLock(fs, directory);
    expect(lock.wasUnclean).toBe(true);
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    await lock.release();
  });

  test("is refused while a living process is taking it over", async () => {
    const directory = await scratch();
    const stale = await leaveStaleLock(directory);
    const started = (await processProbe(fs).startOf(process.pid)) ?? "";
    const taker = { ...stale, started, instance: "22".repeat(16), since: 7 };
    await writeFile(join(directory, `vault.lock.next-${stale.instance}`), encodeLockRecord(taker));
    const error = await refusal(acquireVaultLock(fs, directory));
    expect(error).toMatchObject({ code: "COFFER_VAULT_IN_USE", details: { since: 7 } });
    expect(await recordIn(directory)).toEqual(stale);
  });

  test.each([
    ["empty", ""],
    ["text", "locked by me"],
    ["other JSON", '{"pid":-1}'],
    [
      "a name that would disturb a terminal",
      encodeLockRecord({ pid: 1, host: "a\u001b[2J", started: "", instance: "00".repeat(16), since: 1 }),
    ],
    [
      "a path for an instance",
      encodeLockRecord({ pid: 1, host: "a", started: "", instance: "../../etc/passwd", since: 1 }),
    ],
    ["10 MiB", Buffer.alloc(10_485_760, 0x20)],
  ])("takes over a file of ours by name that holds no record: %s", async (_what, content) => {
    const directory = await scratch();
    await writeFile(join(directory, "vault.lock"), content);
    expect(await inspectVaultLock(fs, directory)).toEqual({ state: "unreadable" });
    const lock = await acquireVaultLock(fs, directory, { sleep: async () => undefined });
    expect(lock.wasUnclean).toBe(true);
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    await lock.release();
  });

  test.each(["symlink", "dangling symlink", "FIFO", "folder"])(
    "refuses a planted %s, and follows nothing",
    async (kind) => {
      const directory = await scratch();
      const path = join(directory, "vault.lock");
      const victim = join(await scratch(), "victim");
      if (kind === "symlink") await writeFile(victim, "precious");
      if (kind.endsWith("symlink")) await symlink(victim, path);
      if (kind === "FIFO") await promisify(execFile)("mkfifo", [path]);
      if (kind === "folder") await mkdir(path);
      expect(await inspectVaultLock(fs, directory)).toEqual({ state: "planted" });
      expect(await refusal(acquireVaultLock(fs, directory))).toMatchObject({ code: "COFFER_DAMAGED" });
      expect(await readdir(directory)).toEqual(["vault.lock"]);
      if (kind === "symlink") expect(await readFile(victim, "utf8")).toBe("precious");
      else await expect(readFile(victim)).rejects.toThrow("ENOENT");
    },
  );

  test("replaces a planted hard link and leaves the other name's file as it is", async () => {
    const directory = await scratch();
    const victim = join(await scratch(), "victim");
    await writeFile(victim, "precious", { mode: 0o644 });
    await link(victim, join(directory, "vault.lock"));
    const lock = await acquireVaultLock(fs, directory, { sleep: async () => undefined });
    expect(await readFile(victim, "utf8")).toBe("precious");
    expect(await modeOf(victim)).toBe("0o644");
    await lock.release();
    expect(await readFile(victim, "utf8")).toBe("precious");
  });

  test("works where there are no hard links", async () => {
    const directory = await scratch();
    const plain = createFileSystem({
      ...nodeCalls,
      link: () => Promise.reject(Object.assign(new Error("link"), { code: "ENOTSUP" })),
    });
    const lock = await acquireVaultLock(plain, directory);
    expect(await refusal(acquireVaultLock(plain, directory))).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    expect(await readdir(directory)).toEqual(["vault.lock"]);
    await lock.release();
    await leaveStaleLock(directory);
    expect((await acquireVaultLock(plain, directory)).wasUnclean).toBe(true);
    expect(await readdir(directory)).toEqual(["vault.lock"]);
  });

  test("waits for a lock file that is just being written where there are no hard links", async () => {
    const directory = await scratch();
    const path = join(directory, "vault.lock");
    const started = (await processProbe(fs).startOf(process.pid)) ?? "";
    const record = {
      pid: process.pid,
      host: processProbe(fs).host,
      started,
      instance: "01".repeat(16),
      since: 9,
    };
    await writeFile(path, "");
    const sleep = async (): Promise<void> => writeFile(path, encodeLockRecord(record));
    expect(await refusal(acquireVaultLock(fs, directory, { sleep }))).toMatchObject({
      code: "COFFER_VAULT_IN_USE",
      details: { since: 9 },
    });
  });

  test.each(["ENOSPC", "EROFS", "EACCES", "EIO"])("names %s and leaves nothing", async (code) => {
    const directory = await scratch();
    const failing = createFileSystem({
      ...nodeCalls,
      open: async (path, flags, mode) => {
        const handle = await nodeCalls.open(path, flags, mode);
        return { ...handle, write: () => Promise.reject(Object.assign(new Error("write"), { code })) };
      },
    });
    expect(await refusal(acquireVaultLock(failing, directory))).toMatchObject({
      code: "COFFER_IO",
      details: { errno: code },
    });
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("whether a lock's holder lives", () => {
  const record: LockRecord = {
    pid: 77,
    host: "here",
    started: "",
    instance: "00".repeat(16),
    since: 1_000_000,
  };
  const probe = (startOf: string | undefined, bootedAtMs = 0): ProcessProbe => ({
    pid: 5,
    host: "here",
    bootedAtMs,
    startOf: () => Promise.resolve(startOf),
  });

  test.each([
    ["no such process", record, probe(undefined), false],
    ["another host, whatever its number", { ...record, host: "there" }, probe(undefined), true],
    ["Linux, the same start", { ...record, started: "a-b/12" }, probe("a-b/12"), true],
    ["Linux, another start", { ...record, started: "a-b/12" }, probe("a-b/13"), false],
    ["Linux, the same ticks after another boot", { ...record, started: "a-b/12" }, probe("c-d/12"), false],
    ["elsewhere, a living number", record, probe(""), true],
    ["elsewhere, a living number, but taken before this boot", record, probe("", 2_000_000), false],
    [
      "elsewhere, taken within a minute of the boot as the clock tells it",
      record,
      probe("", 1_030_000),
      true,
    ],
    [
      "elsewhere, our number and our start, give or take the clock",
      { ...record, started: "500" },
      probe("503"),
      true,
    ],
    ["elsewhere, our number and another start", { ...record, started: "500" }, probe("900"), false],
  ] as const)("%s", async (_what, held, at, expected) => {
    expect(await isLiving(held, at)).toBe(expected);
  });

  test("goes by number, boot and our own start on a platform without /proc", async () => {
    const mac = createFileSystem(nodeCalls, { platform: "darwin" });
    const here = processProbe(mac, () => 5_000_000_000_000);
    expect(await here.startOf(process.pid)).toMatch(/^49\d{8}$/u);
    expect(await here.startOf(process.ppid)).toBe("");
    expect(await here.startOf(2 ** 22 + 1)).toBeUndefined();
    expect(here.bootedAtMs).toBeLessThan(5_000_000_000_000);
    const directory = await scratch();
    const lock = await acquireVaultLock(mac, directory);
    expect(await refusal(acquireVaultLock(mac, directory))).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    await lock.release();
  });

  test("works on win32, where names are not flushed and modes not set", async () => {
    const windows = createFileSystem(nodeCalls, { platform: "win32" });
    const directory = await scratch();
    const lock = await acquireVaultLock(windows, directory);
    expect(await refusal(acquireVaultLock(windows, directory))).toMatchObject({
      code: "COFFER_VAULT_IN_USE",
    });
    await lock.release();
    await symlink("/nowhere", join(directory, "vault.lock"));
    expect(await refusal(acquireVaultLock(windows, directory))).toMatchObject({ code: "COFFER_DAMAGED" });
  });
});
