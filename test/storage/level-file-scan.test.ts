import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { scanLog, scanTable } from "../../src/storage/level-file-scan.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { isFatalTable } from "../../src/storage/table-check.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();
const COUNT = 60;
const keyOf = (index: number): Uint8Array => Uint8Array.of(2, ...Buffer.alloc(16, index));
const valueOf = (index: number): Buffer => Buffer.alloc(200 + index * 8, index);
const name = (key: Uint8Array): string => Buffer.from(key).toString("hex");

let log: Buffer;
let table: Buffer;

beforeAll(async () => {
  const directory = join(await scratch(), "db-1");
  const first = await openLevelStore(directory, { create: true });
  for (let index = 0; index < COUNT; index++) {
    await first.write([{ type: "put", key: keyOf(index), value: valueOf(index) }]);
  }
  await first.write([{ type: "delete", key: keyOf(0) }]);
  await first.close();
  const file = async (ending: string): Promise<Buffer> => {
    const found = (await readdir(directory)).find((entry) => entry.endsWith(ending)) as string;
    return readFile(join(directory, found));
  };
  log = await file(".log");
  await (await openLevelStore(directory, { create: false })).close();
  table = await file(".ldb");
});

/** Names of the keys whose right value is among the entries. */
function found(entries: Iterable<{ key: Uint8Array; value: Uint8Array | undefined }>): Set<string> {
  const names = new Set<string>();
  for (const { key, value } of entries) {
    if (value !== undefined && key.length === 17 && valueOf(key[1] as number).equals(value))
      names.add(name(key));
  }
  return names;
}

describe("a scan of LevelDB's files", () => {
  test("finds every record of a log, in order, and the removal", () => {
    const entries = [...scanLog(log)];
    expect(found(entries).size).toBe(COUNT);
    expect(entries.at(-1)).toMatchObject({ value: undefined });
    const sequences = entries.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
  });

  test("finds every record of a table, with what LevelDB knows of its age", () => {
    expect(found(scanTable(table)).size).toBe(COUNT);
    const removal = [...scanTable(table)].find(({ value }) => value === undefined);
    expect(removal?.sequence).toBe(COUNT + 1);
  });

  test("loses one record to one changed byte of a log, wherever it is", () => {
    for (let at = 0; at < log.length; at += 7) {
      const damaged = Uint8Array.from(log);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      expect(found(scanLog(damaged)).size, `byte ${at}`).toBeGreaterThanOrEqual(COUNT - 1);
    }
  });

  test("ends on any bytes whatever", () => {
    for (let length = 0; length < 3000; length += 97) {
      const bytes = randomBytes(length);
      expect([...scanLog(bytes), ...scanTable(bytes)].length).toBeLessThan(length + 1);
    }
  });
});

describe("a look at a table before LevelDB reads it", () => {
  test("passes what LevelDB has made", () => {
    expect(isFatalTable(table)).toBe(false);
  });

  test("passes one that was never finished: a full disk or a killed process leaves such", () => {
    for (let length = 0; length < table.length; length += 101) {
      expect(isFatalTable(table.subarray(0, length)), `${length} bytes`).toBe(false);
    }
  });

  test("passes a changed value: its record is healed from its mirror", () => {
    const damaged = Uint8Array.from(table);
    const at = Buffer.from(damaged).indexOf(valueOf(9));
    damaged[at + 50] = 0;
    expect(isFatalTable(damaged)).toBe(false);
  });

  test("finds a sector of zeros and keys out of order", () => {
    const zeroed = Uint8Array.from(table).fill(0, 1024, 1536);
    expect(isFatalTable(zeroed)).toBe(true);
    const swapped = Uint8Array.from(table);
    const at = Buffer.from(swapped).indexOf(keyOf(9).subarray(1));
    swapped.fill(0, at, at + 16);
    expect(isFatalTable(swapped)).toBe(true);
  });
});
