import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import {
  createVault,
  describeVault,
  openVault,
  recovery,
  type Vault,
  type VaultNotice,
} from "../src/index.ts";
import { parseHeader } from "../src/formats/header.ts";
import { driveScratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = driveScratchDirectories();

interface Sample {
  readonly directory: string;
  readonly recoveryCode: string;
}

/** A closed vault with `alias/one` … in the given order, one commit each. */
async function makeVault(...aliases: readonly string[]): Promise<Sample> {
  const directory = join(await scratch(), "my.vault");
  const { vault, recoveryCode } = await createVault(directory, { unlock: cheapPassphrase() });
  for (const alias of aliases) await vault.kms.createKey({ alias });
  await vault.close();
  return { directory, recoveryCode };
}

async function withVault<T>(
  { directory, recoveryCode }: Sample,
  use: (vault: Vault) => Promise<T>,
  onWarning: (notice: VaultNotice) => void = () => undefined,
): Promise<T> {
  const vault = await openVault(directory, { unlock: recovery(recoveryCode), onWarning });
  try {
    return await use(vault);
  } finally {
    await vault.close();
  }
}

async function aliasesOf(sample: Sample): Promise<string[]> {
  return withVault(sample, async (vault) => {
    const { aliases } = await vault.kms.listAliases({});
    return aliases.map(({ aliasName }) => aliasName).sort();
  });
}

const generationOf = async (path: string): Promise<number> => parseHeader(await readFile(path)).generation;

/** Refused with this code, and every byte as before. */
async function expectRefusal(sample: Sample, code: string, details: object = {}): Promise<void> {
  const before = await treeOf(sample.directory);
  await expect(withVault(sample, async () => undefined)).rejects.toMatchObject({ code, details });
  expect(await treeOf(sample.directory)).toEqual(before);
}

describe("making a vault", () => {
  test("makes a directory that is a vault from its first moment, with two equal headers [F-100] [F-102]", async () => {
    const { directory } = await makeVault();
    const names = (await readdir(directory)).sort();
    expect(names).toEqual(["db-1", "header.0", "header.1", "incoming", "objects"]);
    expect(await readFile(join(directory, "header.0"))).toEqual(await readFile(join(directory, "header.1")));
    expect(await readdir(join(directory, ".."))).toEqual(["my.vault"]);
  });

  test("takes an empty directory, and a link to one, but nothing that has contents [F-101]", async () => {
    const parent = await scratch();
    await mkdir(join(parent, "empty"));
    await symlink(join(parent, "empty"), join(parent, "link"));
    const { vault } = await createVault(join(parent, "link"), {
      unlock: cheapPassphrase(),
      recoveryCode: false,
    });
    await vault.close();
    expect((await describeVault(join(parent, "empty"))).exists).toBe(true);

    await mkdir(join(parent, "full"));
    await writeFile(join(parent, "full", "notes.txt"), "mine");
    await expect(createVault(join(parent, "full"), { unlock: cheapPassphrase() })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      details: { reason: "not-empty" },
    });
    await expect(createVault(join(parent, "empty"), { unlock: cheapPassphrase() })).rejects.toMatchObject({
      code: "COFFER_VAULT_EXISTS",
    });
    expect((await readdir(parent)).sort()).toEqual(["empty", "full", "link"]);
  });

  test("leaves nothing behind when it is aborted", async () => {
    const parent = await scratch();
    const reason = new Error("changed my mind");
    const options = { unlock: cheapPassphrase(), signal: AbortSignal.abort(reason) };
    await expect(createVault(join(parent, "v"), options)).rejects.toBe(reason);
    expect(await readdir(parent)).toEqual([]);
  });

  test("warns of a vault with one way in", async () => {
    const notices: VaultNotice[] = [];
    const { vault, ...rest } = await createVault(join(await scratch(), "v"), {
      unlock: cheapPassphrase(),
      recoveryCode: false,
      onWarning: (notice) => notices.push(notice),
    });
    await vault.close();
    expect(rest).toEqual({});
    expect(notices.map(({ type }) => type)).toEqual(["warning"]);
  });
});

