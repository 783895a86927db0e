import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readInput } from "../../../src/adapters/cli/input-file.ts";
import { scratchDirectories } from "../../storage/scratch.ts";

const scratch = scratchDirectories();
const { signal } = new AbortController();

describe("an input file", () => {
  test("is read whole up to the limit, and not at all beyond it", async () => {
    const path = join(await scratch(), "in");
    const bytes = Uint8Array.from({ length: 200_000 }, (_, index) => index % 251);
    await writeFile(path, bytes);
    expect(Buffer.from((await readInput(path, 200_000, signal)) ?? []).equals(bytes)).toBe(true);
    expect(await readInput(path, 199_999, signal)).toBeUndefined();
  });

  test("that is not there, or is a directory, is named in plain words", async () => {
    const folder = await scratch();
    await expect(readInput(join(folder, "none"), 10, signal)).rejects.toMatchObject({
      code: "COFFER_IO",
      message: `cannot read ${join(folder, "none")}: there is no such file or directory`,
    });
    await expect(readInput(folder, 10, signal)).rejects.toMatchObject({
      code: "COFFER_IO",
      message: `cannot read ${folder}: it is a directory`,
    });
  });

  test("is given up when the command is interrupted", async () => {
    const interruption = new AbortController();
    interruption.abort();
    const path = join(await scratch(), "in");
    await writeFile(path, "x");
    await expect(readInput(path, 10, interruption.signal)).rejects.toMatchObject({ name: "AbortError" });
  });
});
