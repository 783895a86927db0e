import { type ChildProcess, fork } from "node:child_process";
import { createECDH } from "node:crypto";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import {
  type CofferError,
  createVault,
  decryptFile,
  encryptFile,
  fileInfo,
  openVault,
  type Unlocker,
} from "../../../../src/index.ts";
import type { SpawnHelper } from "../../../../src/keystore/slots/pkcs11/helper-process.ts";
import { passphraseWith } from "../../../../src/keystore/slots/passphrase.ts";
import { digest } from "../../../../src/crypto/hmac.ts";
import { distUrl, scratchDirectories, kill, startModule } from "../../../storage/scratch.ts";
import { StubModule, USUAL_FLAGS } from "../../../tokens/stub-module.ts";
import {
  addToken,
  byToken,
  HELPER,
  PIN,
  SOFTHSM,
  softHsm,
  tokenOf,
  type TokenAccess,
} from "./token-ground.ts";

const scratch = scratchDirectories();
const CHEAP = { cost: { memoryKiB: 64, passes: 1, lanes: 1 }, floor: { memoryKiB: 8, passes: 1 } };
const phrase = (): Unlocker => passphraseWith("correct horse", CHEAP);

let hsm: TokenAccess;
let directory: string;

/** A vault that opens with the first token's key, with the second one's, and with a passphrase. */
beforeAll(async () => {
  hsm = await softHsm(await scratch());
  await addToken(hsm, "first", [{ kind: "ec256", id: "03" }]);
  await addToken(hsm, "second", [{ kind: "ec256", id: "03" }], "another-pin");
  await addToken(hsm, "twin", [{ kind: "aes", id: "06" }]);
  await addToken(hsm, "twin", []);
  directory = await scratch();
  const { vault } = await createVault(directory, {
    unlock: byToken(hsm, { tokenLabel: "first" }),
    recoveryCode: false,
  });
  await vault.slots.add(byToken(hsm, { tokenLabel: "second", pin: "another-pin" }), { label: "spare" });
  await vault.slots.add(phrase());
  await vault.close();
});

const opened = async (unlock: Unlocker): Promise<void> => (await openVault(directory, { unlock })).close();

/** Processes that run the helper with this file's tokens. */
async function helpers(): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/u.test(name)) continue;
    const [line, environment] = await Promise.all(
      ["cmdline", "environ"].map((part) => readFile(`/proc/${name}/${part}`, "utf8").catch(() => "")),
    );
    // Other tests have helpers too.
    if (line?.includes(HELPER) && environment?.includes(hsm.env["SOFTHSM2_CONF"] ?? "")) found.push(name);
  }
  return found;
}

