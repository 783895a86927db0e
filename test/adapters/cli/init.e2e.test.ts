import { describe, expect, test } from "vitest";
import { scratchDirectories } from "../../storage/scratch.ts";
import { coffer, cofferJson } from "./run-cli.ts";

const scratch = scratchDirectories();

describe("coffer init", () => {
  test.concurrent(
    "shows the recovery code on standard error alone, with words, and it opens the vault",
    async () => {
      const folder = await scratch();
      const made = await coffer(["init", "new", "--passphrase-file", "-"], { cwd: folder, input: "one\n" });
      expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining("Write it down on paper now") });
      expect(made.stdout.toString()).toMatch(/^vault [0-9a-f]{32} is ready in new\n$/u);
      const code = made.stderr.match(/^ {4}[0-9A-Z-]{39}$/gmu)?.join("\n") ?? "";
      const listed = await cofferJson(["key", "list", "-V", "new", "--recovery-code-file", "-"], {
        cwd: folder,
        input: code,
      });
      expect(listed).toMatchObject({ keys: [{ keyState: "Enabled", aliases: ["alias/default"] }] });
    },
  );

  test.concurrent("warns when there is no recovery code", async () => {
    const folder = await scratch();
    const args = ["init", "new", "--no-recovery-code", "--passphrase-file", "-"];
    const { code, stdout, stderr } = await coffer([...args, "--json"], { cwd: folder, input: "one" });
    expect(code).toBe(0);
    expect(Object.keys(JSON.parse(stdout.toString()) as object)).toEqual(["id", "directory"]);
    expect(JSON.parse(stderr)).toMatchObject({
      warning: { message: expect.stringContaining("no recovery code") },
    });
  });
});
