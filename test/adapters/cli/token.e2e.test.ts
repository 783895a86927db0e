import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { addToken, PIN, softHsm } from "../../keystore/slots/pkcs11/token-ground.ts";
import { scratchDirectories } from "../../storage/scratch.ts";
import { coffer, cofferError, cofferJson, expectNeverPrinted, inTerminal } from "./run-cli.ts";

const scratch = scratchDirectories();
let cwd: string;
let token: readonly string[];
let env: Record<string, string>;

beforeAll(async () => {
  cwd = await scratch();
  const access = await softHsm(await scratch());
  await addToken(access, "daily", [
    { kind: "ec256", id: "03", label: "slot 9d" },
    { kind: "ec521", id: "04" },
  ]);
  await addToken(access, "safe", [{ kind: "rsa2048", id: "03" }]);
  env = access.env;
  token = ["--module", access.module];
  await writeFile(join(cwd, "pin"), `${PIN}\n`);
  await writeFile(join(cwd, "words"), "correct horse\n");
  await chmod(join(cwd, "pin"), 0o600);
  expectNeverPrinted(PIN, "correct horse");
});

// One story, as every step is a process of its own.
test("a token is listed, added, opens every command, and its spare does", async () => {
  const run = { cwd, env };
  const listed = await coffer(["token", "list", ...token], run);
  expect(listed.stdout.toString()).toMatch(/^daily: serial [0-9a-f]+, SoftHSM project, SoftHSM v2, PIN$/mu);
  expect(listed.stdout.toString()).toContain('key 03 "slot 9d", ecdh-p256, no certificate: can open a vault');
  expect(listed.stdout.toString()).toContain("another kind, no certificate: cannot: Not P-256");

  const made: { recoveryCode?: string } = await cofferJson(["init", "v", "--passphrase-file", "words"], run);
  await writeFile(join(cwd, "code"), made.recoveryCode ?? "");
  const words = ["--passphrase-file", "words"];
  const code = ["--recovery-code-file", "code"];
  const add = ["slot", "add-token", "-V", "v", ...token, "--pin-file", "pin"];
  const added = await coffer([...add, "--token-label", "daily", "--key-id", "03", ...code], run);
  expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining("A token alone does not vouch") });
  expect(added.stdout.toString()).toMatch(/pkcs11 .*\(daily, serial [0-9a-f]+\)/u);

  const byToken = [...token, "--pin-file", "pin", "-V", "v"];
  await writeFile(join(cwd, "plain"), "attack at dawn");
  const encrypt = ["encrypt", "--key", "alias/default", "plain", "-o", "sealed", ...byToken];
  expect(await coffer(encrypt, run)).toMatchObject({ code: 0 });
  expect((await coffer(["decrypt", "sealed", ...byToken], run)).stdout.toString()).toBe("attack at dawn");
  const spare = [...add, "--token-label", "safe", "--combined", "--new-passphrase-file", "words"];
  expect(await coffer([...spare, "--label", "both", ...code], run)).toMatchObject({ code: 0 });
  const both = await cofferJson(
    ["slot", "list", ...byToken, "--token-label", "safe", "--with-passphrase", ...words],
    run,
  );
  expect(both).toMatchObject({
    slots: [
      { kind: "passphrase" },
      { kind: "recovery" },
      { kind: "pkcs11", tokens: [{ label: "daily" }] },
      { kind: "combined", label: "both", tokens: [{ label: "safe" }] },
    ],
  });
});

test("a wrong PIN is told with its code, and a URI that carries a PIN is refused", async () => {
  const run = { cwd, env };
  await writeFile(join(cwd, "wrong"), "654321");
  expect(await cofferError(["key", "list", "-V", "v", ...token, "--pin-file", "wrong"], run)).toMatchObject({
    code: "COFFER_PIN_INCORRECT",
  });
  const evil = "pkcs11:token=daily?pin-value=1234";
  expect(await cofferError(["token", "list", ...token, "--token-uri", evil], run)).toMatchObject({
    code: "COFFER_INVALID_ARGUMENT",
  });
});

test("the PIN is asked for on the terminal, by the token's name, and not shown", async () => {
  const config = env["SOFTHSM2_CONF"] ?? "";
  const run = inTerminal(`SOFTHSM2_CONF='${config}' $coffer key list -V v ${token.join(" ")}`, cwd);
  await run.shows("PIN of daily, serial ");
  run.type(`${PIN}\r`);
  const { code, screen } = await run.ended;
  expect(code).toBe(0);
  expect(screen).toContain("alias/default");
  expect(screen).not.toContain(PIN);

  const cancelled = inTerminal(`SOFTHSM2_CONF='${config}' $coffer key list -V v ${token.join(" ")}`, cwd);
  await cancelled.shows("PIN of daily");
  cancelled.type("\u0003");
  expect((await cancelled.ended).code).toBe(130);
});
