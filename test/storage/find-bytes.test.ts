import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromHex, utf8 } from "../../src/bytes.ts";
import { createFileSystem, nodeCalls, nodeFileSystem as fs } from "../../src/storage/file-system.ts";
import { findBytesInFiles } from "../../src/storage/find-bytes.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { scratchDirectories } from "./scratch.ts";

const scratch = scratchDirectories();
const needle = utf8("the first bytes of a val");

describe("searching a database's files", () => {
  test("finds each pattern once a file, in data files only", async () => {
    const directory = await scratch();
    const both = Buffer.concat([Buffer.alloc(100), needle, Buffer.alloc(9), needle, utf8("other")]);
    for (const name of ["000003.log", "000004.ldb", "000005.sst", "LOG", "CURRENT", "notes.log"]) {
      await writeFile(join(directory, name), both);
    }
    await writeFile(join(directory, "000006.ldb"), "");
    expect(await findBytesInFiles(fs, directory, [utf8("absent"), needle, utf8("other")])).toEqual(
      ["000003.log", "000004.ldb", "000005.sst"].flatMap((file) => [
        { file, pattern: 1 },
        { file, pattern: 2 },
      ]),
    );
    expect(await findBytesInFiles(fs, directory, [])).toEqual([]);
  });

  test("finds the same of many patterns together as of each alone", async () => {
    const directory = await scratch();
    const path = join(directory, "000004.log");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 4, maxLength: 6, max: 2 }), { minLength: 8, maxLength: 20 }),
        fc.uint8Array({ maxLength: 400, max: 2 }),
        async (patterns, content) => {
          await writeFile(path, content);
          const together = await findBytesInFiles(fs, directory, patterns);
          const alone: number[] = [];
          for (const [index, pattern] of patterns.entries()) {
            if ((await findBytesInFiles(fs, directory, [pattern])).length > 0) alone.push(index);
          }
          expect(together.map(({ pattern }) => pattern).sort((a, b) => a - b)).toEqual(alone);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("finds a pattern wherever it begins, over the edges of reads too", async () => {
    const directory = await scratch();
    const lengthBytes = 2 * 1_048_576 + 100;
    const around = [0, 1, 1022, 1023, 1024, 1_048_576, 2_097_152].flatMap((edge) => [
      edge,
      edge - 1,
      edge - 12,
      edge - 24,
    ]);
    const places = around.filter((at) => at >= 0);
    const path = join(directory, "000004.ldb");
    const content = Buffer.alloc(lengthBytes);
    for (const at of [...places, lengthBytes - needle.length]) {
      content.fill(0);
      content.set(needle, at);
      await writeFile(path, content);
      expect(await findBytesInFiles(fs, directory, [needle])).toHaveLength(1);
    }
  });

  test("for every place in a log, finds a value that LevelDB has just written", async () => {
    const directory = join(await scratch(), "db-1");
    const store = await openLevelStore(directory, { create: true });
    // Moves the value over the edge of a block byte by byte, so that it is cut at each of its places.
    let written = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: -40, max: 8 }),
        fc.infiniteStream(fc.nat(255)),
        async (shift, stream) => {
          const value = Uint8Array.from(stream.take(40));
          const record = 7 + 12 + 1 + 1 + 1; // log header, batch header, type, length of key, key
          const space = 32_768 - (written % 32_768);
          const filler = (space + 32_768 + shift - 2 * record - 30) % 32_768;
          await store.write([
            { type: "put", key: fromHex("01"), value: new Uint8Array(Math.max(filler, 0)) },
          ]);
          await store.write([{ type: "put", key: fromHex("02"), value }]);
          const { size } = await fs.lstat(
            join(
              directory,
              (await fs.readDirectory(directory)).find(({ name }) => name.endsWith(".log"))?.name ?? "",
            ),
          );
          written = size;
          expect(await findBytesInFiles(fs, directory, [value.slice(0, 24), value.slice(16)])).toHaveLength(
            2,
          );
        },
      ),
      { numRuns: 60 },
    );
    await store.close();
  });

  test("finds what the header of a block cuts in two", async () => {
    const directory = await scratch();
    for (let before = 1; before < needle.length; before++) {
      const block = Buffer.alloc(32_768);
      block.set(needle.subarray(0, before), block.length - before);
      const next = Buffer.concat([Buffer.alloc(7, 0xee), needle.subarray(before), Buffer.alloc(20)]);
      await writeFile(join(directory, "000003.log"), Buffer.concat([Buffer.alloc(32_768), block, next]));
      await writeFile(join(directory, "000004.ldb"), Buffer.concat([Buffer.alloc(32_768), block, next]));
      expect(await findBytesInFiles(fs, directory, [needle])).toEqual([{ file: "000003.log", pattern: 0 }]);
    }
  });

  test("passes over files that disappear, and opens nothing else, LOCK least of all", async () => {
    const directory = await scratch();
    for (const name of ["000003.log", "000004.ldb", "LOCK", "MANIFEST-000002"])
      await writeFile(join(directory, name), needle);
    const opened: string[] = [];
    const open: typeof nodeCalls.open = async (path, flags, mode) => {
      opened.push(path.slice(directory.length + 1));
      if (path.endsWith(".log")) throw Object.assign(new Error("gone"), { code: "ENOENT" });
      return nodeCalls.open(path, flags, mode);
    };
    const port = createFileSystem({ ...nodeCalls, open });
    expect(await findBytesInFiles(port, directory, [needle])).toEqual([{ file: "000004.ldb", pattern: 0 }]);
    expect(opened).toEqual(["000003.log", "000004.ldb"]);
  });

  test("says when it could not look: a file that cannot be read is not called clean", async () => {
    const directory = await scratch();
    await symlink("/dev/zero", join(directory, "000003.log"));
    await expect(findBytesInFiles(fs, directory, [needle])).rejects.toMatchObject({ code: "COFFER_IO" });
    await expect(findBytesInFiles(fs, join(directory, "absent"), [needle])).rejects.toMatchObject({
      code: "COFFER_IO",
    });
  });

  test.each([0, 1025])("refuses a pattern of %i bytes", async (lengthBytes) => {
    await expect(findBytesInFiles(fs, await scratch(), [new Uint8Array(lengthBytes)])).rejects.toThrow(
      RangeError,
    );
  });
});
