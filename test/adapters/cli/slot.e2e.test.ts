import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { scratchDirectories } from "../../storage/scratch.ts";
import { coffer, cofferJson } from "./run-cli.ts";

const scratch = scratchDirectories();

// One story, as every step is a process of its own.
test("slots are added, changed, listed and removed, and the root key is rotated", async () => {
  const cwd = await scratch();
  const made: { recoveryCode?: string } = await cofferJson(["init", "v", "--passphrase-file", "-"], {
    cwd,
    input: "first one",
  });
  await writeFile(join(cwd, "code"), made.recoveryCode ?? "");
  const opened = ["-V", "v", "--recovery-code-file", "code"];

  const added = await coffer(["slot", "add-recovery", "--label", "safe", ...opened], { cwd });
  expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining("RECOVERY CODE") });
  const change = ["slot", "change-passphrase", "--new-passphrase-file", "-", ...opened];
  await cofferJson(change, { cwd, input: "second one" });
  const listed = await coffer(["slot", "list", ...opened], { cwd });
  const lines = listed.stdout.toString().trim().split("\n");
  expect(
    lines.map((line) => line.replace(/^[0-9a-f]{32} {2}/u, "").replace(/\d{4}-\d\d-\d\d/u, "day")),
  ).toEqual(["passphrase  day  passphrase", "recovery    day  recovery code", "recovery    day  safe"]);
  await cofferJson(["slot", "remove", lines[2]?.slice(0, 32) ?? "", ...opened], { cwd });

  const rotate = ["rotate-root", "--new-passphrase-file", "-", ...opened];
  const rotated: { recoveryCode?: string } = await cofferJson(rotate, { cwd, input: "third one" });
  expect(rotated).toMatchObject({ isOldRootDead: true });
  const old = await coffer(["slot", "list", ...opened], { cwd });
  expect(old).toMatchObject({ code: 1, stderr: expect.stringContaining("COFFER_WRONG_SECRET") });
  await writeFile(join(cwd, "code"), rotated.recoveryCode ?? "");
  expect(await cofferJson(["slot", "list", ...opened], { cwd })).toMatchObject({
    slots: [{ kind: "passphrase" }, { kind: "recovery" }],
  });
});
