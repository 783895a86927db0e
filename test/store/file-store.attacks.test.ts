import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { StoreEntry, StoreOperation } from "../../src/storage/store.ts";
import { randomOf } from "../field/random.mjs";
import { report, SEED, times } from "../field/scale.ts";
import { bytesOf, storeGround, withRecords } from "./store-ground.ts";

const LARGE = bytesOf(70_000);
const [ENTRIES, CONTENTS] = [0x20, 0x21];

function objectPaths(directory: string): string[] {
  const names = readdirSync(join(directory, "objects"), { recursive: true }) as string[];
  return names.filter((name) => name.endsWith(".cof")).map((name) => join(directory, "objects", name));
}

test("names and metadata that programs stumble over are data (A-4, A-6)", async () => {
  const ground = await storeGround();
  const names = [
    "__proto__",
    "constructor",
    "prototype/__proto__",
    "CON",
    "a:b",
    "x.",
    "..a",
    "\u202Egpj.exe",
    "A",
    "á",
  ];
  const metadata = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>;
  for (const name of names) await ground.vault.store.write(name, name, { metadata });
  const vault = await ground.reopen();
  for (const name of names) {
    expect(Buffer.from(await vault.store.read(name)).toString()).toBe(name);
    expect(Object.entries((await vault.store.stat(name)).metadata)).toEqual(Object.entries(metadata));
  }
  // One name in two forms, and two names that differ by case.
  expect(Buffer.from(await vault.store.read("a\u0301")).toString()).toBe("á");
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  for (const bad of ["../x", "/abs", "a/../b", "a//b", "a/", "a\0b", "\uD800", "."]) {
    await expect(vault.store.write(bad, "")).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "path",
    });
  }
  for (const long of ["x".repeat(256), Array.from({ length: 41 }, () => "y".repeat(100)).join("/")]) {
    await expect(vault.store.write(long, "")).rejects.toMatchObject({ code: "COFFER_LIMIT_EXCEEDED" });
  }
});

test.each(["small", "large"])(
  "two entries that changed places are refused (A-13): %s [F-127]",
  async (size) => {
    const ground = await storeGround();
    const content = size === "small" ? bytesOf(50) : LARGE;
    await ground.vault.store.write("one", content);
    await ground.vault.store.write("two", bytesOf(content.length, 2));
    await withRecords(ground, async (store, ofTable) => {
      const [first, second] = ofTable(ENTRIES) as [StoreEntry, StoreEntry];
      await store.write([
        { type: "put", key: first[0], value: second[1] },
        { type: "put", key: second[0], value: first[1] },
      ]);
    });
    const vault = await ground.reopen();
    for (const name of ["one", "two"]) {
      await expect(vault.store.read(name)).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
    }
    const { problems } = await vault.store.verify();
    expect(problems.map(({ problem }) => problem)).toContain("index");
  },
);

test("an entry under another key, a content's record of another, and a record put back are found (A-14) [F-242]", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("one", LARGE);
  await ground.vault.store.write("two", bytesOf(70_000, 2));
  await ground.vault.store.write("sound", "sound");
  let older: StoreEntry[] = [];
  await withRecords(ground, async (_store, ofTable) => {
    older = ofTable(ENTRIES);
  });
  const again = await ground.reopen();
  expect((await again.store.verify()).problems).toEqual([]);
  await again.store.write("sound", "newer", { overwrite: true });
  await withRecords(ground, async (store, ofTable) => {
    // Of its own vault, key and form, and older.
    const now = new Map(ofTable(ENTRIES).map(([key, value]) => [Buffer.from(key).toString("hex"), value]));
    const [changed] = older.filter(
      ([key, value]) =>
        !Buffer.from(value).equals(now.get(Buffer.from(key).toString("hex")) ?? new Uint8Array()),
    );
    expect(changed).toBeDefined();
    const [key, value] = changed as StoreEntry;
    await store.write([{ type: "put", key, value }]);
  });
  const withOlder = await ground.reopen();
  const found = (await withOlder.store.verify()).problems;
  expect(found).toEqual([expect.objectContaining({ problem: "index", unreadable: 0 })]);
  await withRecords(ground, async (store, ofTable) => {
    const [first, second] = ofTable(CONTENTS) as [StoreEntry, StoreEntry];
    await store.write([{ type: "put", key: first[0], value: second[1] }]);
  });
  const moved = await ground.reopen();
  const outcomes = await Promise.allSettled([moved.store.read("one"), moved.store.read("two")]);
  expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([
    expect.objectContaining({ reason: expect.objectContaining({ code: "COFFER_DAMAGED" }) as unknown }),
  ]);
});

