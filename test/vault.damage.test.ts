// Children run the built package: `npm run build` comes first.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openLevelStore } from "../src/storage/level-store.ts";
import type { Store, StoreEntry } from "../src/storage/store.ts";
import { recovery } from "../src/keystore/slots/recovery.ts";
import type { VaultNotice } from "../src/vault-events.ts";
import { openVault } from "../src/vault.ts";
import { makeSample, SAMPLE_SESSIONS, type SampleContent } from "./field/damage-sample.ts";
import { randomOf } from "./field/random.mjs";
import { report, sampleOf, SEED, TEST_TIMEOUT_MS } from "./field/scale.ts";
import { readTree, type Tree, type TreeDamage } from "./field/trees.mjs";
import { type CaseEnd, CaseWorker, runCases } from "./field/workers.ts";
import { scratchDirectories } from "./storage/scratch.ts";

interface DamageCase extends TreeDamage {
  /** Changes something after a clean open, and looks again. */
  readonly isChanging?: boolean;
}

interface Verdict {
  readonly outcome: "right" | "refused" | "bad";
  readonly code?: string;
  readonly why?: string;
  /** True when the vault had opened, and a change failed afterwards. */
  readonly hasOpened?: boolean;
  readonly notices?: readonly string[];
  readonly salvage?: { readonly code?: string; readonly keys: number; readonly aliases: number };
}

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

const NEWEST = `vault-${SAMPLE_SESSIONS}`;
const scratch = scratchDirectories();
let samples: string;
let content: SampleContent;
let tree: Tree;
let workers: CaseWorker[];

beforeAll(async () => {
  samples = await scratch();
  content = await makeSample(samples, "vault");
  tree = readTree(join(samples, NEWEST));
  workers = await Promise.all(
    [0, 1].map(async () => new CaseWorker("damage-child.mjs", [samples, await scratch()])),
  );
});
afterAll(() => {
  for (const worker of workers) worker.end();
});

const isHeader = (file: string): boolean => file.startsWith("header.");
/** Files from which LevelDB reads; LOG and LOG.old are its diary, and LOCK is empty. */
const isData = (file: string): boolean => /^db-1\/(?:CURRENT|MANIFEST-\d+|\d+\.(?:log|ldb))$/u.test(file);

function filesThat(isWanted: (file: string) => boolean): { file: string; size: number }[] {
  return [...tree]
    .filter(([file, { kind }]) => kind === "file" && isWanted(file))
    .map(([file, { bytes }]) => ({ file, size: bytes?.length ?? 0 }));
}

/** What a group of cases came to. */
interface Tally {
  cases: number;
  right: number;
  refused: number;
  /** Cases in which LevelDB ended the child process. */
  aborts: number;
  readonly causes: Record<string, number>;
  readonly codes: Record<string, number>;
  /** Keys that salvage gave out, of all keys in the refused cases. */
  salvaged: number;
  ofKeys: number;
  readonly bad: string[];
}

type Judge = (oneCase: DamageCase, verdict: Verdict) => string | undefined;

async function runAll(title: string, cases: readonly DamageCase[], judge: Judge): Promise<Tally> {
  const counts = { right: 0, refused: 0, aborts: 0, salvaged: 0, ofKeys: 0 };
  const tally: Tally = { cases: cases.length, ...counts, causes: {}, codes: {}, bad: [] };
  await runCases<DamageCase, Verdict>(workers, cases, async (oneCase, end, worker) => {
    const why = await add(tally, oneCase, end, worker, judge);
    if (why !== undefined) tally.bad.push(`seed ${SEED}: ${JSON.stringify(oneCase)}: ${why}`);
  });
  if (cases.length > 1) report(title, { ...tally, bad: tally.bad.length, first: tally.bad.slice(0, 3) });
  return tally;
}

