import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseHeader, parseSlot } from "../../src/formats/header.ts";
import { createVault, openVault, type Unlocker } from "../../src/index.ts";
import type { HelperResult } from "../../src/keystore/slots/pkcs11/helper-process.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import { byToken } from "../keystore/slots/pkcs11/token-ground.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { ecKey, runTask, STUB_PIN, type TaskOptions, tokenWith, unlockTask } from "./stub-ground.ts";
import { StubModule, type StubRule } from "./stub-module.ts";

const scratch = scratchDirectories();
const CHEAP = { cost: { memoryKiB: 64, passes: 1, lanes: 1 }, floor: { memoryKiB: 8, passes: 1 } };
const key = ecKey("03");
const tokens = [tokenWith("t", key)];

async function stubWith(...rules: readonly StubRule[]): Promise<StubModule> {
  return StubModule.make(await scratch(), { tokens, rules });
}

function unlock(stub: StubModule, options: TaskOptions = {}): Promise<HelperResult> {
  return runTask(stub, unlockTask(key), options);
}

function expectSecret(result: HelperResult): void {
  expect(result.kind === "secret" && Buffer.from(result.secret).equals(key.secret)).toBe(true);
}

/** Every process that used the module has ended, the same moment that its task has. */
function expectNobodyLeft(stub: StubModule): void {
  const pids = new Set(stub.entries().map(({ pid }) => pid));
  expect(pids.size).toBeGreaterThan(0);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
}

/** A vault that opens by the stub's token, and by a passphrase. */
async function vaultOn(stub: StubModule): Promise<string> {
  const directory = await scratch();
  const token = byToken({ module: stub.module, env: {} }, { trial: false });
  const { vault } = await createVault(directory, { unlock: token, recoveryCode: false });
  await vault.slots.add(passphrase());
  await vault.close();
  const { slots } = parseHeader(await readFile(join(directory, "header.0")));
  const [fields] = slots.map((slot) => parseSlot(slot).header.fields).filter(({ kind }) => kind === "pkcs11");
  if (fields?.kind !== "pkcs11") throw new Error("the vault has no token slot");
  const z = key.agree(fields.exchange);
  stub.set({ tokens: [{ ...tokenWith("t", key), keys: [{ ...key.key, z } as typeof key.key] }] });
  return directory;
}

function passphrase(): Unlocker {
  return passphraseWith("correct horse", CHEAP);
}