test.each(["link", "fifo", "folder"])(
  "a planted %s in an object's place is refused, and nothing hangs (A-7)",
  async (kind) => {
    const ground = await storeGround();
    await ground.vault.store.write("x", LARGE);
    await ground.vault.store.write("y", LARGE);
    const [path, other] = objectPaths(ground.directory) as [string, string];
    renameSync(path, join(ground.folder, "elsewhere"));
    const plant = (at: string): void => {
      if (kind === "link") symlinkSync(join(ground.folder, "elsewhere"), at);
      else execFileSync(kind === "fifo" ? "mkfifo" : "mkdir", [at]);
    };
    plant(path);
    plant(join(ground.directory, "incoming", `${"ab".repeat(16)}.cof`));
    const vault = await ground.reopen();
    const reads = await Promise.allSettled([vault.store.read("x"), vault.store.read("y")]);
    expect(reads.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const [refused] = reads.flatMap((outcome) =>
      outcome.status === "rejected" ? [outcome.reason as unknown] : [],
    );
    expect(["COFFER_IO", "COFFER_DAMAGED"]).toContain((refused as { code: string }).code);
    const { problems } = await vault.store.verify();
    expect(problems).not.toEqual([]);
    // What was planted led nowhere else.
    expect(readFileSync(join(ground.folder, "elsewhere")).length).toBeGreaterThan(LARGE.length);
    expect(readFileSync(other).length).toBeGreaterThan(LARGE.length);
  },
);

test("an object that is altered anywhere, cut, lengthened or older gives the right bytes or an error [F-235]", async () => {
  const ground = await storeGround();
  await ground.vault.store.write("other", "other");
  await ground.vault.store.write("x", bytesOf(LARGE.length, 8));
  const [past] = objectPaths(ground.directory) as [string];
  const older = readFileSync(past);
  await ground.vault.store.write("x", LARGE, { overwrite: true });
  await expect.poll(() => objectPaths(ground.directory).length).toBe(1);
  const [path] = objectPaths(ground.directory) as [string];
  const whole = readFileSync(path);
  const random = randomOf(SEED);
  const flips = Array.from({ length: times(30, 6000) }, (_, n) => {
    const altered = Uint8Array.from(whole);
    // The beginning, in which most fields are, as often as all else.
    const at = Math.floor(random() * (n % 2 === 0 ? 4300 : whole.length));
    altered[at] = (altered[at] as number) ^ (1 << Math.floor(random() * 8));
    return altered;
  });
  const cuts = [0, 1, 100, whole.length >> 1, whole.length - 1].map((length) => whole.subarray(0, length));
  const longer = [Buffer.concat([whole, new Uint8Array(1)]), Buffer.concat([whole, whole])];
  const tally = { cases: 0, right: 0, refused: 0 };
  for (const altered of [...flips, ...cuts, ...longer, older]) {
    writeFileSync(path, altered);
    tally.cases++;
    const outcome = await ground.vault.store.read("x").catch((error: unknown) => error as { code?: string });
    if (outcome instanceof Uint8Array) {
      expect(Buffer.from(outcome).equals(LARGE)).toBe(true);
      tally.right++;
    } else {
      expect(outcome.code).toBe("COFFER_DAMAGED");
      tally.refused++;
      const { problems } = await ground.vault.store.verify();
      expect(problems).toEqual([expect.objectContaining({ problem: "damaged", path: "x" })]);
    }
  }
  expect(Buffer.from(await ground.vault.store.read("other")).toString()).toBe("other");
  writeFileSync(path, whole);
  expect((await ground.vault.store.verify()).problems).toEqual([]);
  report("store: altered objects", tally);
  rmSync(path);
  await expect(ground.vault.store.read("x")).rejects.toMatchObject({
    code: "COFFER_DAMAGED",
    reason: "missing",
  });
});

test("flipped bits in the database give what was written, or an error, never anything else", async () => {
  const ground = await storeGround();
  // None of them in a directory: its record would hide all of its files.
  const contents = new Map(Array.from({ length: 12 }, (_, n) => [`${n}`, bytesOf(n * 400, n)] as const));
  for (const [name, content] of contents) await ground.vault.store.write(name, content);
  await ground.vault.close();
  const random = randomOf(SEED);
  const tally = { cases: 0, refused: 0, found: 0 };
  for (let n = 0; n < times(3, 400); n++) {
    let restore: StoreOperation | undefined;
    await withRecords(ground, async (store, ofTable) => {
      // A bit of a sealed record, as rot of a block leaves it that has the right checksum, or as somebody makes it.
      expect(ofTable(ENTRIES)).toHaveLength(contents.size);
      const [key, value] = ofTable(ENTRIES)[Math.floor(random() * contents.size)] as StoreEntry;
      const altered = Uint8Array.from(value);
      const at = Math.floor(random() * altered.length);
      altered[at] = (altered[at] as number) ^ (1 << Math.floor(random() * 8));
      await store.write([{ type: "put", key, value: altered }]);
      restore = { type: "put", key, value };
    });
    tally.cases++;
    const vault = await ground.reopen();
    let right = 0;
    for (const [name, content] of contents) {
      const outcome = await vault.store.read(name).catch((error: unknown) => error as { code?: string });
      if (outcome instanceof Uint8Array) {
        expect(Buffer.from(outcome).equals(content)).toBe(true);
        right++;
      } else {
        expect(outcome.code).toBe("COFFER_DAMAGED");
        tally.refused++;
      }
    }
    expect(right).toBe(contents.size - 1);
    const { problems } = await vault.store.verify();
    expect(problems.map(({ problem }) => problem)).toContain("index");
    tally.found++;
    await withRecords(ground, (store) => store.write([restore as StoreOperation]));
  }
  report("store: altered records", tally);
});