describe("the handle", () => {
  let sample: Sample;
  beforeAll(async () => {
    sample = await makeVault("alias/one");
  });

  test("locks, refuses, and unlocks again on the same handle", async () => {
    await withVault(sample, async (vault) => {
      const events: string[] = [];
      vault.on("lock", () => events.push("lock")).on("unlock", () => events.push("unlock"));
      const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: "x" });
      await vault.lock();
      expect(vault.state).toBe("locked");
      await expect(vault.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject({ code: "COFFER_LOCKED" });
      await expect(vault.unlock(cheapPassphrase("wrong"))).rejects.toMatchObject({
        code: "COFFER_WRONG_SECRET",
      });
      expect(vault.state).toBe("locked");
      await vault.unlock(cheapPassphrase());
      expect((await vault.kms.decrypt({ ciphertextBlob })).plaintext).toEqual(new Uint8Array([0x78]));
      expect(events).toEqual(["lock", "unlock"]);
    });
  });

  test("ends waiting changes with COFFER_LOCKED, and finishes the one being written", async () => {
    await withVault(sample, async (vault) => {
      const changes = [1, 2, 3].map((n) => vault.kms.createKey({ description: `number ${n}` }));
      const locking = vault.lock();
      const outcomes = await Promise.allSettled(changes);
      await locking;
      await vault.unlock(cheapPassphrase());
      const { keys } = await vault.kms.listKeys({ limit: 1000 });
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "COFFER_LOCKED" });
        else expect(keys.map(({ keyId }) => keyId)).toContain(outcome.value.keyMetadata.keyId);
      }
    });
  });

  test("closes twice, by asyncDispose too, and says that it is closed", async () => {
    const vault = await openVault(sample.directory, { unlock: recovery(sample.recoveryCode) });
    await vault.close();
    await vault[Symbol.asyncDispose]();
    expect(vault.state).toBe("closed");
    await expect(vault.kms.listKeys({})).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    await expect(vault.unlock(cheapPassphrase())).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    expect(await readdir(sample.directory)).not.toContain("vault.lock");
  });

  test("is refused to a second opener at once, who changes nothing [F-106]", async () => {
    await withVault(sample, async (vault) => {
      const before = await treeOf(sample.directory);
      await expect(openVault(sample.directory, { unlock: cheapPassphrase() })).rejects.toMatchObject({
        code: "COFFER_VAULT_IN_USE",
        details: { pid: process.pid },
      });
      expect(await treeOf(sample.directory)).toEqual(before);
      const description = await describeVault(vault.directory);
      expect(description.exists && description.inUseBy?.pid).toBe(process.pid);
    });
  });

  test("gives an unlocker one use", async () => {
    const unlock = cheapPassphrase("wrong");
    await expect(openVault(sample.directory, { unlock })).rejects.toMatchObject({
      code: "COFFER_WRONG_SECRET",
    });
    await expect(openVault(sample.directory, { unlock })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
    });
  });

  test("refuses options that it does not know", async () => {
    const options = { unlock: cheapPassphrase(), passphrase: "x" };
    await expect(openVault(sample.directory, options)).rejects.toThrow(/options\.passphrase/u);
  });
});

