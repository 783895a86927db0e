import { generateKeyPairSync } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { modeOf, modesIn, scratchDirectories } from "../../storage/scratch.ts";
import { coffer, cofferError, cofferJson, expectNeverPrinted, makeVault } from "./run-cli.ts";

const scratch = scratchDirectories();
// Composed, with an ordinary space; typed below with a combining accent and a no-break space.
const PASSPHRASE = "caf\u00e9 canary staple";
const KEY_PEM = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
  type: "pkcs8",
  format: "pem",
});

let cwd = "";
let recovery: readonly string[] = [];

beforeAll(async () => {
  cwd = await scratch();
  ({ recovery } = await makeVault(cwd, PASSPHRASE));
  await mkdir(join(cwd, "certs"));
  await writeFile(join(cwd, "certs", "key.pem"), KEY_PEM);
  await writeFile(join(cwd, "small"), "canary of the plaintext");
});

describe("coffer init", () => {
  test("makes a vault for its owner alone and refuses to make another in its place", async () => {
    expect(await modeOf(join(cwd, "v"))).toBe("0o700");
    expect((await modesIn(join(cwd, "v"))).toSorted()).toEqual(["0o600", "0o700"]);
    const { code } = await cofferError(["init", "v", "--passphrase-file", "passphrase"], { cwd });
    expect(code).toBe("COFFER_VAULT_EXISTS");
  });
});

describe("coffer status", () => {
  test("needs no secret, and takes the vault from the environment", async () => {
    const { code, stdout } = await coffer(["status"], { cwd, env: { COFFER_VAULT: "v" } });
    expect(code).toBe(0);
    expect(stdout.toString()).toMatch(/^vault +[0-9a-f]{32}\n(?:.*\n)*in use +no\n$/u);
  });
});

describe("coffer encrypt and decrypt", () => {
  test("give a TLS key back as it was, in a file for its owner alone", async () => {
    await cofferJson(["key", "create", "--alias", "alias/Apollo/WorkKey", ...recovery], { cwd });
    const sealed = ["--key", "alias/Apollo/WorkKey", "certs/key.pem", "-o", "certs/key.pem.cipher"];
    expect(await coffer(["encrypt", ...recovery, ...sealed], { cwd })).toMatchObject({ code: 0, stderr: "" });
    const opened = ["certs/key.pem.cipher", "-o", "certs/decrypted_key.pem"];
    expect(await coffer(["decrypt", ...recovery, ...opened], { cwd })).toMatchObject({ code: 0, stderr: "" });
    expect(await readFile(join(cwd, "certs", "decrypted_key.pem"), "utf8")).toBe(KEY_PEM);
    expect(await modeOf(join(cwd, "certs", "decrypted_key.pem"))).toBe("0o600");
    expect((await readFile(join(cwd, "certs", "key.pem.cipher"))).includes("PRIVATE")).toBe(false);
    expect((await readdir(join(cwd, "certs"))).toSorted()).toEqual([
      "decrypted_key.pem",
      "key.pem",
      "key.pem.cipher",
    ]);
  });

  test("work in pipes, with Base64, a context, and an ARN for the key", async () => {
    const context = ["--context", "purpose=a=b", "--context", "__proto__=x"];
    const key = ["--key", "arn:aws:kms:eu-west-1:111122223333:alias/default"];
    const input = Uint8Array.from({ length: 256 }, (_, index) => index);
    const sealed = await coffer(["encrypt", ...recovery, ...key, ...context, "--base64"], { cwd, input });
    expect(sealed.stdout.toString()).toMatch(/^[A-Za-z0-9+/]+=*\n$/u);
    const folded = sealed.stdout.toString().replaceAll(/(.{64})/gu, "$1\r\n");
    const opened = await coffer(["decrypt", ...recovery, ...key, ...context], { cwd, input: folded });
    expect(opened.stdout).toEqual(Buffer.from(input));

    const refused = await cofferError(["decrypt", ...recovery, "-o", "out"], { cwd, input: folded });
    expect(refused.code).toBe("COFFER_INVALID_CIPHERTEXT");
    expect(await readdir(cwd)).not.toContain("out");
  });

  test("carry bytes as Base64 in JSON", async () => {
    const sealed = await cofferJson(["encrypt", ...recovery, "--key", "alias/default", "small"], { cwd });
    const opened = await cofferJson(["decrypt", ...recovery], { cwd, input: sealed["ciphertextBlob"] ?? "" });
    expect(opened).toEqual({
      keyId: sealed["keyId"],
      keyVersion: 1,
      encryptionAlgorithm: "SYMMETRIC_DEFAULT",
      plaintext: Buffer.from("canary of the plaintext").toString("base64"),
    });
  });

  test("refuse 7,000 bytes, name the command for them, and leave no output", async () => {
    const input = new Uint8Array(7000);
    const before = await readdir(cwd);
    const args = ["encrypt", ...recovery, "--key", "alias/default", "-o", "large.cipher"];
    const { code, stderr } = await coffer(args, { cwd, input });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: .*coffer file encrypt.* \(COFFER_LIMIT_EXCEEDED\)\n$/u);
    expect(await cofferError(args, { cwd, input: new Uint8Array(1_000_000) })).toEqual({
      code: "COFFER_LIMIT_EXCEEDED",
      message: expect.stringContaining("coffer file encrypt"),
    });
    expect(await readdir(cwd)).toEqual(before);
  });

  test("refuse an output that exists, before the vault is opened, and replace it when forced", async () => {
    await writeFile(join(cwd, "existing"), "old");
    const args = ["encrypt", "-V", "v", "--key", "alias/default", "small", "-o", "existing"];
    expect(await cofferError(args, { cwd })).toMatchObject({ code: "COFFER_ALREADY_EXISTS" });
    expect(await readFile(join(cwd, "existing"), "utf8")).toBe("old");
    await cofferJson([...args, "--force", "--recovery-code-file", "code"], { cwd });
    expect((await readFile(join(cwd, "existing"))).subarray(0, 3).toString()).toBe("COB");
  });
});