async function add(
  tally: Tally,
  oneCase: DamageCase,
  end: CaseEnd<Verdict>,
  worker: CaseWorker,
  judge: Judge,
): Promise<string | undefined> {
  if (end.kind === "died") {
    tally.aborts++;
    const cause = /Assertion `.*' failed|terminate called.*/u.exec(end.stderr)?.[0] ?? end.signal;
    tally.causes[cause] = (tally.causes[cause] ?? 0) + 1;
    // LevelDB's assertions end a process by SIGABRT, reads past a block by SIGSEGV or SIGBUS.
    if (!["SIGABRT", "SIGSEGV", "SIGBUS"].includes(end.signal)) return `${end.signal} ${end.stderr}`;
    const after = await worker.run<Verdict>({ ...oneCase, hasDied: true });
    if (after.kind === "died") return `salvage died as well: ${after.signal}`;
    return after.verdict.outcome === "bad" ? after.verdict.why : lacksKeys(oneCase, after.verdict);
  }
  const { verdict } = end;
  if (verdict.outcome === "bad") return verdict.why;
  if (verdict.outcome === "right") tally.right++;
  if (verdict.outcome === "refused") {
    tally.refused++;
    tally.codes[verdict.code ?? ""] = (tally.codes[verdict.code ?? ""] ?? 0) + 1;
    tally.salvaged += verdict.salvage?.keys ?? 0;
    tally.ofKeys += Object.keys(content.keys).length;
  }
  return judge(oneCase, verdict);
}

/** Damage to the database: all is right, or the answer is one of these two. */
function rightOrTyped(oneCase: DamageCase, verdict: Verdict): string | undefined {
  const { outcome, code = "", hasOpened = false } = verdict;
  if (outcome === "right") return undefined;
  const typed = ["COFFER_DAMAGED", "COFFER_ROLLED_BACK", ...(hasOpened ? ["COFFER_IO"] : [])];
  if (!typed.includes(code)) return `answered ${code}: ${verdict.why}`;
  return lacksKeys(oneCase, verdict);
}

/** One changed bit never costs a key: each is there twice, and salvage needs nothing around it. */
function lacksKeys({ kind }: DamageCase, { salvage }: Verdict): string | undefined {
  const all = Object.keys(content.keys).length;
  return kind !== "flip" || salvage?.keys === all
    ? undefined
    : `salvage gave out ${salvage?.keys} of ${all} keys`;
}

/** Damage to one copy of the header: all is right, and it is said. */
function rightWithNotice(_case: DamageCase, { outcome, code, notices }: Verdict): string | undefined {
  if (outcome !== "right") return `answered ${code}`;
  return notices?.includes("damage") === true ? undefined : "nobody was told";
}

function right(_case: DamageCase, { outcome, code }: Verdict): string | undefined {
  return outcome === "right" ? undefined : `answered ${code}`;
}

function refusedAs(...codes: readonly string[]): Judge {
  return (_case, { outcome, code }) =>
    outcome === "refused" && codes.includes(code ?? "") ? undefined : `${outcome} ${code ?? ""}`;
}

test("the sample has every kind of file that LevelDB makes", () => {
  const names = filesThat(isData).map(({ file }) => file);
  const tables = names.filter((name) => name.endsWith(".ldb"));
  expect(tables.length).toBeGreaterThan(1);
  expect(names).toContain("db-1/CURRENT");
  for (const ending of [/MANIFEST-\d+$/u, /\.log$/u]) {
    const file = filesThat((name) => ending.test(name))[0];
    expect(file?.size).toBeGreaterThan(0);
  }
});

describe("one changed bit in any byte", () => {
  function flips(isWanted: (file: string) => boolean): DamageCase[] {
    const random = randomOf(SEED);
    return filesThat(isWanted).flatMap(({ file, size }) =>
      Array.from({ length: size }, (_, at): DamageCase => {
        const bit = Math.floor(random() * 8);
        return { tree: NEWEST, kind: "flip", file, at, bit, isChanging: at % 8 === 0 };
      }),
    );
  }

  test("of the database gives the right data or a typed error, and leaves every byte", async () => {
    const cases = sampleOf(flips(isData), 60, randomOf(SEED));
    expect((await runAll("flips in the database", cases, rightOrTyped)).bad).toEqual([]);
  });

  test("of a header copy costs nothing, and is reported", async () => {
    const cases = sampleOf(flips(isHeader), 40, randomOf(SEED));
    expect((await runAll("flips in a header copy", cases, rightWithNotice)).bad).toEqual([]);
  });
});

describe("files that end early, have holes, or are gone", () => {
  test("a log cut at any byte gives the right data or a typed error", async () => {
    const cases = filesThat((file) => file.endsWith(".log")).flatMap(({ file, size }) =>
      Array.from({ length: size }, (_, at): DamageCase => ({ tree: NEWEST, kind: "cut", file, at })),
    );
    const sampled = sampleOf(cases, 24, randomOf(SEED));
    expect((await runAll("cut logs", sampled, rightOrTyped)).bad).toEqual([]);
  });

  test("a manifest, table or header copy cut at any byte does so too", async () => {
    const random = randomOf(SEED);
    const cases = filesThat((file) => isHeader(file) || (isData(file) && !file.endsWith(".log"))).flatMap(
      ({ file, size }) =>
        Array.from({ length: size }, (_, at): DamageCase => ({ tree: NEWEST, kind: "cut", file, at })),
    );
    const judge: Judge = (oneCase, verdict) =>
      (isHeader(oneCase.file ?? "") ? rightWithNotice : rightOrTyped)(oneCase, verdict);
    expect((await runAll("other cut files", sampleOf(cases, 24, random), judge)).bad).toEqual([]);
  });

  test("a zeroed sector of 512 bytes or 4 KiB does so too", async () => {
    const cases = [512, 4096].flatMap((length) =>
      filesThat((file) => isHeader(file) || isData(file)).flatMap(({ file, size }) =>
        Array.from({ length: Math.ceil(size / length) }, (_, index): DamageCase => ({
          tree: NEWEST,
          kind: "zero",
          file,
          at: index * length,
          length,
        })),
      ),
    );
    const judge: Judge = (oneCase, verdict) =>
      (isHeader(oneCase.file ?? "") ? rightWithNotice : rightOrTyped)(oneCase, verdict);
    expect((await runAll("zeroed sectors", sampleOf(cases, 24, randomOf(SEED)), judge)).bad).toEqual([]);
  });

  test.each(["delete", "empty"] as const)("any one file: %s", async (kind) => {
    const cases = filesThat(() => true).map(({ file }): DamageCase => ({ tree: NEWEST, kind, file }));
    const judge: Judge = (oneCase, verdict) => {
      const file = oneCase.file ?? "";
      if (isHeader(file)) return rightWithNotice(oneCase, verdict);
      if (isData(file)) return refusedAs("COFFER_DAMAGED", "COFFER_ROLLED_BACK")(oneCase, verdict);
      return right(oneCase, verdict);
    };
    expect((await runAll(`one file: ${kind}`, cases, judge)).bad).toEqual([]);
  });
});

/** Copies one vault's directory within the samples and changes the copy. */
function mixed(name: string, from: string, change: (directory: string) => void): string {
  const directory = join(samples, name);
  cpSync(join(samples, from), directory, { recursive: true });
  change(directory);
  return name;
}

/** Takes these entries of a vault from another one. */
function taking(names: readonly string[], from: string): (directory: string) => void {
  return (directory) => {
    for (const name of names) {
      rmSync(join(directory, name), { recursive: true, force: true });
      cpSync(join(samples, from, name), join(directory, name), { recursive: true });
    }
  };
}

async function expectTree(title: string, tree: string, judge: Judge): Promise<void> {
  expect((await runAll(title, [{ tree, kind: "whole" }], judge)).bad).toEqual([]);
}

const HEADERS = ["header.0", "header.1"];

describe("parts of different moments", () => {
  const older = Array.from({ length: SAMPLE_SESSIONS - 1 }, (_, index) => index + 1);

  test.each(older)(
    "the database of session %i under the newest header is called rolled back",
    async (session) => {
      const tree = mixed(`db-${session}`, NEWEST, taking(["db-1"], `vault-${session}`));
      await expectTree("older database", tree, refusedAs("COFFER_ROLLED_BACK"));
    },
  );

  test.each(older)(
    "the header of session %i over the newest database is called rolled back",
    async (session) => {
      const tree = mixed(`headers-${session}`, NEWEST, taking(HEADERS, `vault-${session}`));
      await expectTree("older header", tree, refusedAs("COFFER_ROLLED_BACK"));
    },
  );

  test.each(HEADERS)("one older header copy, %s, is passed over", async (name) => {
    const tree = mixed(`older-${name}`, NEWEST, taking([name], "vault-3"));
    await expectTree("one older header copy", tree, right);
  });

  test("two header copies of one generation that differ are refused", async () => {
    const tree = mixed("equal", NEWEST, (directory) => {
      const path = join(directory, "header.1");
      writeFileSync(path, sameGeneration(readFileSync(path)));
    });
    await expectTree("copies of one generation", tree, refusedAs("COFFER_DAMAGED"));
  });

  test("tables and logs of two moments in one database are refused, or everything is right", async () => {
    const names = filesThat((file) => /^db-1\/\d+\.(?:ldb|log)$/u.test(file)).map(({ file }) => file);
    const cases = older.flatMap((session) =>
      names
        .filter((name) => existsSync(join(samples, `vault-${session}`, name)))
        .map((name, index): DamageCase => {
          const tree = mixed(`file-${session}-${index}`, NEWEST, taking([name], `vault-${session}`));
          return { tree, kind: "whole" };
        }),
    );
    expect((await runAll("one older database file", cases, rightOrTyped)).bad).toEqual([]);
  });
});

describe("files of two vaults", () => {
  beforeAll(async () => {
    await makeSample(join(samples, "other"), "vault");
    renameSync(join(samples, "other", NEWEST), join(samples, "foreign"));
  });

  test("the other's database is refused", async () => {
    const tree = mixed("foreign-db", NEWEST, taking(["db-1"], "foreign"));
    await expectTree("database of another vault", tree, refusedAs("COFFER_DAMAGED"));
  });

  test.each(HEADERS)("the other's %s is refused", async (name) => {
    const tree = mixed(`foreign-${name}`, NEWEST, taking([name], "foreign"));
    // The other's secret does not open this one's slots, nor ours the other's: whichever copy counts, nothing opens.
    await expectTree("a header copy of another vault", tree, (oneCase, verdict) =>
      refusedAs("COFFER_DAMAGED", "COFFER_WRONG_SECRET", "COFFER_INVALID_ARGUMENT")(oneCase, verdict),
    );
  });

  test("one file of the other's database is refused, or everything is right", async () => {
    const ours = filesThat((file) => /^db-1\/\d+\.(?:ldb|log)$/u.test(file)).map(({ file }) => file);
    const theirs = [...readTree(join(samples, "foreign")).keys()].filter((file) =>
      /\.(?:ldb|log)$/u.test(file),
    );
    const cases = ours.flatMap((file, index) =>
      theirs.map((their, other): DamageCase => {
        const tree = mixed(`foreign-file-${index}-${other}`, NEWEST, (directory) => {
          cpSync(join(samples, "foreign", their), join(directory, file));
        });
        return { tree, kind: "whole" };
      }),
    );
    expect((await runAll("one file of another vault", cases, rightOrTyped)).bad).toEqual([]);
  });
});

describe("records that were moved, put back or taken away", () => {
  /** Changes the raw records of a copy. */
  async function withRecords(
    name: string,
    change: (store: Store, records: readonly StoreEntry[]) => Promise<void>,
  ): Promise<string> {
    const tree = mixed(name, NEWEST, () => undefined);
    const store = await openLevelStore(join(samples, tree, "db-1"), { create: false });
    const records: StoreEntry[] = [];
    for await (const record of store.entries()) records.push(record);
    await change(store, records);
    await store.close();
    return tree;
  }
  const ofTable = (records: readonly StoreEntry[], table: number): StoreEntry[] =>
    records.filter(([key]) => key[0] === table);

  test.each([0x02, 0x03, 0x04, 0x05])(
    "a record of table %i under the key of another is refused",
    async (table) => {
      const tree = await withRecords(`moved-${table}`, async (store, records) => {
        const [first, second] = ofTable(records, table);
        const mirrors = [0x02, 0x03].includes(table) ? [table | 0x80] : [];
        const batch = [table, ...mirrors].map((place) => ({
          type: "put" as const,
          key: Uint8Array.of(place, ...(first as StoreEntry)[0].subarray(1)),
          value: (second as StoreEntry)[1],
        }));
        await store.write(batch);
      });
      await expectTree("moved record", tree, refusedAs("COFFER_DAMAGED"));
    },
  );

  test("two records that changed places are refused [F-127]", async () => {
    const tree = await withRecords("exchanged", async (store, records) => {
      const [first, second] = ofTable(records, 0x04) as [StoreEntry, StoreEntry];
      await store.write([
        { type: "put", key: first[0], value: second[1] },
        { type: "put", key: second[0], value: first[1] },
      ]);
    });
    await expectTree("exchanged records", tree, refusedAs("COFFER_DAMAGED"));
  });

  test("a record of an earlier session in its own place is refused: a deleted alias does not come back", async () => {
    const past = await openLevelStore(join(samples, "vault-3", "db-1"), { create: false });
    const before: StoreEntry[] = [];
    for await (const record of past.entries({ gte: Uint8Array.of(4), lt: Uint8Array.of(5) }))
      before.push(record);
    await past.close();
    const tree = await withRecords("revived", async (store, records) => {
      const known = new Set(records.map(([key]) => Buffer.from(key).toString("hex")));
      const revived = before.filter(([key]) => !known.has(Buffer.from(key).toString("hex")));
      expect(revived.length).toBeGreaterThan(0);
      await store.write(revived.map(([key, value]) => ({ type: "put", key, value })));
    });
    await expectTree("revived alias", tree, refusedAs("COFFER_DAMAGED"));
  });

  test("an older state record, or none, is refused", async () => {
    const past = await openLevelStore(join(samples, "vault-5", "db-1"), { create: false });
    const state = past.get(Uint8Array.of(1)) as Uint8Array;
    await past.close();
    const older = await withRecords("older-state", async (store) =>
      store.write([{ type: "put", key: Uint8Array.of(1), value: state }]),
    );
    await expectTree("older state record", older, refusedAs("COFFER_ROLLED_BACK"));
    const none = await withRecords("no-state", async (store) =>
      store.write([{ type: "delete", key: Uint8Array.of(1) }]),
    );
    await expectTree("no state record", none, refusedAs("COFFER_DAMAGED"));
  });

  test.each([0x02, 0x03, 0x82, 0x83])(
    "one altered record of table %i is healed from its other half",
    async (table) => {
      const tree = await withRecords(`altered-${table}`, async (store, records) => {
        const [key, value] = ofTable(records, table)[1] as StoreEntry;
        const altered = Uint8Array.from(value);
        altered[30] = (altered[30] as number) ^ 4;
        await store.write([{ type: "put", key, value: altered }]);
      });
      const directory = join(samples, tree);
      // A mirror that rotted is not read before it is needed.
      const isFirst = table < 0x80;
      await expectTree("one altered key record", tree, isFirst ? rightWithNotice : right);
      if (!isFirst) return;
      const notices: VaultNotice[] = [];
      const open = (): ReturnType<typeof openVault> =>
        openVault(directory, { unlock: recovery(content.code), onWarning: (notice) => notices.push(notice) });
      const vault = await open();
      await vault.kms.createAlias({
        aliasName: "alias/heals",
        targetKeyId: Object.keys(content.keys)[0] as string,
      });
      await vault.close();
      expect(notices.map(({ type }) => type)).toEqual(["damage"]);
      notices.length = 0;
      const healed = await open();
      for (const [keyId, { blob, plaintext }] of Object.entries(content.keys)) {
        const answer = await healed.kms.decrypt({ ciphertextBlob: blob, keyId });
        expect(Buffer.from(answer.plaintext).toString()).toBe(plaintext);
      }
      await healed.close();
      expect(notices).toEqual([]);
    },
  );

  test.each([0x02, 0x03])("a missing record of table %i is healed from its mirror", async (table) => {
    const tree = await withRecords(`missing-${table}`, async (store, records) => {
      const [key] = ofTable(records, table)[0] as StoreEntry;
      await store.write([{ type: "delete", key }]);
    });
    await expectTree("one missing key record", tree, rightWithNotice);
  });
});

describe("a vault without any of its parts", () => {
  const without = (...names: readonly string[]): string =>
    mixed(`without-${names.join("-")}`, NEWEST, (directory) => {
      for (const name of names) rmSync(join(directory, name), { recursive: true, force: true });
    });

  test.each([[["header.0", "header.1"]], [["db-1"]], [["header.0", "header.1", "objects", "incoming"]]])(
    "without %s it is damaged, never new",
    async (names) => {
      await expectTree(`without ${names.join(", ")}`, without(...names), refusedAs("COFFER_DAMAGED"));
    },
  );

  test("an empty database in its place is damaged, never a new vault", async () => {
    const tree = mixed("empty-db", NEWEST, (directory) => {
      rmSync(join(directory, "db-1"), { recursive: true });
      mkdirSync(join(directory, "db-1"), { mode: 0o700 });
    });
    await expectTree("empty folder for a database", tree, refusedAs("COFFER_DAMAGED"));
    const fresh = mixed("fresh-db", NEWEST, (directory) =>
      rmSync(join(directory, "db-1"), { recursive: true }),
    );
    const store = await openLevelStore(join(samples, fresh, "db-1"), { create: true });
    await store.close();
    await expectTree("fresh database", fresh, refusedAs("COFFER_DAMAGED"));
  });
});

/** The header with its slot's label changed and a good checksum: same generation, other bytes. */
function sameGeneration(header: Uint8Array): Uint8Array {
  const body = Uint8Array.from(header.subarray(0, header.length - 32));
  const label = Buffer.from(body).indexOf("passphrase");
  body[label] = (body[label] as number) ^ 0x20;
  return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}
