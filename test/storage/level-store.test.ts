// Children run the built package: `npm run build` comes first.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { fromHex, utf8 } from "../../src/bytes.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { findBytesInFiles } from "../../src/storage/find-bytes.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import type { StoreOperation } from "../../src/storage/store.ts";
import { distUrl, modeOf, modesIn, runModule, driveScratchDirectories } from "./scratch.ts";
import { listEntries } from "./store.contract.ts";

const scratch = driveScratchDirectories();

function put(key: string, value: Uint8Array): StoreOperation {
  return { type: "put", key: fromHex(key), value };
}

async function newDatabase(): Promise<string> {
  const directory = join(await scratch(), "db-1");
  const store = await openLevelStore(directory, { create: true });
  await store.write([put("01", utf8("one"))]);
  await store.close();
  return directory;
}

async function contentOf(directory: string): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const name of await readdir(directory)) {
    content[name] = (await readFile(join(directory, name))).toString("base64");
  }
  return content;
}

describe("a LevelDB store", () => {
  test("keeps what was written when it is opened again", async () => {
    const directory = await newDatabase();
    const store = await openLevelStore(directory, { create: false });
    expect(await listEntries(store)).toEqual([["01", "6f6e65"]]);
    await store.close();
  });

  test("keeps an acknowledged batch when its process is killed", async () => {
    const directory = join(await scratch(), "db-1");
    const source = `
      import { openLevelStore } from ${JSON.stringify(distUrl("storage/level-store.js"))};
      const store = await openLevelStore(process.argv[1], { create: true });
      await store.write([{ type: "put", key: Uint8Array.of(1), value: Uint8Array.of(2) }]);
      process.kill(process.pid, "SIGKILL");
    `;
    await expect(runModule(source, [directory])).rejects.toMatchObject({ signal: "SIGKILL" });
    const store = await openLevelStore(directory, { create: false });
    expect(await listEntries(store)).toEqual([["01", "02"]]);
    await store.close();
  });

  test("is created in an absent or empty folder and nowhere else", async () => {
    const directory = await scratch();
    await (await openLevelStore(directory, { create: true })).close();
    const before = await contentOf(directory);
    await expect(openLevelStore(directory, { create: true })).rejects.toMatchObject({
      code: "COFFER_VAULT_EXISTS",
    });
    expect(await contentOf(directory)).toEqual(before);
    const other = await scratch();
    await writeFile(join(other, "notes.txt"), "mine");
    await expect(openLevelStore(other, { create: true })).rejects.toMatchObject({
      code: "COFFER_VAULT_EXISTS",
    });
    expect(await readdir(other)).toEqual(["notes.txt"]);
    const missing = join(other, "notes.txt", "db-1");
    await expect(openLevelStore(missing, { create: true })).rejects.toMatchObject({
      code: "COFFER_IO",
      details: { errno: "ENOTDIR" },
    });
  });

  test.each([
    ["a missing folder", async (directory: string) => rm(directory, { recursive: true })],
    [
      "an empty folder",
      async (directory: string) =>
        Promise.all((await readdir(directory)).map((n) => unlink(join(directory, n)))),
    ],
    ["no file CURRENT", async (directory: string) => unlink(join(directory, "CURRENT"))],
  ])("is damaged, with nothing written, when there is %s", async (_what, damage) => {
    const directory = await newDatabase();
    await damage(directory);
    const look = async (): Promise<string[]> => readdir(directory).catch(() => ["absent"]);
    const before = await look();
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
    expect(await look()).toEqual(before);
  });

  test.each([
    ["an empty CURRENT", "CURRENT", ""],
    ["a CURRENT that names a file that is not there", "CURRENT", "MANIFEST-000099\n"],
    ["an empty manifest", "MANIFEST", ""],
    ["a manifest of zeros", "MANIFEST", "\0".repeat(4096)],
  ])("is damaged when there is %s", async (_what, prefix, content) => {
    const directory = await newDatabase();
    const name = (await readdir(directory)).find((entry) => entry.startsWith(prefix)) ?? prefix;
    await writeFile(join(directory, name), content);
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
  });

  test("is damaged when a link or a folder is planted in its folder, and follows nothing", async () => {
    const directory = await newDatabase();
    const victim = join(dirname(directory), "victim");
    await writeFile(victim, "precious");
    await symlink(victim, join(directory, "000007.log"));
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
    expect(await readFile(victim, "utf8")).toBe("precious");
    await unlink(join(directory, "000007.log"));
    await mkdir(join(directory, "000008.ldb"));
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
    const link = join(dirname(directory), "db-2");
    await symlink(directory, link);
    await expect(openLevelStore(link, { create: false })).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
  });

  test("is in use while it is open, in this process and in another", async () => {
    const directory = await newDatabase();
    const store = await openLevelStore(directory, { create: false });
    await expect(openLevelStore(directory, { create: false })).rejects.toMatchObject({
      code: "COFFER_VAULT_IN_USE",
    });
    const source = `
      import { openLevelStore } from ${JSON.stringify(distUrl("storage/level-store.js"))};
      await openLevelStore(process.argv[1], { create: false }).catch((error) => console.log(error.code));
    `;
    expect(await runModule(source, [directory])).toBe("COFFER_VAULT_IN_USE");
    await store.write([put("02", utf8("two"))]);
    await store.close();
    await (await openLevelStore(directory, { create: false })).close();
  });

  test.each(["0", "022", "077"])("has files 0600 in a folder 0700 under umask %s", async (umask) => {
    const directory = join(await scratch(), "db-1");
    const source = `
      import { openLevelStore } from ${JSON.stringify(distUrl("storage/level-store.js"))};
      import { readdirSync, statSync } from "node:fs";
      import { randomBytes } from "node:crypto";
      const [directory, umask] = process.argv.slice(1);
      const modes = () => readdirSync(directory).map((name) => (statSync(directory + "/" + name).mode & 0o777).toString(8));
      const seen = new Set();
      const look = () => modes().forEach((mode) => seen.add(mode));
      process.umask(parseInt(umask, 8));
      const store = await openLevelStore(directory, { create: true });
      look();
      for (let i = 1; i < 7; i++) {
        await store.write([{ type: "put", key: Uint8Array.of(i), value: randomBytes(1_100_000) }]);
      }
      await store.compact(Uint8Array.of(0), Uint8Array.of(255));
      look();
      await store.close();
      look();
      console.log([...seen].join(), modes().length);
    `;
    const [modes, count] = (await runModule(source, [directory, umask])).split(" ");
    expect(modes).toBe("600");
    expect(Number(count)).toBeGreaterThan(5);
    expect(await modeOf(directory)).toBe("0o700");
    expect(await modesIn(directory)).toEqual(["0o600"]);
  });

  test("sets files with other modes right when it opens them", async () => {
    const directory = await newDatabase();
    for (const name of await readdir(directory)) await nodeFileSystem.chmod(join(directory, name), 0o644);
    await nodeFileSystem.chmod(directory, 0o755);
    const store = await openLevelStore(directory, { create: false });
    expect(await modesIn(directory)).toEqual(["0o600"]);
    expect(await modeOf(directory)).toBe("0o700");
    await store.close();
  });

  test("says in a typed way that a write failed, stays failed, and holds whole batches when opened again", async () => {
    const directory = join(await scratch(), "db-1");
    // A limit on file size is a disk that fills up in the middle of a batch.
    const source = `
      import { openLevelStore } from ${JSON.stringify(distUrl("storage/level-store.js"))};
      const store = await openLevelStore(process.argv[1], { create: true });
      const value = new Uint8Array(20_000).fill(7);
      const answers = [];
      for (let i = 0; i < 8; i++) {
        const batch = [0, 1].map((half) => ({ type: "put", key: Uint8Array.of(i, half), value }));
        answers.push(await store.write(batch).then(() => "ok", (error) => error.name + " " + error.code + " " + error.details.errno));
      }
      const readable = store.get(Uint8Array.of(0, 0))?.length;
      await store.close();
      console.log(JSON.stringify({ answers, readable }));
    `;
    const { stdout } = await promisify(execFile)(
      "sh",
      [
        "-c",
        'ulimit -f 128; exec "$0" --input-type=module -e "$1" -- "$2"',
        process.execPath,
        source,
        directory,
      ],
      { timeout: 30_000 },
    );
    const { answers, readable } = JSON.parse(stdout) as { answers: string[]; readable: number };
    const written = answers.indexOf("StoreFailedError COFFER_IO EFBIG");
    expect(written).toBeGreaterThan(0);
    expect(new Set(answers.slice(written))).toEqual(new Set(["StoreFailedError COFFER_IO EFBIG"]));
    expect(readable).toBe(20_000);
    const store = await openLevelStore(directory, { create: false });
    const names = (await listEntries(store)).map(([key]) => key);
    expect(names.length % 2).toBe(0);
    expect(names.length / 2).toBeGreaterThanOrEqual(written);
    await store.write([put("ff", utf8("again"))]);
    await store.close();
  });
});