describe("the PIN", () => {
  test("wrong is told apart, and right the next time; the passphrase serves meanwhile", async () => {
    const error = await opened(byToken(hsm, { tokenLabel: "first", pin: "wrong-one" })).catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({
      code: "COFFER_PIN_INCORRECT",
      details: { stage: "login", ckr: "CKR_PIN_INCORRECT", tokenLabel: "first", low: true, finalTry: false },
    });
    expect(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error)).not.toContain("wrong-one");
    await opened(phrase());
    const { unlocker, asked } = tokenOf(hsm, { tokenLabel: "first" });
    await opened(unlocker);
    // SoftHSM says so until a good login.
    expect(asked[0]).toMatchObject({
      low: true,
      finalTry: false,
      attempt: 1,
      reason: "unlock",
      minLength: 4,
    });
    const again = tokenOf(hsm, { tokenLabel: "first" });
    await opened(again.unlocker);
    expect(again.asked[0]).toMatchObject({ low: false });
  });

  test("that no token can have uses no try", async () => {
    for (const [pin, code] of [
      [null, "COFFER_ABORTED"],
      ["", "COFFER_INVALID_ARGUMENT"],
      ["123", "COFFER_PIN_LENGTH"],
      ["ä".repeat(128), "COFFER_PIN_LENGTH"],
    ] as const) {
      const unlock = byToken(hsm, { tokenLabel: "first", pin: () => pin });
      await expect(opened(unlock)).rejects.toMatchObject({ code });
    }
    const { unlocker, asked } = tokenOf(hsm, { tokenLabel: "first" });
    await opened(unlocker);
    expect(asked[0]?.low).toBe(false);
  });

  test("is taken as bytes too, and wiped; given beforehand it is checked at once", async () => {
    const bytes = new TextEncoder().encode(PIN);
    await opened(byToken(hsm, { tokenLabel: "first", pin: () => bytes }));
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    await opened(byToken(hsm, { tokenLabel: "first", pin: new TextEncoder().encode(PIN) }));
    expect(() => byToken(hsm, { pin: "" })).toThrow("The PIN is empty");
    await expect(opened(byToken(hsm, { tokenLabel: "first", pin: undefined }))).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      details: { reason: "pin" },
    });
  });

  test("what its callback throws ends the unlock, and no helper is left", async () => {
    const failure = new Error("the window was closed");
    const pin = (): never => {
      throw failure;
    };
    await expect(opened(byToken(hsm, { tokenLabel: "first", pin }))).rejects.toBe(failure);
    expect(await helpers()).toEqual([]);
  });

  test("goes to the token that showed the key, and to no other [F-149]: A-35, A-36", async () => {
    const only = await scratch();
    const { vault } = await createVault(only, {
      unlock: byToken(hsm, { tokenLabel: "second", pin: "another-pin" }),
    });
    await vault.close();
    const { unlocker, asked } = tokenOf(hsm, { pin: undefined });
    await expect(openVault(only, { unlock: unlocker })).rejects.toMatchObject({ details: { reason: "pin" } });
    expect(asked).toEqual([]);
    const labels: string[] = [];
    const pin = ({ token }: { token: { label: string } }): string => {
      labels.push(token.label);
      return "another-pin";
    };
    await (await openVault(only, { unlock: byToken(hsm, { pin }) })).close();
    expect(labels).toEqual(["second"]);
    const { unlocker: other, asked: askedOther } = tokenOf(hsm, { tokenLabel: "first" });
    await expect(openVault(only, { unlock: other })).rejects.toMatchObject({
      code: "COFFER_TOKEN_KEY_NOT_FOUND",
    });
    expect(askedOther).toEqual([]);
  });

  test("of the second slot's token is asked for where the first slot's is not there", async () => {
    const { unlocker, asked } = tokenOf(hsm, { tokenLabel: "second", pin: undefined });
    await expect(opened(unlocker)).rejects.toMatchObject({ code: "COFFER_INVALID_ARGUMENT" });
    expect(asked).toEqual([]);
    await opened(byToken(hsm, { tokenLabel: "second", pin: "another-pin" }));
  });

  test("is asked of nobody where two tokens have one name", async () => {
    const { unlocker, asked } = tokenOf(hsm, { tokenLabel: "twin", keyId: "06" });
    await expect(createVault(await scratch(), { unlock: unlocker })).rejects.toMatchObject({
      code: "COFFER_TOKEN_AMBIGUOUS",
      details: { reason: "token" },
    });
    expect(asked).toEqual([]);
  });
});

