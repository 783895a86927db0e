import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";

import { parseArguments } from "../../../src/adapters/cli/arguments.ts";
import { selectCommand } from "../../../src/adapters/cli/commands.ts";
import { Output } from "../../../src/adapters/cli/output.ts";
import { createVault } from "../../../src/vault.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { bytesOf } from "../../store/store-ground.ts";
import { cheapPassphrase } from "../../vault-files.ts";

const scratch = scratchDirectories();
let folder = "";
const at = (name: string): string => join(folder, name);

class KeptOutput extends Output {
  value: unknown;
  lines: readonly string[] = [];
  readonly bytes: Uint8Array[] = [];
  override async result(value: unknown, lines: readonly string[]): Promise<void> {
    this.value = JSON.parse(JSON.stringify(value));
    this.lines = lines;
  }
  override async data(bytes: Uint8Array): Promise<void> {
    this.bytes.push(bytes.slice());
  }
}

async function run(...argv: readonly string[]): Promise<KeptOutput> {
  const { command, rest } = selectCommand(argv) as Extract<
    ReturnType<typeof selectCommand>,
    { rest: unknown }
  >;
  const output = new KeptOutput(true);
  const args = parseArguments(command, [...rest, "-V", at("v"), "--recovery-code-file", at("code")]);
  await command.run({ args, output, signal: new AbortController().signal });
  return output;
}

const large = bytesOf(150_000);

beforeAll(async () => {
  folder = await scratch();
  const { vault, recoveryCode } = await createVault(at("v"), { unlock: cheapPassphrase() });
  await vault.close();
  await writeFile(at("code"), recoveryCode, { mode: 0o600 });
  await writeFile(at("large"), large);
  await mkdir(at("tree/d"), { recursive: true });
  await writeFile(at("tree/a"), "a");
  await writeFile(at("tree/d/b"), "bb");
});

test("files are put, listed, described, moved, copied, read and removed", async () => {
  const put = await run("store", "put", at("large"), "films/one", "--metadata", "kind=film");
  expect(put.value).toMatchObject({ path: "films/one", size: 150_000, metadata: { kind: "film" } });
  await expect(run("store", "put", at("large"), "films/one")).rejects.toMatchObject({
    code: "COFFER_ALREADY_EXISTS",
  });
  await run("store", "put", at("large"), "films/one", "--force");
  await run("store", "cp", "films/one", "films/two");
  await run("store", "mv", "films/two", "old/two");
  await run("store", "mkdir", "films/empty");
  expect((await run("store", "ls", "films")).lines).toEqual(["empty/", "one"]);
  expect((await run("store", "ls", "-R")).lines).toEqual([
    "films/",
    "films/empty/",
    "films/one",
    "old/",
    "old/two",
  ]);
  expect((await run("store", "ls", "old", "-l")).lines).toEqual([
    expect.stringMatching(/^150000 {2}20.*Z {2}two$/u),
  ]);
  expect((await run("store", "stat", "films/one")).lines).toContain("bytes     150000");
  const got = await run("store", "get", "old/two", "-o", at("out"));
  expect(got.value).toMatchObject({ size: 150_000 });
  expect((await readFile(at("out"))).equals(large)).toBe(true);
  expect((await stat(at("out"))).mode & 0o777).toBe(0o600);
  await expect(run("store", "get", "old/two", "-o", at("out"))).rejects.toMatchObject({
    code: "COFFER_ALREADY_EXISTS",
  });
  expect((await run("store", "du")).lines).toEqual(["2 files in 3 directories, 300000 bytes"]);
  await expect(run("store", "rm", "films")).rejects.toMatchObject({ reason: "not-empty" });
  await run("store", "rm", "films", "-r", "--purge");
  await run("store", "rm", "old", "-r");
  expect((await run("store", "ls")).lines).toEqual([]);
});

test("a folder is imported, checked, renewed and exported; what is left out makes the exit code 1", async () => {
  const imported = await run("store", "import", at("tree"), "in");
  expect(imported.value).toMatchObject({ files: 2, directories: 1, leftOut: [] });
  expect(imported.exitCode).toBe(0);
  const again = await run("store", "import", at("tree"), "in");
  expect([again.exitCode, again.value]).toMatchObject([1, { skipped: 2 }]);
  expect((await run("store", "import", at("tree"), "in", "--resume")).exitCode).toBe(0);
  const verified = await run("store", "verify");
  expect([verified.exitCode, verified.value]).toMatchObject([0, { files: 2, problems: [] }]);
  expect((await run("store", "rewrap")).lines).toEqual(["0 files wrapped anew, 2 unchanged"]);
  expect((await run("store", "reencrypt", "in")).lines).toEqual(["2 files encrypted anew"]);
  const exported = await run("store", "export", "in", at("exported"));
  expect(exported.value).toMatchObject({ files: 2, directories: 1 });
  expect(await readFile(join(at("exported"), "d", "b"), "utf8")).toBe("bb");
  await run("store", "put", at("large"), "big");
  const objects = await readdir(at("v/objects"), { recursive: true });
  await appendFile(join(at("v/objects"), objects.find((name) => name.endsWith(".cof")) as string), "x");
  const longer = await run("store", "verify");
  expect([longer.exitCode, longer.lines]).toEqual([
    1,
    [
      "damaged: big, whole, but something was added behind it",
      "3 files and 2 directories, 150003 bytes; 1 problem",
    ],
  ]);
  await rm(join(at("v"), "objects"), { recursive: true });
  const damaged = await run("store", "verify", "--quick");
  expect([damaged.exitCode, damaged.lines[0]]).toEqual([1, "missing: the content of big"]);
});

test("/ is the topmost directory for every command, which says what can be done with it", async () => {
  const sizes = async (...path: readonly string[]): Promise<unknown> =>
    (await run("store", "du", ...path)).value;
  expect(await sizes("/")).toEqual(await sizes());
  await run("store", "mkdir", "/");
  for (const args of [["stat"], ["rm", "-r"], ["mv", "x"], ["cp", "x"], ["get"]]) {
    const [command = "", ...rest] = args;
    await expect(run("store", command, "/", ...rest)).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: command === "get" ? "is-directory" : "root",
    });
  }
  await expect(run("store", "put", at("large"), "/")).rejects.toMatchObject({ reason: "is-directory" });
  await expect(run("store", "mv", "nothing", "/")).rejects.toMatchObject({ reason: "root" });
  await expect(run("store", "ls", "/in")).rejects.toMatchObject({ reason: "path" });
});