// Together: most of them wait.
describe.concurrent("the token helper's process", () => {
  describe("a module that hangs", () => {
    test.each(["C_Initialize", "C_Login", "C_DeriveKey"] as const)(
      "in %s is ended when its time is over, and the next unlock works",
      async (call) => {
        const stub = await stubWith({ call, does: "hang" });
        const ended = unlock(stub, { timeoutMs: 4000 });
        await expect(ended).rejects.toMatchObject({ code: "COFFER_TIMEOUT", retryable: true });
        expect(stub.calls().at(-1)).toBe(call);
        expectNobodyLeft(stub);
        stub.set({ rules: [] });
        expectSecret(await unlock(stub));
        // The one that hung and the one that worked: no PIN was tried by itself.
        expect(stub.logins().length).toBe(call === "C_Initialize" ? 1 : 2);
      },
    );

    test("is ended by an abort at once", async () => {
      const stub = await stubWith({ call: "C_DeriveKey", does: "hang" });
      const abort = new AbortController();
      const reason = new Error("the passphrase it is, then");
      const ended = unlock(stub, { signal: abort.signal }).catch((error: unknown) => error);
      await stub.began("C_DeriveKey");
      const start = performance.now();
      abort.abort(reason);
      expect(await ended).toBe(reason);
      // Milliseconds where nothing else runs.
      expect(performance.now() - start).toBeLessThan(500);
      expectNobodyLeft(stub);
    });

    test("after its answer does not take the answer back", async () => {
      const stub = await stubWith({ call: "C_Finalize", does: "hang" });
      expectSecret(await unlock(stub));
      expect(stub.calls().at(-1)).toBe("C_Finalize");
      expectNobodyLeft(stub);
    });
  });

  describe("a module that crashes", () => {
    test.each([
      ["C_Initialize", "abort", "SIGABRT"],
      ["C_Login", "segv", "SIGSEGV"],
      ["C_DeriveKey", "segv", "SIGSEGV"],
      ["C_DeriveKey", { exit: 3 }, "3"],
    ] as const)("in %s by %j is an error, and no more", async (call, does, end) => {
      const stub = await stubWith({ call, does });
      await expect(unlock(stub)).rejects.toMatchObject({
        code: "COFFER_PKCS11_MODULE_CRASHED",
        details: { end },
      });
      expect(stub.logins().length).toBe(call === "C_Initialize" ? 0 : 1);
      expectNobodyLeft(stub);
    });

    test("after its answer does not take the answer back", async () => {
      const stub = await stubWith({ call: "C_Finalize", does: "segv" });
      expectSecret(await unlock(stub));
      expectNobodyLeft(stub);
    });

    test("or is killed at the prompt is an error, and the prompt is told", async () => {
      const stub = await stubWith();
      let unneeded: AbortSignal | undefined;
      const pin = (_question: unknown, signal: AbortSignal): Promise<Uint8Array> => {
        unneeded = signal;
        process.kill(stub.entries()[0]?.pid ?? 0, "SIGKILL");
        return new Promise(() => undefined);
      };
      await expect(unlock(stub, { talk: { pin } })).rejects.toMatchObject({
        code: "COFFER_PKCS11_MODULE_CRASHED",
        details: { end: "SIGKILL" },
      });
      expect(unneeded?.aborted).toBe(true);
    });
  });

  test("four unlocks at once on one module take their turns", async () => {
    const stub = await stubWith({ call: "C_DeriveKey", does: { delayMs: 20 } });
    for (const result of await Promise.all([1, 2, 3, 4].map(() => unlock(stub)))) expectSecret(result);
    const turns = stub.entries().map(({ pid }) => pid);
    const changes = turns.filter((pid, index) => pid !== turns[index - 1]);
    expect(changes.length).toBe(4);
    expect(stub.logins()).toEqual([0, 0, 0, 0]);
    expectNobodyLeft(stub);
  });

  describe("a vault", () => {
    test("waits for a touch, says so, and opens", async () => {
      const stub = await stubWith();
      const directory = await vaultOn(stub);
      stub.set({ rules: [{ call: "C_DeriveKey", does: { delayMs: 900 } }] });
      const events: string[] = [];
      const unlocker = byToken(
        { module: stub.module, env: {} },
        {
          pin: () => (events.push("pin"), STUB_PIN),
          onOperating: () => void events.push("operating"),
          onWaiting: () => void events.push("waiting"),
        },
      );
      await (await openVault(directory, { unlock: unlocker })).close();
      expect(events).toEqual(["pin", "operating", "waiting"]);
      stub.set({
        rules: [
          { call: "C_DeriveKey", does: { delayMs: 20 } },
          { call: "C_DeriveKey", does: { ckr: 0x101 } },
        ],
      });
      await expect(
        openVault(directory, { unlock: byToken({ module: stub.module, env: {} }, { pin: STUB_PIN }) }),
      ).rejects.toMatchObject({ code: "COFFER_TOKEN_TOUCH_OR_POLICY", retryable: true });
    });

    test("with two slots of one token sends a wrong PIN once", async () => {
      const stub = await stubWith();
      const directory = await vaultOn(stub);
      const access = { module: stub.module, env: {} };
      const vault = await openVault(directory, { unlock: passphrase() });
      await vault.slots.add(byToken(access, { trial: false }));
      await vault.close();
      const wrong = byToken(access, { pin: "000001" });
      await expect(openVault(directory, { unlock: wrong })).rejects.toMatchObject({
        code: "COFFER_PIN_INCORRECT",
        details: { low: true, finalTry: false },
      });
      expect(stub.logins()).toEqual([0]);
    });

    test("opens by another way in while the token hangs", async () => {
      const stub = await stubWith();
      const directory = await vaultOn(stub);
      stub.set({ rules: [{ call: "C_DeriveKey", does: "hang" }] });
      const abort = new AbortController();
      const token = byToken({ module: stub.module, env: {} }, { pin: STUB_PIN, signal: abort.signal });
      const hanging = openVault(directory, { unlock: token }).catch((error: unknown) => error);
      await stub.began("C_DeriveKey");
      abort.abort();
      expect(await hanging).toMatchObject({ name: "AbortError" });
      const vault = await openVault(directory, { unlock: passphrase() });
      await vault.close();
      expectNobodyLeft(stub);
    });
  });
});
