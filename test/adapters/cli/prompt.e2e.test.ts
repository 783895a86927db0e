import { access, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { scratchDirectories } from "../../storage/scratch.ts";
import { inTerminal, makeVault } from "./run-cli.ts";

const scratch = scratchDirectories();
const PASSPHRASE = "typed canary é";
/** Settings of the terminal before and after, and the exit code. */
const watched = (command: string): string => `stty -g; ${command}; code=$?; stty -g; exit $code`;

function expectRestored(screen: string): void {
  const settings = screen.match(/[0-9a-f]+(?::[0-9a-f]+){10,}/gu) ?? [];
  expect(settings).toHaveLength(2);
  expect(settings[0]).toBe(settings[1]);
}

let vaultFolder = "";

beforeAll(async () => {
  vaultFolder = await scratch();
  await makeVault(vaultFolder, PASSPHRASE);
});

describe("in a terminal", () => {
  test("a passphrase is asked for without showing it, also when the streams carry data", async () => {
    const run = inTerminal(
      watched("printf small | $coffer encrypt -V v --key alias/default > out 2> errors"),
      vaultFolder,
    );
    await run.shows("Passphrase of v (not shown):");
    run.type(`${PASSPHRASE}\r`);
    const { code, screen } = await run.ended;
    expect(code).toBe(0);
    expect(screen).not.toMatch(/typed|canary/u);
    expectRestored(screen);
    expect((await readFile(join(vaultFolder, "out"))).subarray(0, 3).toString()).toBe("COB");
    expect(await readFile(join(vaultFolder, "errors"), "utf8")).toBe("");
  });

  test("a secret from standard input is asked for there, and not shown either", async () => {
    const code = (await readFile(join(vaultFolder, "code"), "utf8")).trim();
    const run = inTerminal(watched("$coffer key list -V v --recovery-code-file -"), vaultFolder);
    await run.shows("Recovery code of v (not shown):");
    run.type(`${code}\r`);
    const { code: exit, screen } = await run.ended;
    expect(exit).toBe(0);
    expect(screen).toContain("  Enabled  alias/default");
    expect(screen).not.toContain(code.slice(0, 9));
    expectRestored(screen);
  });

  test("a new passphrase is asked for twice, shown neither time, and two that differ make nothing", async () => {
    const cwd = await scratch();
    const run = inTerminal(watched("$coffer init v"), cwd);
    await run.shows("New passphrase for v (not shown):");
    run.type(`${PASSPHRASE}\r`);
    await run.shows("The same passphrase again:");
    // Whatever the first prompt still has to do must not show what is typed at the second.
    await new Promise((resolve) => setTimeout(resolve, 50));
    run.type("another canary\r");
    const { code, screen } = await run.ended;
    expect(code).toBe(1);
    expect(screen).toContain("the two passphrases differ");
    expect(screen).not.toMatch(/typed|another|canary/u);
    expectRestored(screen);
    expect(await readdir(cwd)).toEqual([]);
  });

  test.each([
    ["Ctrl-C", "\u0003", 130],
    ["Ctrl-D", "\u0004", 130],
  ])("%s at a prompt ends with one line, and the terminal as it was", async (_, key, expected) => {
    const cwd = await scratch();
    const run = inTerminal(watched("$coffer init v"), cwd);
    await run.shows("New passphrase for v (not shown):");
    run.type(key);
    const { code, screen } = await run.ended;
    expect(code).toBe(expected);
    expect(screen).toContain("coffer: cancelled; nothing was changed (COFFER_ABORTED)");
    expect(screen).not.toMatch(/^\s+at |\.js:\d/mu);
    expectRestored(screen);
    await expect(access(join(cwd, "v"))).rejects.toThrow("ENOENT");
  });

  test("a request to end leaves the terminal as it was", async () => {
    const cwd = await scratch();
    const run = inTerminal(watched("(exec sh -c 'echo pid $$; exec \"$@\"' sh $coffer init v)"), cwd);
    await run.shows("New passphrase for v (not shown):");
    process.kill(Number(/^pid (\d+)\r$/mu.exec(run.screen())?.[1]), "SIGTERM");
    const { code, screen } = await run.ended;
    expect(code).toBe(143);
    expect(screen).toContain("coffer: interrupted (COFFER_ABORTED)");
    expectRestored(screen);
  });

  test("a new passphrase is rated where it was typed, the old one is not, and a weak one is taken", async () => {
    const command = "$coffer slot change-passphrase -V v 2> errors";
    const run = inTerminal(watched(command), vaultFolder);
    await run.shows("Passphrase of v (not shown):");
    run.type(`${PASSPHRASE}\r`);
    for (const question of ["New passphrase for v (not shown):", "The same passphrase again:"]) {
      await run.shows(question);
      run.type("qwerty1985\r");
    }
    const { code, screen } = await run.ended;
    expect(code).toBe(0);
    expect(screen.match(/Estimated strength: .*/gu)).toEqual([
      expect.stringMatching(
        /^Estimated strength: very weak\. .* less than a minute\. It is used all the same/u,
      ),
    ]);
    expect(screen).not.toMatch(/qwerty|1985/u);
    expect(await readFile(join(vaultFolder, "errors"), "utf8")).toBe("");
  });
});
