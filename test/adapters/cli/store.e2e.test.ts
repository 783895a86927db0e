import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";

import { createVault } from "../../../src/vault.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { bytesOf } from "../../store/store-ground.ts";
import { cheapPassphrase } from "../../vault-files.ts";
import { coffer, cofferError, type Finished, inTerminal } from "./run-cli.ts";

const scratch = scratchDirectories();
const VAULT = ["-V", "v", "--recovery-code-file", "code"];
/** Colours, a direction mark and a line break: what a terminal must not obey. */
const HOSTILE = "\u001b[31mred\u202e\nline";
const SHOWN = "\\u{1b}[31mred\\u{202e}\\nline";
const large = bytesOf(150_000);
let cwd: string;

async function store(command: string, ...args: readonly string[]): Promise<Finished> {
  return coffer(["store", command, ...VAULT, ...args], { cwd });
}

beforeAll(async () => {
  cwd = await scratch();
  const { vault, recoveryCode } = await createVault(join(cwd, "v"), { unlock: cheapPassphrase() });
  await vault.close();
  await writeFile(join(cwd, "code"), recoveryCode, { mode: 0o600 });
});

test("pipes go in and out, and hostile names reach no terminal as they are", async () => {
  const path = `pipes/${HOSTILE}`;
  const put = await coffer(["store", "put", ...VAULT, "-", path], { cwd, input: large });
  expect(put).toMatchObject({ code: 0, stderr: "" });
  const got = await store("get", path);
  expect(got).toMatchObject({ code: 0, stderr: "" });
  expect(got.stdout.equals(large)).toBe(true);
  expect(put.stdout.toString()).toBe(`pipes/${SHOWN}: 150000 bytes\n`);
  await rm(join(cwd, "v", "objects"), { recursive: true });
});

test("a folder goes in, comes out, and damage in it is found, left out, or written as zeros", async () => {
  await mkdir(join(cwd, "tree", "d"), { recursive: true });
  await writeFile(join(cwd, "tree", "d", "large"), large);
  await writeFile(join(cwd, "tree", "small"), "small");
  await symlink("small", join(cwd, "tree", "link"));
  const imported = await store("import", "tree", "in", "--relaxed");
  expect(imported).toMatchObject({ code: 1, stderr: "" });
  expect(imported.stdout.toString()).toMatch(
    /^left out \(link\): \S+\n2 files and 1 directory, 150005 bytes; 0 unchanged, 1 left out\n$/u,
  );
  const objects = join(cwd, "v", "objects");
  const [object] = (await readdir(objects, { recursive: true })).filter((name) => name.endsWith(".cof"));
  const bytes = await readFile(join(objects, object as string));
  bytes[bytes.length - 100_000] = (bytes[bytes.length - 100_000] as number) ^ 1;
  await writeFile(join(objects, object as string), bytes);
  const verified = await store("verify");
  expect(verified.code).toBe(1);
  expect(verified.stdout.toString().split("\n").sort()).toEqual([
    "",
    "3 files and 3 directories, 300005 bytes; 2 problems",
    "damaged: in/d/large, bytes 0 to 65536",
    `missing: the content of pipes/${SHOWN}`,
  ]);
  const exported = await coffer(["store", "export", ...VAULT, "/", "out", "--salvage", "--json"], { cwd });
  expect(exported).toMatchObject({ code: 1, stderr: "" });
  expect(exported.stdout.includes(0x1b)).toBe(false);
  expect(JSON.parse(exported.stdout.toString())).toMatchObject({
    files: 2,
    damaged: 2,
    leftOut: [{ path: `pipes/${HOSTILE}`, reason: "damaged" }],
    zeros: [{ path: "in/d/large", start: 0, end: 65_536 }],
  });
  const salvaged = Buffer.from(large).fill(0, 0, 65_536);
  expect((await readFile(join(cwd, "out", "in", "d", "large"))).equals(salvaged)).toBe(true);
});

test("what is not there, and what cannot be meant, is refused with its code", async () => {
  const missing = await cofferError(["store", "stat", ...VAULT, "secret-name"], { cwd });
  expect(missing.code).toBe("COFFER_NOT_FOUND");
  expect(missing.message).not.toContain("secret-name");
  const twice = await coffer(["store", "put", "-V", "v", "--passphrase-file", "-", "-", "x"], { cwd });
  expect(twice.code).toBe(2);
});

test.runIf(process.platform === "linux")(
  "a terminal is told how far a write is; interrupted, it leaves nothing",
  async () => {
    // The interrupt is for the command alone: a source that ends by it would look like one that is done.
    const source = "trap '' INT; while sleep 0.1 && head -c 100000 /dev/zero; do :; done";
    const run = inTerminal(`(${source}) | $coffer store put ${VAULT.join(" ")} - half`, cwd);
    await run.shows("MiB/s");
    run.type("\u0003");
    expect((await run.ended).code).toBe(130);
    expect((await store("stat", "half")).code).toBe(1);
    expect(await readdir(join(cwd, "v", "incoming"))).toEqual([]);
  },
);