describe("the last try of a PIN", () => {
  const point = createECDH("prime256v1").generateKeys();
  const key = { kind: "ec", id: "03", point, z: new Uint8Array(32) } as const;
  const LAST_TRY = USUAL_FLAGS | 0x2_0000;

  test("is not spent on one that was given beforehand: A-36", async () => {
    const stub = await StubModule.make(await scratch(), {
      tokens: [{ label: "t", flags: LAST_TRY, keys: [key] }],
    });
    const access = { module: stub.module, env: {} };
    const unlock = byToken(access, { keyId: "03", pin: "123456" });
    await expect(createVault(await scratch(), { unlock })).rejects.toMatchObject({
      code: "COFFER_PIN_NOT_USABLE",
      details: { reason: "final-try" },
    });
    const { unlocker, asked } = tokenOf(access, { keyId: "03", pin: undefined });
    await expect(createVault(await scratch(), { unlock: unlocker })).rejects.toMatchObject({
      details: { reason: "pin" },
    });
    expect(asked).toEqual([]);
    expect(stub.logins()).toEqual([]);
  });

  test("is not spent where another program used one meanwhile, nor on another card", async () => {
    const stub = await StubModule.make(await scratch(), { tokens: [{ label: "t", keys: [key] }] });
    const access = { module: stub.module, env: {} };
    const typedWhile = (change: Parameters<StubModule["set"]>[0]): Unlocker =>
      byToken(access, {
        keyId: "03",
        pin: () => {
          stub.set(change);
          return "123456";
        },
      });
    const nearlyLocked = typedWhile({ tokens: [{ label: "t", flags: LAST_TRY, keys: [key] }] });
    await expect(createVault(await scratch(), { unlock: nearlyLocked })).rejects.toMatchObject({
      code: "COFFER_PIN_NOT_USABLE",
    });
    stub.set({ tokens: [{ label: "t", keys: [key] }] });
    const swapped = typedWhile({ tokens: [{ label: "other", keys: [key] }] });
    await expect(createVault(await scratch(), { unlock: swapped })).rejects.toMatchObject({
      code: "COFFER_TOKEN_REMOVED",
    });
    expect(stub.logins()).toEqual([]);
  });
});

