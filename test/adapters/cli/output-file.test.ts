import { lstat, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { assertWritable, writeOutput } from "../../../src/adapters/cli/output-file.ts";
import { modeOf, scratchDirectories } from "../../storage/scratch.ts";

const scratch = scratchDirectories();
const bytes = Buffer.from("new");
const PLAINTEXT = { kind: "plaintext", force: false } as const;
const FORCED = { kind: "plaintext", force: true } as const;

describe("an output file", () => {
  test("holds the bytes, is its owner's alone when it is plaintext, and has nothing beside it", async () => {
    const folder = await scratch();
    await writeOutput(join(folder, "out"), bytes, PLAINTEXT);
    expect(await readFile(join(folder, "out"), "utf8")).toBe("new");
    expect(await modeOf(join(folder, "out"))).toBe("0o600");
    await writeOutput(join(folder, "out.cipher"), bytes, { kind: "ciphertext", force: false });
    expect(await readdir(folder)).toEqual(["out", "out.cipher"]);
  });

  test("that exists is refused and left as it is, a link to nothing too", async () => {
    const folder = await scratch();
    await writeFile(join(folder, "old"), "old");
    await symlink("nowhere", join(folder, "link"));
    for (const name of ["old", "link"]) {
      const refused = { code: "COFFER_ALREADY_EXISTS", message: expect.stringContaining("--force") };
      await expect(assertWritable(join(folder, name), PLAINTEXT)).rejects.toMatchObject(refused);
      await expect(writeOutput(join(folder, name), bytes, PLAINTEXT)).rejects.toMatchObject(refused);
    }
    expect(await readFile(join(folder, "old"), "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["link", "old"]);
  });

  test("that exists is replaced when forced, its mode too; a link keeps pointing where it does", async () => {
    const folder = await scratch();
    await writeFile(join(folder, "old"), "old, and longer", { mode: 0o644 });
    await symlink("old", join(folder, "link"));
    await writeOutput(join(folder, "link"), bytes, FORCED);
    expect(await readFile(join(folder, "old"), "utf8")).toBe("new");
    expect(await modeOf(join(folder, "old"))).toBe("0o600");
    expect((await lstat(join(folder, "link"))).isSymbolicLink()).toBe(true);
  });

  test("that is a device is written to, not replaced", async () => {
    await writeOutput("/dev/null", bytes, FORCED);
    expect((await lstat("/dev/null")).isCharacterDevice()).toBe(true);
  });

  test("in no directory, or that is a directory, is refused before any work", async () => {
    const folder = await scratch();
    await mkdir(join(folder, "directory"));
    await expect(assertWritable(join(folder, "none", "out"), FORCED)).rejects.toMatchObject({
      code: "COFFER_IO",
    });
    await expect(assertWritable(join(folder, "directory"), FORCED)).rejects.toMatchObject({
      code: "COFFER_IO",
    });
  });
});