describe("what opening makes of the files", () => {
  test("no vault where there is none, nothing made there [F-120]", async () => {
    const directory = await scratch();
    await expect(openVault(directory, { unlock: cheapPassphrase() })).rejects.toMatchObject({
      code: "COFFER_VAULT_NOT_FOUND",
    });
    expect(await readdir(directory)).toEqual([]);
    expect(await describeVault(directory)).toEqual({ exists: false });
    expect(await describeVault(join(directory, "absent"))).toEqual({ exists: false });
  });

  test("a directory that lost both headers is damaged, for createVault too [F-101] [F-121]", async () => {
    const sample = await makeVault();
    await rm(join(sample.directory, "header.0"));
    await rm(join(sample.directory, "header.1"));
    await expectRefusal(sample, "COFFER_DAMAGED", { part: "header" });
    await expect(createVault(sample.directory, { unlock: cheapPassphrase() })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
  });

  test.each(["header.0", "header.1"])(
    "one good copy is enough; a lost %s is healed by the next change [F-104] [F-122]",
    async (name) => {
      const sample = await makeVault();
      await rm(join(sample.directory, name));
      const notices: string[] = [];
      await withVault(
        sample,
        async (vault) => void (await vault.kms.createKey({})),
        ({ type }) => notices.push(type),
      );
      expect(notices).toEqual(["damage"]);
      const [first, second] = ["header.0", "header.1"].map((copy) => readFile(join(sample.directory, copy)));
      expect(await first).toEqual(await second);
    },
  );

  test("the copy of the larger generation counts [F-103]", async () => {
    const sample = await makeVault();
    await cp(join(sample.directory, "header.0"), join(sample.directory, "old"));
    await withVault(sample, async (vault) => void (await vault.kms.createKey({ alias: "alias/new" })));
    const generation = await generationOf(join(sample.directory, "header.0"));
    await rename(join(sample.directory, "old"), join(sample.directory, "header.0"));
    expect(await generationOf(join(sample.directory, "header.0"))).toBe(generation - 1);
    expect(await aliasesOf(sample)).toEqual(["alias/default", "alias/new"]);
  });

  test("two good copies of one generation that differ are damaged [F-103]", async () => {
    const [sample, other] = [await makeVault(), await makeVault()];
    await cp(join(other.directory, "header.1"), join(sample.directory, "header.1"));
    await expectRefusal(sample, "COFFER_DAMAGED", { part: "header" });
  });

  test("a wrong secret changes no file [F-123]", async () => {
    const sample = await makeVault();
    const before = await treeOf(sample.directory);
    await expect(openVault(sample.directory, { unlock: cheapPassphrase("wrong") })).rejects.toMatchObject({
      code: "COFFER_WRONG_SECRET",
    });
    expect(await treeOf(sample.directory)).toEqual(before);
  });

  test("a lost database is damaged, and none is begun anew [F-124]", async () => {
    const sample = await makeVault();
    await rm(join(sample.directory, "db-1"), { recursive: true });
    await expectRefusal(sample, "COFFER_DAMAGED", { part: "database" });
  });

  test("an older database is rolled back, reason database [F-112] [F-125]", async () => {
    const sample = await makeVault("alias/one");
    await cp(join(sample.directory, "db-1"), join(sample.directory, "../older"), { recursive: true });
    await withVault(sample, (vault) => vault.kms.deleteAlias({ aliasName: "alias/one" }));
    await rm(join(sample.directory, "db-1"), { recursive: true });
    await rename(join(sample.directory, "../older"), join(sample.directory, "db-1"));
    await expectRefusal(sample, "COFFER_ROLLED_BACK", { reason: "database" });
  });

  test("older headers are rolled back, reason header [F-113] [F-126]", async () => {
    const sample = await makeVault("alias/one");
    for (const name of ["header.0", "header.1"]) {
      await cp(join(sample.directory, name), join(sample.directory, `../${name}`));
    }
    // Two commits: the database names a header generation once the commit after it is durable.
    await withVault(sample, async (vault) => {
      await vault.kms.createKey({ alias: "alias/two" });
      await vault.kms.createKey({ alias: "alias/three" });
    });
    for (const name of ["header.0", "header.1"]) {
      await rename(join(sample.directory, `../${name}`), join(sample.directory, name));
    }
    await expectRefusal(sample, "COFFER_ROLLED_BACK", { reason: "header" });
  });

  test("leftovers of a crash are opened over and swept [F-128]", async () => {
    const sample = await makeVault("alias/one");
    await writeFile(join(sample.directory, "header.0.tmp"), "half a header");
    await mkdir(join(sample.directory, "db-2"));
    await writeFile(join(sample.directory, "db-2", "CURRENT"), "MANIFEST-000001\n");
    expect(await aliasesOf(sample)).toEqual(["alias/default", "alias/one"]);
    expect((await readdir(sample.directory)).sort()).toEqual([
      "db-1",
      "header.0",
      "header.1",
      "incoming",
      "objects",
    ]);
  });

  test("what an open kept is put back when the process died before its first change [F-129]", async () => {
    const sample = await makeVault("alias/one");
    const database = join(sample.directory, "db-1");
    await cp(database, `${database}.keep`, { recursive: true });
    await rm(database, { recursive: true });
    expect(await aliasesOf(sample)).toEqual(["alias/default", "alias/one"]);
    expect((await readdir(sample.directory)).sort()).toEqual([
      "db-1",
      "header.0",
      "header.1",
      "incoming",
      "objects",
    ]);
  });

  test("the state's time never falls [F-116]", async () => {
    const sample = await makeVault();
    const at = async (now: number): Promise<number> => {
      const vault = await openVault(sample.directory, {
        unlock: recovery(sample.recoveryCode),
        clock: () => now,
      });
      try {
        return (await vault.kms.createKey({})).keyMetadata.creationDate.getTime();
      } finally {
        await vault.close();
      }
    };
    const later = Date.now() + 1_000_000;
    expect(await at(later)).toBe(later);
    expect(await at(later - 500_000)).toBe(later);
    expect(await at(later + 5)).toBe(later + 5);
  });
});