describe("the helper's process", () => {
  test("tells of its work, and serves four unlocks at once, one after another", async () => {
    const events: string[] = [];
    const onOperating = ({ label }: { label: string }): void => void events.push(label);
    const roots = await Promise.all([1, 2, 3, 4].map(() => scratch()));
    await Promise.all(
      roots.map(async (root) => {
        const unlock = byToken(hsm, { tokenLabel: "first", onOperating });
        const { vault } = await createVault(root, { unlock, recoveryCode: false });
        await vault.close();
      }),
    );
    expect(events).toEqual(["first", "first", "first", "first"]);
    expect(await helpers()).toEqual([]);
  });

  test("ends with an abort, at the prompt and before, and the next unlock works", async () => {
    const abort = new AbortController();
    const reason = new Error("never mind");
    let seen: AbortSignal | undefined;
    const pin = (_request: unknown, unneeded: AbortSignal): Promise<string> => {
      seen = unneeded;
      setTimeout(() => abort.abort(reason), 20);
      return new Promise(() => undefined);
    };
    await expect(
      openVault(directory, { unlock: byToken(hsm, { tokenLabel: "first", pin }), signal: abort.signal }),
    ).rejects.toBe(reason);
    expect(seen?.aborted).toBe(true);
    expect(await helpers()).toEqual([]);
    const early = byToken(hsm, { tokenLabel: "first", signal: AbortSignal.abort(reason) });
    await expect(opened(early)).rejects.toBe(reason);
    await opened(byToken(hsm, { tokenLabel: "first" }));
  });

  test("ends when its time is over; the time at the prompt is the person's own", async () => {
    const slow = byToken(hsm, { tokenLabel: "first", timeoutMs: 1 });
    await expect(opened(slow)).rejects.toMatchObject({ code: "COFFER_TIMEOUT", retryable: true });
    const pin = async (): Promise<string> => {
      await new Promise((resolve) => setTimeout(resolve, 2100));
      return PIN;
    };
    await opened(byToken(hsm, { tokenLabel: "first", timeoutMs: 2000, pin }));
  });

  test("ends with its parent, at the prompt as well", async () => {
    const source = `
      const { pkcs11, openVault } = await import(${JSON.stringify(distUrl("index.js"))});
      const pin = () => (console.log("asked"), new Promise(() => setInterval(() => 0, 1000)));
      await openVault(process.argv[1], { unlock: pkcs11({ ...JSON.parse(process.argv[2]), tokenLabel: "first", pin }) });`;
    const { child, line } = await startModule(source, [directory, JSON.stringify(hsm)]);
    expect(line).toBe("asked");
    expect((await helpers()).length).toBe(1);
    await kill(child);
    await expect.poll(helpers, { timeout: 3000 }).toEqual([]);
  });

  test("ends with its parent while its module hangs", async () => {
    const stub = await StubModule.make(await scratch(), {
      tokens: [{ label: "t" }],
      rules: [{ call: "C_Initialize", does: "hang" }],
    });
    const source = `
      const { listTokens } = await import(${JSON.stringify(distUrl("index.js"))});
      console.log("listing");
      await listTokens({ module: process.argv[1] });`;
    const { child } = await startModule(source, [stub.module]);
    const pid = await stub.began("C_Initialize");
    await kill(child);
    const isRunning = (): boolean => existsSync(`/proc/${pid}`);
    await expect.poll(isRunning, { timeout: 5000 }).toBe(false);
  });

  test("is started by the application's hook, over Electron's port too", async () => {
    const shim = join(await scratch(), "port.mjs");
    await writeFile(
      shim,
      `const listeners = [];
       process.parentPort = {
         on: (_name, listener) => void process.on("message", (data) => listener({ data })),
         postMessage: (message) => process.send(message),
       };`,
    );
    const started: { script: string; env: Readonly<Record<string, string>> }[] = [];
    let child: ChildProcess | undefined;
    const spawnHelper: SpawnHelper = (start) => {
      started.push(start);
      const forked = fork(start.script, [], {
        serialization: "advanced",
        env: start.env,
        execArgv: ["--import", shim],
      });
      child = forked;
      return {
        send: (message) => void forked.send(message as object),
        onMessage: (listener) => void forked.on("message", listener),
        onExit: (listener) => void forked.on("close", listener),
        kill: () => void forked.kill("SIGKILL"),
      };
    };
    await opened(byToken(hsm, { tokenLabel: "first", spawnHelper }));
    expect(started.map(({ script }) => script)).toEqual([HELPER]);
    expect(started[0]?.env).toMatchObject(hsm.env);
    expect(child?.exitCode ?? child?.signalCode).not.toBeNull();
  });

  test("that says nonsense, or ends at once, is an error and not a hang", async () => {
    const script = join(await scratch(), "helper.mjs");
    await writeFile(script, "process.on('message', () => process.send({ kind: 'secret', secret: 'text' }));");
    const crashed = { code: "COFFER_PKCS11_MODULE_CRASHED", retryable: true };
    const nonsense = byToken(hsm, { spawnHelper: (start) => stdioIpc(script, start.env) });
    await expect(opened(nonsense)).rejects.toMatchObject(crashed);
    await writeFile(script, "process.exit(3);");
    const gone = byToken(hsm, { spawnHelper: (start) => stdioIpc(script, start.env) });
    await expect(opened(gone)).rejects.toMatchObject({ ...crashed, details: { end: "3" } });
    const broken = byToken(hsm, {
      spawnHelper: () => {
        throw new Error("no process here");
      },
    });
    await expect(opened(broken)).rejects.toThrow("no process here");
  });
});

