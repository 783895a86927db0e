import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { progressText } from "../../../src/adapters/cli/progress-line.ts";
import { isSame, pattern } from "../../envelope/file-ground.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { coffer, expectNeverPrinted, inTerminal, makeVault } from "./run-cli.ts";

const PASSPHRASE = "correct horse battery staple";
const FILE_PASSPHRASE = "across the air gap";
const scratch = scratchDirectories();
const plaintext = pattern(150_000);
let cwd: string;

async function done(...args: string[]): Promise<Buffer> {
  const { code, stdout, stderr } = await coffer(args, { cwd });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

/** Costs no KDF. */
const VAULT = ["-V", "v", "--recovery-code-file", "code"];

beforeAll(async () => {
  cwd = await scratch();
  expectNeverPrinted(FILE_PASSPHRASE);
  await writeFile(join(cwd, "fp"), `${FILE_PASSPHRASE}\n`);
  await writeFile(join(cwd, "in"), plaintext);
  await makeVault(cwd, PASSPHRASE);
  await done(
    "file",
    "encrypt",
    "-V",
    "v",
    "--passphrase-file",
    "passphrase",
    "--key",
    "alias/default",
    "--context",
    "app=Apollo",
    "in",
    "-o",
    "f.cof",
  );
});

describe("coffer file", () => {
  test("decrypts what it encrypted, and refuses an existing output", async () => {
    await done("file", "decrypt", ...VAULT, "f.cof", "-o", "out");
    expect(isSame(await readFile(join(cwd, "out")), plaintext)).toBe(true);
    const again = await coffer(["file", "decrypt", ...VAULT, "f.cof", "-o", "out"], { cwd });
    expect(again).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("COFFER_ALREADY_EXISTS") as string,
    });
    await done("file", "decrypt", ...VAULT, "--context", "app=Apollo", "--force", "f.cof", "-o", "out");
    const other = await coffer(["file", "decrypt", ...VAULT, "--context", "app=x", "f.cof", "-o", "o2"], {
      cwd,
    });
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("COFFER_INVALID_CIPHERTEXT") as string,
    });
    expect(await readdir(cwd)).not.toContain("o2");
  });

  test("works through pipes on both sides, without a vault", async () => {
    const sealed = await coffer(["file", "encrypt", "--to-passphrase-file", "fp"], { cwd, input: plaintext });
    expect(sealed.code).toBe(0);
    const opened = await coffer(["file", "decrypt", "--passphrase-file", "fp"], {
      cwd,
      input: sealed.stdout,
    });
    expect(opened.code).toBe(0);
    expect(isSame(opened.stdout, plaintext)).toBe(true);
    const cut = await coffer(["file", "decrypt", "--passphrase-file", "fp", "-o", "cut"], {
      cwd,
      input: sealed.stdout.subarray(0, -1),
    });
    expect(cut).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("COFFER_INVALID_CIPHERTEXT") as string,
    });
    expect((await readdir(cwd)).filter((name) => name.includes("cut"))).toEqual([]);
  });

  test("says nothing while it writes 20 MB into a pipe", async () => {
    const long = Buffer.alloc(20_000_000, "twenty megabytes ");
    const sealed = await coffer(["file", "encrypt", ...VAULT, "--key", "alias/default"], {
      cwd,
      input: long,
    });
    expect({ code: sealed.code, stderr: sealed.stderr }).toEqual({ code: 0, stderr: "" });
    const opened = await coffer(["file", "decrypt", ...VAULT], { cwd, input: sealed.stdout });
    expect({ code: opened.code, stderr: opened.stderr }).toEqual({ code: 0, stderr: "" });
    expect(isSame(opened.stdout, long)).toBe(true);
  });

  test("shares with a passphrase, tells so, and takes it back", async () => {
    const shared = await done("file", "share", ...VAULT, "--with-passphrase-file", "fp", "f.cof", "--json");
    const { entry } = JSON.parse(shared.toString()) as { entry: string };
    await done("file", "decrypt", "--passphrase-file", "fp", "f.cof", "-o", "by-passphrase");
    expect(isSame(await readFile(join(cwd, "by-passphrase")), plaintext)).toBe(true);
    expect((await done("file", "info", "f.cof")).toString()).toContain(`passphrase ${entry}`);
    await done("file", "rewrap", ...VAULT, "--key", "alias/default", "f.cof");
    await done("file", "unshare", ...VAULT, "f.cof", entry);
    const info = JSON.parse((await done("file", "info", "f.cof", "--json")).toString()) as object;
    expect(info).toMatchObject({
      authenticated: false,
      plaintextBytes: plaintext.length,
      encryptionContext: { app: "Apollo" },
      entries: [{ kind: "key" }],
    });
  });

  test("says which of two ways is meant, with exit code 2", async () => {
    for (const args of [
      ["file", "encrypt", "in", "-o", "x"],
      ["file", "encrypt", "--key", "k", "--to-passphrase-file", "fp", "in", "-o", "x"],
      ["file", "encrypt", "--to-passphrase-file", "-", "-o", "x"],
      ["file", "decrypt", "--recovery-code-file", "fp", "f.cof", "-o", "x"],
      ["file", "decrypt", "--json", "f.cof"],
    ]) {
      expect((await coffer(args, { cwd, env: { COFFER_VAULT: "" } })).code, args.join(" ")).toBe(2);
    }
  });
});