describe("coffer data-key", () => {
  test("gives a key that decrypt opens again, or its encrypted form alone", async () => {
    const args = ["data-key", ...recovery, "--key", "alias/default", "--context", "a=b"];
    const made = await cofferJson([...args, "--bytes", "64"], { cwd });
    expect(Buffer.from(made["plaintext"] ?? "", "base64")).toHaveLength(64);
    const input = made["ciphertextBlob"] ?? "";
    expect(await cofferJson(["decrypt", ...recovery, "--context", "a=b"], { cwd, input })).toMatchObject({
      plaintext: made["plaintext"],
    });
    const { stdout } = await coffer([...args, "--without-plaintext"], { cwd });
    expect(stdout.toString()).toMatch(/^key +\S+\nversion +1\nciphertext +\S+\n$/u);
  });
});

describe("coffer key and coffer alias", () => {
  test("make, point, list and delete names, whatever names the key", async () => {
    const { keyId } = await cofferJson(["key", "create", ...recovery, "--alias", "alias/a", "--tag", "t=1"], {
      cwd,
    });
    const run = async (...args: string[]) => cofferJson(["alias", ...args, ...recovery], { cwd });
    expect(await run("create", "alias/b", "alias/default")).toMatchObject({ aliasName: "alias/b" });
    const arn = `arn:aws:kms:eu-west-1:111122223333:key/${String(keyId)}`;
    expect(await run("update", "alias/b", arn)).toEqual({ aliasName: "alias/b", targetKeyId: keyId });
    expect(await run("delete", "alias/a")).toEqual({ aliasName: "alias/a" });
    const { stdout } = await coffer(["alias", "list", ...recovery], { cwd });
    expect(stdout.toString()).toContain(`alias/b  ${String(keyId)}\n`);
    expect(stdout.toString()).not.toContain("alias/a ");
  });

  test("rotate a key, encrypt its old ciphertext anew, and disable it", async () => {
    const run = async (...args: string[]) => cofferJson([...args, ...recovery], { cwd });
    const { keyId } = await run("key", "create", "--alias", "alias/changing");
    const old = await cofferJson(["encrypt", "--key", "alias/changing", ...recovery], {
      cwd,
      input: "small",
    });
    expect(await run("key", "rotate", "alias/changing")).toMatchObject({ keyId, keyVersion: 2 });
    const renewal = ["re-encrypt", "--key", "alias/changing", "--new-context", "a=b", ...recovery];
    const renewed = await cofferJson(renewal, { cwd, input: old["ciphertextBlob"] ?? "" });
    expect(renewed).toMatchObject({ sourceKeyVersion: 1, keyVersion: 2 });
    const input = renewed["ciphertextBlob"] ?? "";
    const opened = await coffer(["decrypt", "--context", "a=b", ...recovery], { cwd, input });
    expect(opened.stdout.toString()).toBe("small");
    expect(await run("key", "disable", "alias/changing")).toMatchObject({ keyState: "Disabled" });
    const { stdout } = await coffer(["key", "rotations", "alias/changing", ...recovery], { cwd });
    expect(stdout.toString()).toMatch(
      /^key .*\nregularly +no\nversion 1 .*CREATED {2}NON_CURRENT\nversion 2 .*\n$/u,
    );
  });

  test("show what a description says, and obey nothing in it", async () => {
    const description = "\u001b]0;owned\u0007\u001b[2J\u202ereversed\nkey  Enabled";
    const args = ["key", "create", "--description", description, ...recovery];
    const { stdout } = await coffer(args, { cwd });
    expect(stdout.toString()).not.toMatch(/[^\P{C}\n]/u);
    expect(stdout.toString()).toContain("\\u{1b}[2J\\u{202e}reversed\\nkey  Enabled");
    const keyId = /^key +(\S+)$/mu.exec(stdout.toString())?.[1] ?? "";
    expect(await cofferJson(["key", "describe", keyId, ...recovery], { cwd })).toMatchObject({ description });
  });
});

describe("secrets", () => {
  test("are normalised from a pipe, without the newline at their end", async () => {
    const input = "\ufeffcafe\u0301\u00a0canary staple\r\n";
    expectNeverPrinted("canary staple");
    const { code } = await coffer(["key", "list", "-V", "v", "--passphrase-file", "-"], { cwd, input });
    expect(code).toBe(0);
  });

  test("that are wrong are refused without being repeated", async () => {
    const input = "another canary";
    expectNeverPrinted(input);
    const open = ["key", "list", "-V", "v", "--passphrase-file", "-"];
    expect(await cofferError(open, { cwd, input })).toMatchObject({ code: "COFFER_WRONG_SECRET" });
  });
});