describe("compaction", () => {
  async function secretStore(): Promise<{ directory: string; secret: Uint8Array; needle: Uint8Array }> {
    const directory = join(await scratch(), "db-1");
    const secret = new Uint8Array(randomBytes(5000));
    return { directory, secret, needle: secret.slice(0, 24) };
  }

  test.each([
    ["deleted in the same session", false, "delete"],
    ["replaced in the same session", false, "put"],
    ["deleted after reopening", true, "delete"],
    ["replaced after reopening", true, "put"],
  ] as const)("removes from the files a value that was %s", async (_what, reopens, type) => {
    const { directory, secret, needle } = await secretStore();
    let store = await openLevelStore(directory, { create: true });
    const others = Array.from({ length: 20 }, (_, i) =>
      put(`03${i.toString(16).padStart(2, "0")}`, randomBytes(500)),
    );
    await store.write([put("02aa", secret), ...others]);
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).toHaveLength(1);
    for (let i = 0; i < (reopens ? 3 : 0); i++) {
      await store.close();
      store = await openLevelStore(directory, { create: false });
      await store.write([put(`04${i.toString(16).padStart(2, "0")}`, randomBytes(500))]);
    }
    const key = fromHex("02aa");
    await store.write([type === "put" ? { type, key, value: utf8("new") } : { type, key }]);
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).not.toEqual([]);
    await store.compact(key, key);
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).toEqual([]);
    expect(store.get(key)).toEqual(type === "put" ? utf8("new") : undefined);
    expect((await listEntries(store, { gte: fromHex("03"), lt: fromHex("04") })).length).toBe(20);
    await store.close();
  });

  test("removes it from a level below, and from a table that holds the dead value beside its deletion", async () => {
    const { directory, secret, needle } = await secretStore();
    const store = await openLevelStore(directory, { create: true });
    const all = [fromHex("00"), fromHex("ff")] as const;
    await store.write([put("02aa", secret), put("0100", randomBytes(100)), put("0300", randomBytes(100))]);
    await store.compact(...all);
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).toHaveLength(1);
    await store.write([{ type: "delete", key: fromHex("02aa") }]);
    await store.compact(fromHex("02aa"), fromHex("02aa"));
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).toEqual([]);
    await store.write([put("02ab", secret)]);
    await store.write([{ type: "delete", key: fromHex("02ab") }]);
    await store.compact(fromHex("02ab"), fromHex("02ab"));
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).toEqual([]);
    await store.close();
  });

  test("keeps the value while a snapshot needs it, and the search finds it", async () => {
    const { directory, secret, needle } = await secretStore();
    const store = await openLevelStore(directory, { create: true });
    await store.write([put("02aa", secret)]);
    const snapshot = store.snapshot();
    await store.write([{ type: "delete", key: fromHex("02aa") }]);
    await store.compact(fromHex("02aa"), fromHex("02aa"));
    expect(snapshot.get(fromHex("02aa"))).toEqual(secret);
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).not.toEqual([]);
    await snapshot.dispose();
    await store.compact(fromHex("02aa"), fromHex("02aa"));
    expect(await findBytesInFiles(nodeFileSystem, directory, [needle])).toEqual([]);
    await store.close();
  });
});
