import { cpSync, existsSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { equal, fromHex, hex } from "../src/bytes.ts";
import { diagnoseVaultIn, type DiagnoseVaultOptions } from "../src/diagnose-vault.ts";
import type { VaultDiagnosis } from "../src/diagnosis.ts";
import { recordKey } from "../src/formats/records/record-key.ts";
import { TABLES } from "../src/formats/records/tables.ts";
import { recovery } from "../src/keystore/slots/recovery.ts";
import type { UnlockedVault } from "../src/keystore/unlocked-vault.ts";
import { openRoot, wayInOf } from "../src/keystore/slots/way-in.ts";
import { LockedError } from "../src/errors.ts";
import { createVault, openVault, type Vault } from "../src/vault.ts";
import { VaultOpening } from "../src/vault-opening.ts";
import { ENVIRONMENT, keysFor, keysOf, withStore } from "./doctor-vaults.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { all, bytesOf, objectsOf } from "./store/store-ground.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();

/** A vault with two larger files, a small one in a directory, and an object that was removed. */
interface Sample {
  readonly directory: string;
  readonly code: string;
  readonly removed: string;
}

let sample: Sample;

beforeAll(async () => {
  const folder = await scratch();
  const directory = join(folder, "vault");
  const { vault, recoveryCode: code } = await createVault(directory, { unlock: cheapPassphrase() });
  await vault.store.write("gone", bytesOf(9000, 9));
  const [path = ""] = await objectsOf(directory);
  const removed = join(folder, basename(path));
  await copyFile(path, removed);
  await vault.store.remove("gone");
  await vault.store.write("one", bytesOf(9000, 1));
  await vault.store.write("d/two", bytesOf(70_000, 2));
  await vault.store.write("d/small", bytesOf(10));
  await vault.close();
  sample = { directory, code, removed };
});

async function copyOfSample(): Promise<string> {
  const directory = join(await scratch(), "vault");
  await cp(sample.directory, directory, { recursive: true });
  return directory;
}

function diagnose(directory: string, options: DiagnoseVaultOptions = {}): Promise<VaultDiagnosis> {
  return diagnoseVaultIn(ENVIRONMENT, directory, { unlock: recovery(sample.code), ...options });
}

/** `severity part: message (names)` of all about the store, and all that is wrong. */
function said({ findings }: VaultDiagnosis): string[] {
  return findings
    .filter(({ part, severity }) => part === "store" || /warning|damage/u.test(severity))
    .map(
      ({ severity, part, message, names, isRepaired }) =>
        `${isRepaired ? "repaired" : severity} ${part}: ${message} (${names?.join() ?? ""})`,
    );
}

async function use<T>(directory: string, work: (vault: Vault) => Promise<T>): Promise<T> {
  await using vault = await openVault(directory, { unlock: recovery(sample.code) });
  return await work(vault);
}

/** What was found is told as repaired, and is. */
async function expectMended(directory: string, found: readonly RegExp[]): Promise<string[]> {
  const repair = await diagnose(directory, { repair: true });
  expect(repair.verdict, said(repair).join("\n")).toBe("sound");
  const lines = said(repair).filter((line) => line.startsWith("repaired"));
  expect(lines).toEqual(found.map((pattern) => expect.stringMatching(pattern)));
  expect(await use(directory, async ({ store }) => (await store.verify()).problems)).toEqual([]);
  return said(repair);
}

const pathsIn = (directory: string): Promise<string[]> =>
  use(directory, async ({ store }) => (await all(store.walk())).map(({ path }) => path));

test.concurrent("a sound store is said to be sound, and its files to be there", async () => {
  const directory = await copyOfSample();
  const diagnosis = await diagnose(directory);
  expect(diagnosis.verdict).toBe("sound");
  expect(said(diagnosis)).toEqual([
    expect.stringMatching(/^ok store: The index of the file store names 2 objects: each is there/u),
  ]);
});

test.concurrent("without keys objects are counted, and foreign names are told", async () => {
  const directory = await copyOfSample();
  await mkdir(join(directory, "objects", "not-hex"));
  await writeFile(join(directory, "incoming", "note.txt"), "x");
  const { findings } = await diagnoseVaultIn(ENVIRONMENT, directory);
  expect(findings).toContainEqual(expect.objectContaining({ part: "store", severity: "note" }));
  expect(findings.find(({ part }) => part === "store")?.message).toContain("2 objects");
  expect(findings.find(({ part }) => part === "foreign-files")?.names?.toSorted()).toEqual([
    join("incoming", "note.txt"),
    join("objects", "not-hex"),
  ]);
});

test.concurrent.each(["objects", "incoming"])(
  "a link in the place of %s is told, and not followed",
  async (name) => {
    const directory = await copyOfSample();
    const elsewhere = join(await scratch(), "elsewhere");
    await rename(join(directory, name), elsewhere);
    await writeFile(join(elsewhere, `${"ab".repeat(16)}.cof`), "theirs");
    await symlink(elsewhere, join(directory, name));
    const before = await readdir(elsewhere, { recursive: true });
    const diagnosis = await diagnose(directory, { repair: true });
    expect(diagnosis.verdict).toBe("damaged");
    expect(said(diagnosis)).toContainEqual(expect.stringMatching(/^damage store: .*is a link to elsewhere/u));
    expect(JSON.stringify(diagnosis)).not.toContain("abab");
    expect(await readdir(elsewhere, { recursive: true })).toEqual(before);
  },
);

test.concurrent.each([
  [
    "missing or cut",
    rm,
    (path: string) => truncate(path, 8000),
    ["1 stored file has no content", "another one, was cut"],
  ],
  [
    "empty or another's",
    (path: string) => truncate(path, 0),
    (path: string) => copyFile(sample.removed, path),
    ["another one, was cut"],
  ],
])("objects that are %s are told, and no repair makes them up", async (_, first, second, messages) => {
  const directory = await copyOfSample();
  const [one = "", two = ""] = await objectsOf(directory);
  await first(one);
  await second(two);
  const diagnosis = await diagnose(directory, { repair: true });
  expect(diagnosis.verdict).toBe("damaged");
  const lines = said(diagnosis);
  expect(lines).toEqual(messages.map((message) => expect.stringContaining(message)));
  for (const path of [one, two]) expect(lines.join()).toContain(relative(directory, path));
});

test.concurrent("an object without a record is told, and a repair names it [F-239] [F-243]", async () => {
  const directory = await copyOfSample();
  const name = basename(sample.removed);
  await mkdir(join(directory, "objects", name.slice(0, 2)), { recursive: true });
  await copyFile(sample.removed, join(directory, "objects", name.slice(0, 2), name));
  const before = await treeOf(directory);
  expect(said(await diagnose(directory))).toEqual([
    expect.stringMatching(/^damage store: 1 object of the file store has no record/u),
  ]);
  expect(await treeOf(directory)).toEqual(before);
  const lines = await expectMended(directory, [/^repaired store: 1 object .* has no record/u]);
  expect(lines).toContainEqual(expect.stringMatching(/^note store: .* 1 contents and directories are in/u));
  const found = await use(directory, ({ store }) => store.read(`lost+found/${basename(name, ".cof")}`));
  expect(equal(found, bytesOf(9000, 9))).toBe(true);
});

test.concurrent(
  "names that were altered on disk are given up by a repair, and what they led to is in lost+found [F-243]",
  async () => {
    const directory = await copyOfSample();
    await withStore(directory, async (store) => {
      for (const key of await keysOf(store, TABLES.entries)) {
        const value = store.get(key);
        if (value === undefined) continue;
        value[40] = (value[40] ?? 0) ^ 1;
        await store.write([{ type: "put", key, value }]);
      }
    });
    const lines = await expectMended(directory, [
      /^repaired records: Of the file names, 4 of them do not open/u,
    ]);
    expect(lines).toContainEqual(expect.stringMatching(/^note store: .*: 4 records that do not open/u));
    const found = await pathsIn(directory);
    expect(found.filter((path) => /^lost\+found\/[0-9a-f]{32}$/u.test(path))).toHaveLength(2);
  },
);

test.concurrent(
  "a record of a content that is lost is made anew from its object, under the old name [F-243]",
  async () => {
    const directory = await copyOfSample();
    await withStore(directory, async (store) => {
      for (const key of await keysOf(store, TABLES.contents)) await store.write([{ type: "delete", key }]);
    });
    await expectMended(directory, [
      /^repaired records: Of the file contents, 0 records/u,
      /^repaired store: 2 objects/u,
    ]);
    expect(await pathsIn(directory)).toEqual(["d", "d/small", "d/two", "one"]);
    expect(equal(await use(directory, ({ store }) => store.read("one")), bytesOf(9000, 1))).toBe(true);
  },
);

/** Changes records as a faulty program would: sums and all. */
async function change(directory: string, work: (unlocked: UnlockedVault) => Promise<void>): Promise<void> {
  const options = { clock: Date.now, report: (): void => undefined };
  const opening = await VaultOpening.begin(ENVIRONMENT, directory, options);
  const unlocked = await opening.unlock(async (header) => {
    const context = { vaultId: header.vaultId, warn: (): undefined => undefined };
    return (await openRoot(header, wayInOf(recovery(sample.code), "unlock"), context)).root;
  });
  await work(unlocked);
  await unlocked.end(new LockedError("done"));
  await opening.end();
}

test.concurrent("records that do not fit each other are told, and named by a repair [F-243]", async () => {
  const directory = await copyOfSample();
  await change(directory, async ({ database, keystore }) => {
    const root = new Uint8Array(16);
    await database.change((transaction) => {
      for (const name of ["d", "one"]) transaction.delete(recordKey.entry(keystore.keys.name, root, name));
    });
  });
  await expectMended(directory, [
    /^repaired records: 2 names of the file store lie in a directory that no name leads to/u,
    /^repaired records: 1 contents of the file store have no name/u,
  ]);
  const found = await pathsIn(directory);
  expect(found.filter((path) => path.endsWith("/two") || path.endsWith("/small"))).toHaveLength(2);
  expect(found).toHaveLength(5);
});

/** Lists what a name leads to as removed. */
function listAsRemoved(directory: string, name: string, kind: "content" | "directory"): Promise<void> {
  return change(directory, async ({ database, keystore }) => {
    const kname = keystore.keys.name;
    await database.change((transaction) => {
      const entry = transaction.get(TABLES.entries, recordKey.entry(kname, new Uint8Array(16), name));
      if (entry === undefined) throw new Error(`no ${name}`);
      transaction.put(TABLES.garbage, recordKey.garbage(kname, entry.id), { id: entry.id, kind });
    });
  });
}

test.concurrent(
  "what stands on the list of removed files and has a name stays, and a repair takes it off the list [F-245] [F-246]",
  async () => {
    const directory = await copyOfSample();
    await listAsRemoved(directory, "d", "directory");
    await listAsRemoved(directory, "one", "content");
    await use(directory, async (vault) => {
      const damage: string[] = [];
      vault.on("damage", ({ message }) => void damage.push(message));
      await vault.store.write("other", bytesOf(9000, 3));
      await expect(vault.store.remove("other", { purge: true })).rejects.toMatchObject({
        reason: "traces-left",
      });
      expect(damage).toEqual([expect.stringMatching(/still have a name/u)]);
    });
    expect(await objectsOf(directory)).toHaveLength(2);
    const lines = await expectMended(directory, [
      /^repaired records: 2 things that are to be removed still have a name/u,
    ]);
    expect(lines).toContainEqual(expect.stringMatching(/^note store: .*2 records/u));
    expect(await pathsIn(directory)).toEqual(["d", "d/small", "d/two", "one"]);
    expect(equal(await use(directory, ({ store }) => store.read("d/two")), bytesOf(70_000, 2))).toBe(true);
  },
);

/** The raw records of one table. */
async function recordsIn(directory: string, table: number): Promise<(readonly [Uint8Array, Uint8Array])[]> {
  return withStore(directory, async (store) => {
    const keys = await keysOf(store, table);
    return keys.map((key) => [key, store.get(key) ?? new Uint8Array()] as const);
  });
}

/** The sample, and a copy of its directory; `put` puts the list of removed files back that was while it was copied. */
async function withOlderList(): Promise<{ readonly directory: string; readonly put: () => Promise<void> }> {
  const directory = await copyOfSample();
  const meanwhile = join(await scratch(), "meanwhile");
  await use(directory, ({ store }) =>
    store.copy("d", "copy", {
      onProgress() {
        if (!existsSync(meanwhile)) cpSync(directory, meanwhile, { recursive: true });
      },
    }),
  );
  const older = await recordsIn(meanwhile, TABLES.garbage);
  expect(older).toHaveLength(1);
  return {
    directory,
    put: () =>
      withStore(directory, (store) =>
        store.write(older.map(([key, value]) => ({ type: "put", key, value }))),
      ),
  };
}

test.concurrent("a repair removes nothing of an older list of removed files [F-246]", async () => {
  const { directory, put } = await withOlderList();
  await use(directory, ({ store }) => store.remove("d", { recursive: true }));
  await put();
  const lines = await expectMended(directory, [
    /^repaired records: Of the removed files, 1 record is there instead of 0/u,
  ]);
  expect(lines).toContainEqual(expect.stringMatching(/^note store: .*1 record/u));
  expect(await pathsIn(directory)).toEqual(["copy", "copy/small", "copy/two", "one"]);
  expect(equal(await use(directory, ({ store }) => store.read("copy/two")), bytesOf(70_000, 2))).toBe(true);
});

test.concurrent(
  "a directory on an older list whose name is lost comes to lost+found with all in it [F-246]",
  async () => {
    const { directory, put } = await withOlderList();
    await put();
    const keys = await keysFor(directory, sample.code);
    const lost = recordKey.entry(keys.name, new Uint8Array(16), "copy");
    keys.wipe();
    await withStore(directory, (store) => store.write([{ type: "delete", key: lost }]));
    const repair = await diagnose(directory, { repair: true });
    expect(repair.verdict, said(repair).join("\n")).toBe("sound");
    const found = (await pathsIn(directory)).filter((path) => path.startsWith("lost+found/"));
    expect(found.map((path) => path.replace(/[0-9a-f]{32}/u, "ID"))).toEqual([
      "lost+found/ID",
      "lost+found/ID/small",
      "lost+found/ID/two",
    ]);
  },
);

test.concurrent.each(["lost", "altered"])(
  "a repair takes what is on its way, and whose record is %s, to its name before anything is swept [F-247]",
  async (how) => {
    const directory = await copyOfSample();
    const stored = await objectsOf(directory);
    for (const path of stored) await rename(path, join(directory, "incoming", basename(path)));
    await withStore(directory, async (store) => {
      for (const key of await keysOf(store, TABLES.contents)) {
        const value = store.get(key);
        if (how === "lost") await store.write([{ type: "delete", key }]);
        else if (value !== undefined) {
          value[40] = (value[40] ?? 0) ^ 1;
          await store.write([{ type: "put", key, value }]);
        }
      }
    });
    const repair = await diagnose(directory, { repair: true });
    expect(repair.verdict, said(repair).join("\n")).toBe("sound");
    expect(await pathsIn(directory)).toEqual(["d", "d/small", "d/two", "one"]);
    expect(equal(await use(directory, ({ store }) => store.read("one")), bytesOf(9000, 1))).toBe(true);
    expect(await objectsOf(directory)).toEqual(stored);
  },
);

test.concurrent(
  "an object on its way that a name leads to is not swept, though all sums are right [F-238]",
  async () => {
    const directory = await copyOfSample();
    const [path = ""] = await objectsOf(directory);
    await rename(path, join(directory, "incoming", basename(path)));
    await change(directory, async ({ database, keystore }) => {
      const key = recordKey.content(keystore.keys.name, fromHex(basename(path, ".cof")));
      await database.change((transaction) => transaction.delete(key));
    });
    await use(directory, async () => undefined);
    expect(await readdir(join(directory, "incoming"))).toEqual([basename(path)]);
    await expectMended(directory, [/^repaired records: 1 file names lead to a content that has no record/u]);
    expect(await objectsOf(directory)).toHaveLength(2);
  },
);

/** The sample after two moves, with the names from before them beside the new ones. */
async function withOlderNames(): Promise<string> {
  const directory = await copyOfSample();
  const older = await recordsIn(directory, TABLES.entries);
  await use(directory, async ({ store }) => {
    await store.move("d", "new/deeper/d");
    await store.move("one", "new/deeper/one");
  });
  const names = new Set((await recordsIn(directory, TABLES.entries)).map(([key]) => hex(key)));
  const gone = older.filter(([key]) => !names.has(hex(key)));
  expect(gone).toHaveLength(2);
  await withStore(directory, (store) =>
    store.write(gone.map(([key, value]) => ({ type: "put", key, value }))),
  );
  return directory;
}

const MOVED = [
  "new",
  "new/deeper",
  "new/deeper/d",
  "new/deeper/d/small",
  "new/deeper/d/two",
  "new/deeper/one",
];

test.concurrent("of two names a repair keeps the one that the sum tells [F-248]", async () => {
  const directory = await withOlderNames();
  const lines = await expectMended(directory, [
    /^repaired records: Of the file names, 8 records are there instead of 6/u,
  ]);
  expect(lines).toContainEqual(expect.stringMatching(/^note store: 2 names .*The sums have told/u));
  expect(await pathsIn(directory)).toEqual(MOVED);
  expect(equal(await use(directory, ({ store }) => store.read("new/deeper/one")), bytesOf(9000, 1))).toBe(
    true,
  );
  expect(await objectsOf(directory)).toHaveLength(2);
});

test.concurrent(
  "of two names a repair keeps the one with the shorter path where no sum tells [F-248]",
  async () => {
    const directory = await withOlderNames();
    const keys = await keysFor(directory, sample.code);
    const root = new Uint8Array(16);
    await withStore(directory, async (store) => {
      const [other] = (await keysOf(store, TABLES.entries)).filter(
        (key) => key[1] !== recordKey.entries(keys.name, root)[1],
      );
      const value = store.get(other ?? root) ?? root;
      await store.write([{ type: "put", key: recordKey.entry(keys.name, root, "no record"), value }]);
    });
    keys.wipe();
    const repair = await diagnose(directory, { repair: true });
    expect(repair.verdict, said(repair).join("\n")).toBe("sound");
    expect(said(repair)).toContainEqual(expect.stringMatching(/^note store: 2 names .*is not known/u));
    expect(await pathsIn(directory)).toEqual(["d", "d/small", "d/two", "new", "new/deeper", "one"]);
    expect(await objectsOf(directory)).toHaveLength(2);
  },
);

test.concurrent(
  "what one of two names is taken from, or written over, keeps the other and its content [F-245] [F-248]",
  async () => {
    const directory = await withOlderNames();
    await use(directory, async ({ store }) => {
      await store.remove("d", { recursive: true });
      await store.write("one", bytesOf(12_000, 5), { overwrite: true });
    });
    expect(await objectsOf(directory)).toHaveLength(3);
    const repair = await diagnose(directory, { repair: true });
    expect(repair.verdict, said(repair).join("\n")).toBe("sound");
    expect(await pathsIn(directory)).toEqual([...MOVED, "one"]);
    await use(directory, async ({ store }) => {
      expect((await store.verify()).problems).toEqual([]);
      expect(equal(await store.read("new/deeper/one"), bytesOf(9000, 1))).toBe(true);
      expect(equal(await store.read("new/deeper/d/two"), bytesOf(70_000, 2))).toBe(true);
      expect(equal(await store.read("one"), bytesOf(12_000, 5))).toBe(true);
    });
  },
);

test.concurrent("two names that all sums are right of are told, and mended [F-248]", async () => {
  const directory = await copyOfSample();
  await change(directory, async ({ database, keystore }) => {
    const [kname, root] = [keystore.keys.name, new Uint8Array(16)];
    await database.change((transaction) => {
      const d = transaction.get(TABLES.entries, recordKey.entry(kname, root, "d"));
      const one = transaction.get(TABLES.entries, recordKey.entry(kname, root, "one"));
      if (d === undefined || one === undefined) throw new Error("no sample");
      transaction.put(TABLES.entries, recordKey.entry(kname, d.id, "again"), {
        ...one,
        dir: d.id,
        name: "again",
      });
      // A directory in itself.
      transaction.put(TABLES.entries, recordKey.entry(kname, d.id, "d"), { ...d, dir: d.id });
    });
  });
  const repair = await diagnose(directory, { repair: true });
  expect(repair.verdict, said(repair).join("\n")).toBe("sound");
  expect(said(repair)).toContainEqual(
    expect.stringMatching(/^repaired records: 2 names of the file store lead to what another/u),
  );
  expect(await pathsIn(directory)).toEqual(["d", "d/small", "d/two", "one"]);
});

test.concurrent("what was on its way is sorted out by a repair", async () => {
  const directory = await copyOfSample();
  await copyFile(sample.removed, join(directory, "incoming", basename(sample.removed)));
  const repair = await diagnose(directory, { repair: true });
  expect(repair.findings).toContainEqual(
    expect.objectContaining({ part: "temporary-files", isRepaired: true }),
  );
  expect(repair.verdict).toBe("sound");
});