describe.runIf(process.platform === "linux")("contents on a terminal", () => {
  const ESCAPE = "\u001b]0;owned\u0007";
  const VAULT_ARGS = VAULT.join(" ");
  const ways = {
    "file decrypt": { of: (name: string) => `${VAULT_ARGS} ${name}.cof` },
    "store get": { of: (name: string) => `${VAULT_ARGS} ${name}` },
  } as const;
  const contents = {
    text: "zażółć\n\tgęślą\r\n",
    hostile: `first lines\n${ESCAPE}`,
    // What a terminal must not be given comes late.
    late: `${"harmless line\n".repeat(10_000)}${ESCAPE}`,
    long: "line\n".repeat(300_000),
  };

  beforeAll(async () => {
    for (const [name, content] of Object.entries(contents)) {
      await writeFile(join(cwd, name), content);
      await done("file", "encrypt", ...VAULT, "--key", "alias/default", name, "-o", `${name}.cof`);
      await done("store", "put", ...VAULT, name, name);
    }
  });

  test.each(Object.entries(ways))(
    "%s shows text, and refuses what is none before a byte of it",
    async (command, { of }) => {
      const shown = await inTerminal(`$coffer ${command} ${of("text")}`, cwd).ended;
      expect(shown.code).toBe(0);
      expect(shown.screen).toContain("gęślą");
      for (const name of ["hostile", "late", "long"]) {
        const { code, screen } = await inTerminal(`$coffer ${command} ${of(name)}`, cwd).ended;
        expect(code, name).toBe(1);
        expect(screen, name).not.toMatch(/line\r?\n/u);
        expect(screen, name).not.toContain("\u001b");
        expect(screen, name).toContain("-o FILE");
        expect(screen, name).toContain("COFFER_INVALID_ARGUMENT");
      }
      const anyway = await inTerminal(`$coffer ${command} ${of("hostile")} -o -`, cwd).ended;
      expect(anyway.code).toBe(0);
      expect(anyway.screen).toContain(ESCAPE);
    },
  );

  test("ciphertext is refused before any work", async () => {
    const line = `$coffer file encrypt ${VAULT_ARGS} --key alias/default text`;
    const { code, screen } = await inTerminal(line, cwd).ended;
    expect(code).toBe(2);
    expect(screen).toContain("-o FILE");
    expect(screen).not.toContain("COF");
  });
});

test("a source that changes on its way into a pipe is an error", async () => {
  await writeFile(join(cwd, "growing"), pattern(8_000_000));
  const reader = "{ head -c 1000; echo x >>growing; cat; } >/dev/null";
  const line = `{ $coffer file encrypt ${VAULT.join(" ")} --key alias/default growing; echo "code $?" >&2; } | ${reader}`;
  const { screen } = await inTerminal(line, cwd).ended;
  expect(screen).toContain("COFFER_SOURCE_CHANGED");
  expect(screen).toContain("code 1");
});

test("a terminal shows how far a long work is, and nothing of that when it is done", async () => {
  const part = "head -c 2000000 /dev/zero";
  const line = `(${part}; sleep 1; ${part}) | $coffer file encrypt ${VAULT.join(" ")} --key alias/default - -o slow.cof`;
  const { code, screen } = await inTerminal(line, cwd).ended;
  expect(code).toBe(0);
  expect(screen).toMatch(/\d+ MiB {2}\d+ MiB\/s/u);
  expect(screen.lastIndexOf("MiB/s")).toBeLessThan(screen.lastIndexOf("\r\u001B[K"));
});

test("the progress line tells share, size, rate and time left", () => {
  expect(progressText(512 * 1_048_576, 1219 * 1_048_576, 1000)).toBe(
    "42 %  512 of 1,219 MiB  512 MiB/s  2 s left",
  );
  expect(progressText(512 * 1_048_576, undefined, 2000)).toBe("512 MiB  256 MiB/s");
  expect(progressText(0, 100, 10)).toBe("0 %  0 of 0 MiB  0 MiB/s");
  expect(progressText(1_048_576, 200 * 1_048_576, 1000)).toContain("3 min 19 s left");
});
