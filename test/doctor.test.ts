import { chmod, cp, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { diagnoseVaultIn, type DiagnoseVaultOptions } from "../src/diagnose-vault.ts";
import type { FindingSeverity, VaultDiagnosis, VaultPart } from "../src/diagnosis.ts";
import { isCofferError } from "../src/errors.ts";
import { recordKey } from "../src/formats/records/record-key.ts";
import { type KeyRecord, TABLES } from "../src/formats/records/tables.ts";
import { recovery } from "../src/keystore/slots/recovery.ts";
import { openVault } from "../src/vault.ts";
import { VaultOpening } from "../src/vault-opening.ts";
import {
  ENVIRONMENT,
  keysFor,
  keysOf,
  makeVaultStates,
  putFrom,
  type VaultStates,
  withStore,
} from "./doctor-vaults.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();
let states: VaultStates;
let stranger: VaultStates;

beforeAll(async () => {
  [states, stranger] = await Promise.all([
    makeVaultStates(await scratch()),
    makeVaultStates(await scratch()),
  ]);
});

async function copyOf(state: "older" | "newer" = "newer"): Promise<string> {
  const directory = join(await scratch(), "vault");
  await cp(states[state], directory, { recursive: true });
  await chmod(directory, 0o700);
  return directory;
}

function diagnose(directory: string, options: DiagnoseVaultOptions = {}): Promise<VaultDiagnosis> {
  return diagnoseVaultIn(ENVIRONMENT, directory, { unlock: recovery(states.code), ...options });
}

/** What is not in order, as `severity part`, each once. */
function problems({ findings }: VaultDiagnosis): string[] {
  const worse = findings.filter(
    ({ severity, isRepaired }) => !isRepaired && /warning|damage/u.test(severity),
  );
  return [...new Set(worse.map(({ severity, part }) => `${severity} ${part}`))].toSorted();
}

function repaired({ findings }: VaultDiagnosis): string[] {
  const mended = findings.filter(({ isRepaired }) => isRepaired);
  return [...new Set(mended.map(({ severity, part }) => `${severity} ${part}`))].toSorted();
}

function found({ findings }: VaultDiagnosis, part: VaultPart, severity: FindingSeverity): string {
  return findings
    .filter((finding) => finding.part === part && finding.severity === severity)
    .map(({ message }) => message)
    .join("\n");
}

async function expectOpens(directory: string): Promise<void> {
  const vault = await openVault(directory, { unlock: recovery(states.code) });
  const { keyMetadata } = await vault.kms.describeKey({ keyId: "alias/one" });
  expect(keyMetadata).toMatchObject({ description: "first", keyState: "Disabled" });
  const { aliases } = await vault.kms.listAliases({});
  expect(aliases.map(({ aliasName }) => aliasName)).toEqual(
    expect.arrayContaining(["alias/default", "alias/one", "alias/two"]),
  );
  await vault.close();
}

/** Names are found, nothing is changed by looking; a repair then mends all of it, and the vault opens as it was. */
async function expectMended(
  directory: string,
  expected: { readonly problems?: readonly string[]; readonly repaired: readonly string[] },
): Promise<VaultDiagnosis> {
  const before = await treeOf(directory);
  const diagnosis = await diagnose(directory);
  expect(problems(diagnosis)).toEqual(expected.problems ?? expected.repaired);
  expect(await treeOf(directory)).toEqual(before);
  const repair = await diagnose(directory, { repair: true });
  expect(problems(repair)).toEqual([]);
  expect(repaired(repair)).toEqual(expected.repaired);
  expect(repair.verdict).toBe("sound");
  await expectOpens(directory);
  return diagnosis;
}

/** Names are found; neither looking nor a repair changes a byte, and the vault does not open. */
async function expectNotMended(directory: string, expected: readonly string[]): Promise<VaultDiagnosis> {
  const before = await treeOf(directory);
  const diagnosis = await diagnose(directory, { repair: true });
  expect(problems(diagnosis)).toEqual(expected);
  expect(repaired(diagnosis)).toEqual([]);
  expect(diagnosis.verdict).toBe("damaged");
  expect(await treeOf(directory)).toEqual(before);
  await expect(openVault(directory, { unlock: recovery(states.code) })).rejects.toSatisfy(
    (error) => isCofferError(error, "COFFER_DAMAGED") || isCofferError(error, "COFFER_ROLLED_BACK"),
  );
  return diagnosis;
}

describe.concurrent("a sound vault", () => {
  test("has no warning, every record checked, and stays as it is", async () => {
    const directory = await copyOf();
    const before = await treeOf(directory);
    const diagnosis = await diagnose(directory);
    expect(problems(diagnosis)).toEqual([]);
    expect(diagnosis).toMatchObject({
      verdict: "sound",
      isComplete: true,
      counts: { keys: 3, keyVersions: 3, aliases: 3, tags: 1 },
    });
    expect(await treeOf(directory)).toEqual(before);
  });

  test("is looked at as far as that goes without a secret", async () => {
    const directory = await copyOf();
    const diagnosis = await diagnoseVaultIn(ENVIRONMENT, directory);
    expect(problems(diagnosis)).toEqual([]);
    expect(diagnosis).toMatchObject({ verdict: "sound", isComplete: false });
    expect(found(diagnosis, "records", "note")).toMatch(/shows only with a way in/u);
    expect(found(diagnosis, "slots", "ok")).toMatch(/2 ways in: passphrase .*; recovery /u);
    expect(found(diagnosis, "kdf", "ok")).toMatch(/8 KiB of memory, 1 pass and 1 lane\./u);
  });

  test("has its passphrase timed, and named where it costs too little", async () => {
    const directory = await copyOf();
    const { kdfFloor: _, ...environment } = ENVIRONMENT;
    const unlock = cheapPassphrase();
    const diagnosis = await diagnoseVaultIn(environment, directory, { unlock });
    expect(problems(diagnosis)).toEqual(["warning kdf"]);
    expect(found(diagnosis, "kdf", "note")).toMatch(/took \d+ ms/u);
    expect(diagnosis.isComplete).toBe(true);
  });

  test("is left alone by a repair", async () => {
    const directory = await copyOf();
    const before = await treeOf(directory);
    const diagnosis = await diagnose(directory, { repair: true });
    expect(diagnosis.verdict).toBe("sound");
    expect(await treeOf(directory)).toEqual(before);
  });

  test("is one in which everything was done, too", async () => {
    const directory = await copyOf();
    let nowMs = Date.now();
    const clock = (): number => nowMs;
    const vault = await openVault(directory, { unlock: recovery(states.code), clock });
    const keys = await Promise.all(Array.from({ length: 150 }, async () => vault.kms.createKey({})));
    const [rotated, deleted, waiting, disabled, kept] = keys.map(({ keyMetadata }) => keyMetadata.keyId) as [
      string,
      string,
      string,
      string,
      string,
    ];
    for (const keyId of [rotated, disabled, waiting]) await vault.kms.enableKeyRotation({ keyId });
    await vault.kms.rotateKeyOnDemand({ keyId: rotated });
    await vault.kms.createAlias({ aliasName: "alias/gone", targetKeyId: deleted });
    await vault.kms.encrypt({ keyId: rotated, plaintext: "used" });
    await vault.kms.disableKey({ keyId: disabled });
    await vault.kms.scheduleKeyDeletion({ keyId: deleted, pendingWindowInDays: 7 });
    await vault.kms.scheduleKeyDeletion({ keyId: waiting, pendingWindowInDays: 30 });
    await vault.kms.scheduleKeyDeletion({ keyId: kept, pendingWindowInDays: 7 });
    await vault.kms.cancelKeyDeletion({ keyId: kept });
    expect(problems(await diagnose(directory))).toEqual(["warning records"]);
    await vault.close();
    const before = await diagnose(directory);
    expect(problems(before)).toEqual([]);
    expect(before.counts).toMatchObject({ keys: 153, keyVersions: 154 });
    nowMs += 8 * 86_400_000;
    await (await openVault(directory, { unlock: recovery(states.code), clock })).close();
    const after = await diagnose(directory);
    expect(problems(after)).toEqual([]);
    expect(after.counts).toMatchObject({ keys: 152, keyVersions: 153 });
  });

  test("is not looked into while it is open", async () => {
    const directory = await copyOf();
    const vault = await openVault(directory, { unlock: recovery(states.code) });
    const diagnosis = await diagnose(directory, { repair: true });
    await vault.close();
    expect(problems(diagnosis)).toEqual(["warning records"]);
    expect(diagnosis.isComplete).toBe(false);
    expect(found(diagnosis, "lock", "note")).toMatch(/has the vault open since/u);
    expect((await diagnose(directory)).verdict).toBe("sound");
  });
});

describe.concurrent("a copy of the header", () => {
  const damages: readonly [string, (path: string, copy: number) => Promise<void>][] = [
    ["is absent", async (path) => rm(path)],
    ["is cut", async (path) => truncate(path, 100)],
    ["has a flipped bit", async (path, copy) => flip(path, 70 + copy)],
    [
      "is a link",
      async (path) => {
        await rm(path);
        await symlink(`header.${path.endsWith("0") ? 1 : 0}`, path);
      },
    ],
  ];
  test.each([0, 1].flatMap((copy) => damages.map(([what, damage]) => ({ copy, what, damage }))))(
    "$copy that $what is named and written anew",
    async ({ copy, what, damage }) => {
      const directory = await copyOf();
      await damage(join(directory, `header.${copy}`), copy);
      const isLink = what === "is a link";
      const expected = isLink ? ["damage header", "damage modes"] : ["damage header"];
      const diagnosis = await expectMended(directory, { repaired: expected });
      expect(found(diagnosis, "header", "damage")).toContain(`Copy ${copy} `);
    },
  );

  test.each([0, 1])("%i that is older is named and written anew", async (copy) => {
    const directory = await copyOf();
    await putFrom(states.older, directory, `header.${copy}`);
    await expectMended(directory, { repaired: ["warning header"] });
  });

  test("is not taken from the other without a way in", async () => {
    const directory = await copyOf();
    await rm(join(directory, "header.1"));
    const before = await treeOf(directory);
    const diagnosis = await diagnoseVaultIn(ENVIRONMENT, directory, { repair: true });
    expect(problems(diagnosis)).toEqual(["damage header"]);
    expect(found(diagnosis, "header", "note")).toMatch(/Give one to repair/u);
    expect(await treeOf(directory)).toEqual(before);
  });
});

describe.concurrent("headers", () => {
  test("that are both damaged or gone are named", async () => {
    const cut = await copyOf();
    for (const copy of [0, 1]) await truncate(join(cut, `header.${copy}`), 200);
    await expectNotMended(cut, ["damage header"]);
    const gone = await copyOf();
    for (const copy of [0, 1]) await rm(join(gone, `header.${copy}`));
    await expectNotMended(gone, ["damage header"]);
  });

  test("of two vaults, or edited, are named", async () => {
    const directory = await copyOf();
    await putFrom(stranger.newer, directory, "header.1");
    const diagnosis = await expectNotMended(directory, ["damage header"]);
    expect(found(diagnosis, "header", "damage")).toMatch(/both intact but differ/u);
  });

  test("that are older than the database are named as rolled back", async () => {
    const directory = await copyOf();
    for (const copy of [0, 1]) await putFrom(states.older, directory, `header.${copy}`);
    const diagnosis = await expectNotMended(directory, ["damage header"]);
    expect(found(diagnosis, "header", "damage")).toMatch(/older than the database.*COFFER_ROLLED_BACK/u);
  });

  test("of another vault do not open with this one's code", async () => {
    const directory = await copyOf();
    for (const copy of [0, 1]) await putFrom(stranger.newer, directory, `header.${copy}`);
    await expect(diagnose(directory)).rejects.toMatchObject({ code: "COFFER_INVALID_ARGUMENT" });
  });
});

describe.concurrent("a database", () => {
  test("that is older than the headers is named as rolled back", async () => {
    const directory = await copyOf();
    await putFrom(states.older, directory, "db-1");
    const diagnosis = await expectNotMended(directory, ["damage database"]);
    expect(found(diagnosis, "database", "damage")).toMatch(
      /older than the vault header.*COFFER_ROLLED_BACK/u,
    );
  });

  test("of another vault is named", async () => {
    const directory = await copyOf();
    await putFrom(stranger.newer, directory, "db-1");
    const diagnosis = await expectNotMended(directory, ["damage database"]);
    expect(found(diagnosis, "database", "damage")).toMatch(/state record does not open/u);
  });

  test("that is missing is named", async () => {
    const directory = await copyOf();
    await rm(join(directory, "db-1"), { recursive: true });
    await expectNotMended(directory, ["damage database"]);
  });

  test.each(["CURRENT", "MANIFEST", "ldb"])(
    "without its %s is named, and so is one where it is empty",
    async (kind) => {
      const [gone, emptied] = [await copyOf(), await copyOf()];
      await rm(await fileOf(gone, kind));
      const diagnosis = await expectNotMended(gone, ["damage database"]);
      expect(found(diagnosis, "records", "note")).toMatch(/salvage gives out \d+ of \d+ records/u);
      await truncate(await fileOf(emptied, kind));
      await expectNotMended(emptied, ["damage database"]);
    },
  );

  test("without its log, or with an altered one, is named", async () => {
    const [gone, emptied, altered] = [await copyOf(), await copyOf(), await copyOf()];
    await rm(await fileOf(gone, "log"));
    await expectNotMended(gone, ["damage database"]);
    await truncate(await fileOf(emptied, "log"));
    await expectNotMended(emptied, ["damage database"]);
    await flip(await fileOf(altered, "log"), 60);
    await expectNotMended(altered, ["damage database"]);
  });

  test("with rot in a table is named and written anew, whether a record is in it or not", async () => {
    const [idle, hit, fatal] = [await copyOf(), await copyOf(), await copyOf()];
    // The last byte before the footer of 48: the checksum of the index.
    await flip(await fileOf(idle, "ldb"), -49);
    await expectMended(idle, { repaired: ["warning database"] });
    const place = await placeOfRecord(hit, 0x03);
    await flip(place.path, place.offset + 90);
    await expectMended(hit, { repaired: ["damage records", "warning database"] });
    const alias = await placeOfRecord(fatal, 0x04);
    await flip(alias.path, alias.offset + 90);
    await expectNotMended(fatal, ["damage records", "warning database"]);
  });

  test("with a link in its folder is named, and LevelDB kept away from it", async () => {
    const directory = await copyOf();
    await symlink("/etc/hostname", join(directory, "db-1", "000099.ldb"));
    const diagnosis = await expectNotMended(directory, ["damage database"]);
    expect(diagnosis.isComplete).toBe(false);
  });

  test.each([
    ["ends the process", "process.abort()", /LevelDB crashed on this database \(SIGABRT\)/u],
    ["never ends", "setInterval(() => process.connected, 1000)", /does not come to an end/u],
    ["takes the process over", "process.send({ kind: 'entries', entries: [[1, 2]] })", /a malformed answer/u],
  ])("whose reading %s is named", async (_, body, message) => {
    const directory = await copyOf();
    const before = await treeOf(directory);
    const script = join(await scratch(), "child.mjs");
    await writeFile(
      script,
      `process.once("message", () => process.send({ kind: "loaded" }, () => { ${body}; }));`,
    );
    const environment = { ...ENVIRONMENT, childScript: pathToFileURL(script), childTimeLimitMs: 1500 };
    const options = { unlock: recovery(states.code), repair: true };
    const diagnosis = await diagnoseVaultIn(environment, directory, options);
    expect(problems(diagnosis)).toEqual(["damage database"]);
    expect(found(diagnosis, "database", "damage")).toMatch(message);
    expect(await treeOf(directory)).toEqual(before);
  });
});

describe.concurrent("records", () => {
  test.each([
    ["keys", 0x02],
    ["key versions", 0x03],
  ] as const)(
    "of %s that are gone or altered are named and come back from their mirrors",
    async (name, table) => {
      const directory = await copyOf();
      await withStore(directory, async (store) => {
        const [first, second] = await keysOf(store, table);
        await store.write([
          { type: "delete", key: first as Uint8Array },
          { type: "put", key: second as Uint8Array, value: new Uint8Array(300) },
        ]);
      });
      const diagnosis = await expectMended(directory, { repaired: ["damage records"] });
      expect(found(diagnosis, "records", "damage")).toMatch(
        new RegExp(`Of the ${name}, 2 records are there instead of 3, and 1 of them do not open`, "u"),
      );
    },
  );

  test("of keys that are older ones are named and come back from their mirrors", async () => {
    const directory = await copyOf();
    await putOlderRecords(directory, 0x02);
    const diagnosis = await expectMended(directory, { repaired: ["damage records"] });
    expect(found(diagnosis, "records", "damage")).toMatch(/not the ones that were written last/u);
  });

  test("without a mirror that are gone, moved, older or planted are named", async () => {
    const [gone, moved, older, planted] = [await copyOf(), await copyOf(), await copyOf(), await copyOf()];
    await withStore(gone, async (store) => {
      const [alias] = await keysOf(store, 0x04);
      await store.write([{ type: "delete", key: alias as Uint8Array }]);
    });
    await expectNotMended(gone, ["damage records"]);
    await withStore(moved, async (store) => {
      const [first, second] = await keysOf(store, 0x04);
      const value = store.get(first as Uint8Array) as Uint8Array;
      await store.write([{ type: "put", key: second as Uint8Array, value }]);
    });
    const diagnosis = await expectNotMended(moved, ["damage records"]);
    expect(found(diagnosis, "records", "damage")).toMatch(/Of the aliases, 1 of them do not open/u);
    await putOlderRecords(older, 0x04);
    await expectNotMended(older, ["damage records"]);
    await withStore(planted, (store) =>
      store.write([{ type: "put", key: Uint8Array.of(0x0f, 1, 2), value: new Uint8Array(120) }]),
    );
    await expectNotMended(planted, ["damage records"]);
  });

  test("that are all gone, the state record with them, are named", async () => {
    const directory = await copyOf();
    await withStore(directory, (store) => store.write([{ type: "delete", key: Uint8Array.of(0x01) }]));
    const diagnosis = await expectNotMended(directory, ["damage database"]);
    expect(found(diagnosis, "database", "damage")).toMatch(/lost its state record/u);
  });

  test("that do not fit each other are named, one kind of fault a finding", async () => {
    const directory = await copyOf();
    await breakReferences(directory);
    const diagnosis = await diagnose(directory);
    expect(problems(diagnosis)).toEqual(["damage records"]);
    const faults = found(diagnosis, "records", "damage").split("\n");
    expect(faults.map((message) => message.split(". ")[0] ?? "").toSorted()).toEqual([
      "1 aliases point to a key that is not there",
      "1 changes that keys await would not happen",
      "1 key versions belong to a key that is not there",
      "1 keys are noted as deleted and still there",
      "1 keys lack their current version",
      "1 planned changes are not what their key says",
      "1 planned changes are of a key that is not there",
      "1 tags belong to a key that is not there",
      "The material of 1 key versions does not open",
    ]);
  });

  test("whose mirrors are gone, altered, older or too many get new ones", async () => {
    const directory = await copyOf();
    await withStore(directory, async (store) => {
      const [first, second] = await keysOf(store, 0x82);
      const [version] = await keysOf(store, 0x83);
      const extra = Uint8Array.of(0x82, ...new Uint8Array(16));
      await store.write([
        { type: "delete", key: first as Uint8Array },
        { type: "put", key: second as Uint8Array, value: new Uint8Array(200) },
        { type: "put", key: extra, value: new Uint8Array(200) },
        { type: "delete", key: version as Uint8Array },
      ]);
    });
    const diagnosis = await expectMended(directory, { repaired: ["damage mirrors"] });
    expect(found(diagnosis, "mirrors", "damage")).toMatch(
      /2 missing, 1 altered or older, 1 of records that are gone/u,
    );
  });
});

describe.concurrent("the vault's directory", () => {
  test("open to others is named and closed, without a way in too", async () => {
    const directory = await copyOf();
    await chmod(directory, 0o755);
    await chmod(join(directory, "header.0"), 0o644);
    await chmod(join(directory, "objects"), 0o777);
    const named = await diagnoseVaultIn(ENVIRONMENT, directory);
    expect(problems(named)).toEqual(["warning modes"]);
    expect(named.findings.flatMap(({ part, names = [] }) => (part === "modes" ? names : []))).toEqual([
      ".",
      "header.0",
      "objects",
    ]);
    const repair = await diagnoseVaultIn(ENVIRONMENT, directory, { repair: true });
    expect(repaired(repair)).toEqual(["warning modes"]);
    expect((await diagnose(directory)).verdict).toBe("sound");
  });

  test("with what a crash has left is named, and swept by a repair", async () => {
    const directory = await copyOf();
    const lock = { pid: 2 ** 22 + 1, host: hostname(), started: "", since: 1 };
    const record = JSON.stringify({ ...lock, instance: "ab".repeat(16) });
    await writeFile(join(directory, "vault.lock"), record, { mode: 0o600 });
    await writeFile(join(directory, `vault.lock.next-${"cd".repeat(16)}`), record, { mode: 0o600 });
    await writeFile(join(directory, "header.0.tmp"), "half", { mode: 0o600 });
    await mkdir(join(directory, "db-7"), { mode: 0o700 });
    await cp(join(directory, "db-1"), join(directory, "db-1.keep"), { recursive: true });
    const sibling = `${directory}.new-${"ef".repeat(16)}`;
    await mkdir(sibling, { mode: 0o700 });
    await writeFile(join(sibling, "vault.lock"), record);
    const diagnosis = await expectMended(directory, {
      problems: [],
      repaired: ["note lock", "note temporary-files"],
    });
    const names = diagnosis.findings.flatMap(({ names: some = [] }) => some);
    expect(names).toEqual(
      expect.arrayContaining(["header.0.tmp", "db-7", "db-1.keep", `vault.new-${"ef".repeat(16)}`]),
    );
    expect(found(diagnosis, "lock", "note")).toMatch(/ended without closing it/u);
    expect(await readdir(join(directory, ".."))).toEqual(["vault"]);
    expect(await readdir(directory)).toEqual(["db-1", "header.0", "header.1", "incoming", "objects"]);
  });

  test("with things of others keeps them, and they are named", async () => {
    const directory = await copyOf();
    await writeFile(join(directory, "notes.txt"), "mine", { mode: 0o600 });
    await symlink("/etc/hostname", join(directory, "link"));
    await symlink("/etc/hostname", join(directory, "vault.lock"));
    const diagnosis = await diagnose(directory, { repair: true });
    expect(problems(diagnosis)).toEqual(["damage lock", "damage modes"]);
    const foreign = diagnosis.findings.find(({ part }) => part === "foreign-files");
    expect(foreign).toMatchObject({ severity: "note", names: ["link", "notes.txt"] });
    expect(await readdir(directory)).toEqual(expect.arrayContaining(["link", "notes.txt", "vault.lock"]));
  });

  test("in a folder that is copied elsewhere is named", async () => {
    const directory = join(await scratch(), "Dropbox (Work)", "vault");
    await cp(states.newer, directory, { recursive: true });
    await chmod(directory, 0o700);
    expect(problems(await diagnose(directory))).toEqual(["warning location"]);
  });

  test("is refused where it is none, and an abort or a wrong option is passed on", async () => {
    const empty = await scratch();
    await expect(diagnose(empty)).rejects.toMatchObject({ code: "COFFER_VAULT_NOT_FOUND" });
    await expect(diagnose(join(empty, "absent"))).rejects.toMatchObject({ code: "COFFER_VAULT_NOT_FOUND" });
    const reason = new Error("stopped by the test");
    const directory = await copyOf();
    await expect(diagnose(directory, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const late = new AbortController();
    const onProgress = ({ step }: { readonly step: string }): void => {
      if (step === "database") late.abort(reason);
    };
    await expect(diagnose(directory, { signal: late.signal, onProgress })).rejects.toBe(reason);
    await expect(diagnose(directory, { fix: true } as DiagnoseVaultOptions)).rejects.toThrow(
      new TypeError("options.fix: no such option"),
    );
  });
});

/** @param at negative: from the end. */
async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  const offset = at < 0 ? bytes.length + at : at;
  bytes[offset] = (bytes[offset] as number) ^ 0x10;
  await writeFile(path, bytes);
}

/** Where a table file holds the value of a record, the newest one, of this table. */
async function placeOfRecord(
  directory: string,
  table: number,
): Promise<{ readonly path: string; readonly offset: number }> {
  const copy = join(await scratch(), "vault");
  await cp(directory, copy, { recursive: true });
  const values = await withStore(copy, async (store) =>
    (await keysOf(store, table)).map((key) => Buffer.from(store.get(key) as Uint8Array)),
  );
  for (const name of await readdir(join(directory, "db-1"))) {
    const path = join(directory, "db-1", name);
    const bytes = name.endsWith(".ldb") ? await readFile(path) : Buffer.alloc(0);
    for (const value of values) if (bytes.includes(value)) return { path, offset: bytes.indexOf(value) };
  }
  throw new Error("no record of this table is in a table file");
}

/** The one file of the database that has this in its name, or the largest of them. */
async function fileOf(directory: string, kind: string): Promise<string> {
  const names = (await readdir(join(directory, "db-1"))).filter((name) => name.includes(kind));
  return join(directory, "db-1", names.at(-1) as string);
}

/** Puts the older state's records of one table over the newer ones, where they differ; mirrors stay. */
async function putOlderRecords(directory: string, table: number): Promise<void> {
  const copy = join(await scratch(), "vault");
  await cp(states.older, copy, { recursive: true });
  const older = await withStore(copy, async (store) =>
    (await keysOf(store, table)).map((key) => ({
      type: "put" as const,
      key,
      value: store.get(key) as Uint8Array,
    })),
  );
  await withStore(directory, (store) => store.write(older));
}

/** Commits records that make no sense together, with right seals and sums, as a faulty writer would. */
async function breakReferences(directory: string): Promise<void> {
  const keys = await keysFor(directory, states.code);
  const options = { clock: Date.now, report: (): undefined => undefined };
  const opening = await VaultOpening.begin(ENVIRONMENT, directory, options);
  const unlocked = await opening.unlock(async () => keys.root.slice());
  const { name } = keys;
  const lost = new Uint8Array(16).fill(7);
  const far = 8e15;
  await unlocked.keystore.change((change) => {
    const [first, second, third] = change
      .keys({ prefix: Uint8Array.of(TABLES.keys) })
      .map((key) => change.get(TABLES.keys, key)) as [KeyRecord, KeyRecord, KeyRecord];
    const sealed = new Uint8Array(104);
    const version = { version: 7, created: 1, kind: "created", sealed } as const;
    const alias = { name: "alias/lost", keyId: lost, created: 1, updated: 1 };
    const late = { id: first.id, what: "delete", at: far } as const;
    const stray = { id: lost, what: "expire", at: far } as const;
    change.put(TABLES.aliases, recordKey.alias(name, alias.name), alias);
    change.put(TABLES.tags, recordKey.tag(name, lost, "a"), { id: lost, key: "a", value: "b" });
    change.put(TABLES.tombstones, recordKey.tombstone(name, first.id), {
      id: first.id,
      created: 1,
      deleted: 2,
    });
    change.put(TABLES.versions, recordKey.version(name, lost, 7), { ...version, id: lost });
    change.put(TABLES.versions, recordKey.version(name, first.id, 7), { ...version, id: first.id });
    change.put(TABLES.due, recordKey.due(name, lost, stray.what), stray);
    change.put(TABLES.due, recordKey.due(name, first.id, late.what), late);
    change.put(TABLES.keys, recordKey.key(name, second.id), { ...second, state: "Enabled", rotateAt: far });
    change.put(TABLES.keys, recordKey.key(name, third.id), { ...third, version: 9 });
  });
  await unlocked.end(new Error("the test is done"));
  await opening.end();
  keys.wipe();
}