function stdioIpc(script: string, env: Readonly<Record<string, string>>): ReturnType<SpawnHelper> {
  const forked = fork(script, [], {
    serialization: "advanced",
    env,
    execArgv: [],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return {
    send: (message) => void forked.send(message as object, () => undefined),
    onMessage: (listener) => void forked.on("message", listener),
    onExit: (listener) => void forked.on("close", listener),
    kill: () => void forked.kill("SIGKILL"),
  };
}

describe("the module", () => {
  test("that is missing, no library, no module, or changeable by others is told apart", async () => {
    const folder = await scratch();
    const text = join(folder, "text.so");
    await writeFile(text, "not a library at all");
    const failed = async (module: string): Promise<unknown> => {
      const error = await opened(byToken({ ...hsm, module })).catch((error: unknown) => error as CofferError);
      expect(error).toMatchObject({ code: "COFFER_PKCS11_MODULE_LOAD_FAILED" });
      return error?.reason;
    };
    expect(await failed(join(folder, "missing.so"))).toBe("missing");
    expect(await failed(folder)).toBe("no-library");
    expect(await failed(text)).toBe("no-library");
    expect(await failed("/lib/x86_64-linux-gnu/libm.so.6")).toBe("no-module");
    const open = join(folder, "open.so");
    await copyFile(SOFTHSM, open);
    await chmod(open, 0o666);
    expect(await failed(open)).toBe("untrusted");
    await chmod(open, 0o600);
    await opened(byToken({ ...hsm, module: open }, { tokenLabel: "first" }));
    const shared = join(folder, "shared");
    await mkdir(shared);
    await copyFile(SOFTHSM, join(shared, "module.so"));
    await chmod(shared, 0o777);
    expect(await failed(join(shared, "module.so"))).toBe("untrusted");
  });

  test("that does not start is told, with what may be missing", async () => {
    const access = { module: SOFTHSM, env: { SOFTHSM2_CONF: join(await scratch(), "none.conf") } };
    await expect(opened(byToken(access))).rejects.toMatchObject({ code: "COFFER_PKCS11_MODULE_INIT_FAILED" });
  });

  test("without a token says so", async () => {
    await expect(opened(byToken(await softHsm(await scratch())))).rejects.toMatchObject({
      code: "COFFER_TOKEN_NOT_PRESENT",
      retryable: true,
    });
  });
});

/** Changes a slot in both copies, with a good public checksum: what anybody who writes the directory can do. */
async function alterHeader(change: (header: Buffer) => void): Promise<string> {
  const folder = await scratch();
  const { vault } = await createVault(folder, {
    unlock: byToken(hsm, { tokenLabel: "first" }),
    recoveryCode: false,
  });
  await vault.close();
  for (const name of ["header.0", "header.1"]) {
    const bytes = await readFile(join(folder, name));
    change(bytes);
    digest("sha256", bytes.subarray(0, -32)).forEach((byte, index) => {
      bytes[bytes.length - 32 + index] = byte;
    });
    await writeFile(join(folder, name), bytes);
  }
  return folder;
}

describe("a header that somebody altered", () => {
  /** Where the exchange of the only slot begins: before its seal and its label. */
  const exchangeAt = (header: Buffer): number => {
    const at = 66 + header.readUInt16BE(64) - 65;
    expect(header[at]).toBe(4);
    return at;
  };

  test("shows the token no point off the curve, and asks for no PIN [F-147]", async () => {
    const folder = await alterHeader((header) => {
      const at = exchangeAt(header);
      header[at + 40] = (header[at + 40] as number) ^ 1;
    });
    const { unlocker, asked } = tokenOf(hsm);
    await expect(openVault(folder, { unlock: unlocker })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
      details: { field: "token" },
    });
    expect(asked).toEqual([]);
  });

  test("with another good point is found out by the seal, not by the module [F-168]", async () => {
    const folder = await alterHeader((header) => {
      const at = exchangeAt(header);
      // The generator of P-256.
      const g =
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
      Buffer.from(g, "hex").copy(header, at);
    });
    await expect(openVault(folder, { unlock: byToken(hsm) })).rejects.toMatchObject({
      code: "COFFER_TOKEN_OPERATION_FAILED",
      details: { reason: "seal" },
    });
  });

  test("with a slot of another vault is found out by the seal", async () => {
    const folder = await alterHeader((header) => {
      // The vault's id, which every slot is bound to.
      header[16] = (header[16] as number) ^ 1;
    });
    await expect(openVault(folder, { unlock: byToken(hsm) })).rejects.toMatchObject({
      code: "COFFER_TOKEN_OPERATION_FAILED",
      details: { reason: "seal" },
    });
  });

  test("with another form of the public key is damaged [F-145]", async () => {
    const folder = await alterHeader((header) => {
      // secp256k1 for P-256 in the SubjectPublicKeyInfo.
      const at = header.indexOf(Buffer.from("2a8648ce3d030107", "hex"));
      header[at + 7] = 6;
    });
    const { unlocker, asked } = tokenOf(hsm);
    await expect(openVault(folder, { unlock: unlocker })).rejects.toMatchObject({ code: "COFFER_DAMAGED" });
    expect(asked).toEqual([]);
  });
});

describe("encrypted files", () => {
  test("are made for a token, shared with one, and opened without any vault", async () => {
    const folder = await scratch();
    const at = (name: string): string => join(folder, name);
    await writeFile(at("plain"), "attack at dawn");
    await encryptFile(at("plain"), at("made.cof"), { unlock: byToken(hsm, { tokenLabel: "first" }) });
    await decryptFile(at("made.cof"), at("made.out"), { unlock: byToken(hsm) });
    expect(await readFile(at("made.out"), "utf8")).toBe("attack at dawn");
    await expect(
      decryptFile(at("made.cof"), at("none"), { unlock: byToken(hsm, { tokenLabel: "second" }) }),
    ).rejects.toMatchObject({ code: "COFFER_TOKEN_KEY_NOT_FOUND" });

    const vault = await openVault(directory, { unlock: phrase() });
    await vault.encryptFile(at("plain"), at("shared.cof"));
    for (const [tokenLabel, pin] of [
      ["first", PIN],
      ["second", "another-pin"],
    ] as const) {
      await vault.shareFile(at("shared.cof"), { with: byToken(hsm, { tokenLabel, pin }) });
    }
    await vault.close();
    expect((await fileInfo(at("shared.cof"))).entries.map(({ kind }) => kind)).toEqual([
      "key",
      "pkcs11",
      "pkcs11",
    ]);
    const second = byToken(hsm, { tokenLabel: "second", pin: "another-pin" });
    await decryptFile(at("shared.cof"), at("shared.out"), { unlock: second });
    expect(await readFile(at("shared.out"), "utf8")).toBe("attack at dawn");
  });
});

test("a token that opens alone is warned of, unless an anchor vouches or a passphrase is needed too", async () => {
  const vouch = /token alone/u;
  const folder = await scratch();
  const notices: string[] = [];
  const onWarning = ({ message }: { message: string }): void => void notices.push(message);
  const made = await createVault(folder, { unlock: byToken(hsm, { tokenLabel: "first" }), onWarning });
  expect(notices.filter((message) => vouch.test(message)).length).toBe(1);
  made.vault.on("warning", onWarning);
  await made.vault.slots.add(byToken(hsm, { tokenLabel: "first" }));
  expect(notices.filter((message) => vouch.test(message)).length).toBe(2);
  const anchor = await made.vault.anchor();
  await made.vault.close();
  notices.length = 0;
  const vault = await openVault(folder, { unlock: byToken(hsm, { tokenLabel: "first" }), anchor, onWarning });
  vault.on("warning", onWarning);
  await vault.slots.add(byToken(hsm, { tokenLabel: "first" }));
  const [, slot] = await vault.slots.list();
  expect(slot?.kind).toBe("recovery");
  await vault.close();
  expect(notices.filter((message) => vouch.test(message))).toEqual([]);
});

test("the same key in two slots: the first that opens is enough", async () => {
  const folder = await scratch();
  const unlock = (): Unlocker => byToken(hsm, { tokenLabel: "first" });
  const { vault } = await createVault(folder, { unlock: unlock(), recoveryCode: false });
  await vault.slots.add(unlock());
  await vault.close();
  const { unlocker, asked } = tokenOf(hsm);
  await (await openVault(folder, { unlock: unlocker })).close();
  expect(asked.length).toBe(1);
});
