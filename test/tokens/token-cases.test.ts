import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { newExchange, tokenKeyOfCertificate } from "../../src/crypto/token-public-key.ts";
import type { CofferError } from "../../src/errors.ts";
import type { PinQuestion } from "../../src/keystore/slots/pkcs11/helper-protocol.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import {
  ecKey,
  type PreparedKey,
  rsaKey,
  runTaskHere,
  STUB_PIN,
  targetOf,
  tokenWith,
  unlockTask,
} from "./stub-ground.ts";
import { type StubKey, StubModule, type StubRule, type StubToken, USUAL_FLAGS } from "./stub-module.ts";

const scratch = scratchDirectories();
const key = ecKey("03");
const rsaPair = rsaKey("04");
const { oaep, raw, ...rsaPublic } = rsaPair.key as Extract<StubKey, { kind: "rsa" }>;
const PIN_COUNT_LOW = 0x1_0000;

function stubWith(tokens: readonly StubToken[], ...rules: readonly StubRule[]): Promise<StubModule> {
  return scratch().then((folder) => StubModule.make(folder, { tokens, rules }));
}

function rsaWith(answers: { oaep?: Uint8Array | undefined; raw?: Uint8Array | undefined }): PreparedKey {
  return { ...rsaPair, key: { ...rsaPublic, ...answers } as StubKey };
}

interface Unlock {
  readonly error: CofferError | undefined;
  readonly secret: Uint8Array | undefined;
  readonly questions: readonly PinQuestion[];
}

/** Unlocks once with this PIN, which is what somebody types. @param meanwhile what happens while they do */
async function unlock(
  stub: StubModule,
  pin = STUB_PIN,
  prepared: PreparedKey = key,
  meanwhile: () => void = () => undefined,
): Promise<Unlock> {
  const questions: PinQuestion[] = [];
  const talk = {
    pin: (question: PinQuestion): Promise<Uint8Array> => {
      questions.push(question);
      meanwhile();
      return Promise.resolve(Buffer.from(pin));
    },
  };
  try {
    const result = await runTaskHere(stub, unlockTask(prepared), { talk });
    if (result.kind !== "secret") throw new Error(`the task ended with ${result.kind}`);
    return { error: undefined, secret: result.secret, questions };
  } catch (error) {
    return { error: error as CofferError, secret: undefined, questions };
  }
}

function expectSecret({ secret, error }: Unlock, prepared: PreparedKey = key): void {
  expect(error).toBeUndefined();
  expect(Buffer.from(secret ?? []).equals(prepared.secret)).toBe(true);
}

// Together: some of them wait.
describe.concurrent("a token", () => {
  describe("wrong PINs", () => {
    test("are counted by the token, told with each one, and not one more is sent than was typed", async () => {
      const stub = await stubWith([tokenWith("t", key)]);
      const first = await unlock(stub, "000001");
      expect(first.error).toMatchObject({
        code: "COFFER_PIN_INCORRECT",
        details: { low: true, finalTry: false },
      });
      const second = await unlock(stub, "000002");
      expect(second.questions).toMatchObject([{ isLow: true, isFinalTry: false }]);
      expect(second.error).toMatchObject({
        code: "COFFER_PIN_INCORRECT",
        details: { low: true, finalTry: true },
      });
      expect(second.error?.message).toContain("One try is left");
      const third = await unlock(stub, "000003");
      expect(third.questions).toMatchObject([{ isFinalTry: true }]);
      expect(third.error?.code).toBe("COFFER_PIN_LOCKED");
      // The right one comes too late, and nobody is asked for it.
      const late = await unlock(stub);
      expect(late.questions).toEqual([]);
      expect(late.error?.code).toBe("COFFER_PIN_LOCKED");
      expect(stub.logins()).toEqual([0, 0, 0]);
      expect(stub.answers("C_Login")).toEqual([0xa0, 0xa0, 0xa4]);
    });

    test("a right one in between gives the tries back", async () => {
      const stub = await stubWith([tokenWith("t", key)]);
      await unlock(stub, "000001");
      await unlock(stub, "000002");
      expectSecret(await unlock(stub));
      const again = await unlock(stub, "000003");
      expect(again.questions).toMatchObject([{ isLow: false, isFinalTry: false }]);
      expect(again.error).toMatchObject({ code: "COFFER_PIN_INCORRECT", details: { finalTry: false } });
    });

    test("the last one is told as a lock by a token that calls it incorrect", async () => {
      const stub = await stubWith([{ ...tokenWith("t", key), tries: 1, lockedCkr: 0xa0 }]);
      expect((await unlock(stub, "000001")).error).toMatchObject({
        code: "COFFER_PIN_LOCKED",
        details: { ckr: "CKR_PIN_INCORRECT" },
      });
    });

    test("a token that shows no flags locks without a word before, and is asked again each time", async () => {
      const stub = await stubWith([{ ...tokenWith("t", key), tries: 2, showsLow: false, showsFinal: false }]);
      const codes: (string | undefined)[] = [];
      for (const pin of ["000001", "000002", STUB_PIN]) {
        const { error, questions } = await unlock(stub, pin);
        expect(questions).toMatchObject([{ isLow: false, isFinalTry: false }]);
        codes.push(error?.code);
      }
      expect(codes).toEqual(["COFFER_PIN_INCORRECT", "COFFER_PIN_LOCKED", "COFFER_PIN_LOCKED"]);
      expect(stub.logins().length).toBe(3);
    });

    test.each(["", "123", "123456789", "äääää"])(
      "%j has no length of this token's, and is not sent",
      async (pin) => {
        const stub = await stubWith([{ ...tokenWith("t", key), minPinBytes: 4, maxPinBytes: 8 }]);
        const { error, questions } = await unlock(stub, pin);
        expect(questions).toMatchObject([{ minBytes: 4, maxBytes: 8 }]);
        expect(error).toMatchObject({ code: "COFFER_PIN_LENGTH", details: { minBytes: 4, maxBytes: 8 } });
        expect(stub.logins()).toEqual([]);
        expect(stub.calls().at(-1)).toBe("C_Finalize");
      },
    );

    test("eight bytes of UTF-8 fit where eight are the most", async () => {
      const pin = "ääää";
      expectSecret(await unlock(await stubWith([{ ...tokenWith("t", key), pin, maxPinBytes: 8 }]), pin));
    });
  });

  describe("who is logged in", () => {
    test("nobody, where the token wants no login: nobody is asked", async () => {
      const stub = await stubWith([{ ...tokenWith("t", key), flags: USUAL_FLAGS & ~0x4 }]);
      const ended = await unlock(stub);
      expectSecret(ended);
      expect(ended.questions).toEqual([]);
      expect(stub.calls()).not.toContain("C_Login");
    });

    test("somebody already is no success: the PIN was not looked at", async () => {
      const stub = await stubWith([tokenWith("t", key)], { call: "C_Login", does: { ckr: 0x100 } });
      expect((await unlock(stub, "000000")).error?.code).toBe("COFFER_TOKEN_OPERATION_FAILED");
      expect(stub.calls()).not.toContain("C_DeriveKey");
    });

    test("on a reader with its own keys nobody can be, and nobody is asked", async () => {
      const stub = await stubWith([{ ...tokenWith("t", key), flags: USUAL_FLAGS | 0x100 }]);
      const { error, questions } = await unlock(stub);
      expect(error).toMatchObject({ code: "COFFER_PIN_NOT_USABLE", details: { reason: "pinpad" } });
      expect(questions).toEqual([]);
    });
  });

  describe("a card that is pulled", () => {
    test("before, or held by another program, is not there", async () => {
      const stub = await stubWith([{ ...tokenWith("t", key), isPresent: false }]);
      const { error, questions } = await unlock(stub);
      expect(error).toMatchObject({ code: "COFFER_TOKEN_NOT_PRESENT", retryable: true });
      expect(questions).toEqual([]);
      // It was looked for three times.
      expect(stub.calls().filter((call) => call === "C_GetSlotList").length).toBeGreaterThanOrEqual(3);
    });

    test("and put in while it is looked for, is found", async () => {
      const stub = await stubWith([{ ...tokenWith("t", key), isPresent: false }]);
      const ended = unlock(stub);
      await stub.began("C_GetSlotList");
      stub.set({ tokens: [tokenWith("t", key)] });
      expectSecret(await ended);
    });

    test("at the prompt is told, and its PIN stays here", async () => {
      const stub = await stubWith([tokenWith("t", key)]);
      const pulled = (): void => stub.set({ tokens: [{ ...tokenWith("t", key), isPresent: false }] });
      expect((await unlock(stub, STUB_PIN, key, pulled)).error?.code).toBe("COFFER_TOKEN_REMOVED");
      expect(stub.logins()).toEqual([]);
    });

    test("and changed for another at the prompt: the other one is given no PIN", async () => {
      const stub = await stubWith([tokenWith("t", key)]);
      const changed = (): void => stub.set({ tokens: [tokenWith("other", key)] });
      expect((await unlock(stub, STUB_PIN, key, changed)).error?.code).toBe("COFFER_TOKEN_REMOVED");
      expect(stub.logins()).toEqual([]);
    });

    test("locked by another program at the prompt: no PIN is sent", async () => {
      const stub = await stubWith([tokenWith("t", key)]);
      const locked = (): void =>
        stub.set({ tokens: [{ ...tokenWith("t", key), flags: USUAL_FLAGS | 0x4_0000 }] });
      expect((await unlock(stub, STUB_PIN, key, locked)).error?.code).toBe("COFFER_PIN_LOCKED");
      expect(stub.logins()).toEqual([]);
    });

    test.each([
      ["C_Login", 0, 0x32],
      ["C_Login", 0, 0x30],
      ["C_DeriveKey", 0, 0x32],
      // The card's service sees it half a second later.
      ["C_DeriveKey", 400, 0x6],
      ["C_DeriveKey", 400, 0x5],
      ["C_DeriveKey", 400, 0xb3],
    ] as const)("during %s, seen after %i ms and answered with %i", async (call, vanishAfterMs, ckr) => {
      const stub = await stubWith(
        [tokenWith("t", key)],
        { call, does: { vanishAfterMs } },
        { call, does: { ckr } },
      );
      expect((await unlock(stub)).error).toMatchObject({ code: "COFFER_TOKEN_REMOVED", retryable: true });
      expect(stub.logins().length).toBe(1);
      expect(stub.calls().at(-1)).toBe("C_Finalize");
    });
  });

  describe("several tokens", () => {
    const other = ecKey("03");

    test("the PIN goes to the one with the key, whatever its place and name", async () => {
      const tokens = [tokenWith("same", other), tokenWith("same", key), tokenWith("same")];
      const stub = await stubWith(tokens);
      const ended = await unlock(stub);
      expectSecret(ended);
      expect(ended.questions.length).toBe(1);
      expect(stub.logins()).toEqual([1]);
    });

    test("none has the key: nobody is asked, and their names are told", async () => {
      const stub = await stubWith([tokenWith("one", other), tokenWith("two")]);
      const result = await runTaskHere(stub, unlockTask(key));
      expect(result).toEqual({ kind: "absent", present: [], seen: ["one", "two"] });
      expect(stub.logins()).toEqual([]);
    });

    test("the vault's other token is there: it is told, and not asked", async () => {
      const stub = await stubWith([tokenWith("two", other)]);
      const targets = [targetOf(key, "one"), targetOf(other, "two")];
      const result = await runTaskHere(stub, { kind: "unlock", targets, wanted: 0 });
      expect(result).toMatchObject({ kind: "absent", present: [1] });
      expect(stub.logins()).toEqual([]);
    });

    test("two with the same key: the one that was enrolled comes first", async () => {
      const stub = await stubWith([tokenWith("copy", key), tokenWith("first", key)]);
      const result = await runTaskHere(stub, {
        kind: "unlock",
        targets: [targetOf(key, "first")],
        wanted: 0,
      });
      expect(result).toMatchObject({ kind: "secret", token: { label: "first" } });
      expect(stub.logins()).toEqual([1]);
    });

    test("one that cannot be read does not hide another", async () => {
      const rules = [{ call: "C_OpenSession", nth: 1, does: { ckr: 0x30 } }] as const;
      const stub = await stubWith([tokenWith("broken", other), tokenWith("good", key)], ...rules);
      expectSecret(await unlock(stub));
      expect(stub.logins()).toEqual([1]);
    });

    test("a name filled up with zeros is the same name", async () => {
      const stub = await stubWith([{ ...tokenWith("vault", key), padding: "\0" }]);
      const result = await runTaskHere(stub, unlockTask(key), { label: "vault" });
      expect(result).toMatchObject({ kind: "secret", token: { label: "vault", serial: "vault" } });
    });
  });

  describe("what a module answers", () => {
    test("with a certificate alone, the key is known by it", async () => {
      const certificate = readFileSync(
        new URL("../../fixtures/crypto/token-certificate.bin", import.meta.url),
      );
      const publicKey = tokenKeyOfCertificate(certificate);
      if (publicKey === undefined) throw new Error("the certificate has no key of a slot's");
      expect(new X509Certificate(certificate).publicKey.asymmetricKeyType).toBe("ec");
      const { exchange, secret } = newExchange(publicKey, new Uint8Array(32));
      const shown: PreparedKey = {
        key: {
          kind: "ec",
          id: "03",
          point: publicKey.spki.slice(-65),
          z: secret,
          showsPublic: false,
          certificate,
        },
        publicKey,
        exchange,
        secret,
      };
      expectSecret(await unlock(await stubWith([tokenWith("t", shown)]), STUB_PIN, shown), shown);
    });

    test("a Z without its leading zeros is filled up", async () => {
      let short = key;
      while (short.secret[0] !== 0) short = { ...key, ...newExchange(key.publicKey, new Uint8Array(32)) };
      const cut: PreparedKey = {
        ...short,
        key: { ...key.key, z: short.secret.slice(1) } as StubKey,
      };
      expectSecret(await unlock(await stubWith([tokenWith("t", cut)]), STUB_PIN, cut), cut);
    });

    test("a Z that is too long is refused", async () => {
      const long: PreparedKey = { ...key, key: { ...key.key, z: new Uint8Array(33) } as StubKey };
      expect((await unlock(await stubWith([tokenWith("t", long)]), STUB_PIN, long)).error).toMatchObject({
        code: "COFFER_TOKEN_OPERATION_FAILED",
        details: { reason: "answer" },
      });
    });

    test.each(["oaep", "raw", "both"] as const)("RSA, of which the token has %s", async (mechanisms) => {
      const rsa = rsaWith(mechanisms === "raw" ? { raw } : mechanisms === "oaep" ? { oaep } : { oaep, raw });
      const stub = await stubWith([tokenWith("t", rsa)]);
      expectSecret(await unlock(stub, STUB_PIN, rsa), rsa);
      const inits = stub.entries().filter(({ call, ckr }) => call === "C_DecryptInit" && ckr === undefined);
      const tried = inits.map(({ details }) => /mechanism=(\w+)/u.exec(details)?.[1]);
      expect(tried).toEqual(mechanisms === "raw" ? ["0x9", "0x3"] : ["0x9"]);
      expect(stub.logins().length).toBe(1);
    });

    test.each([
      ["a message of another length", { oaep: new Uint8Array(31) }],
      ["an empty message", { oaep: new Uint8Array(0), raw: new Uint8Array(256) }],
      ["a block that is no OAEP", { raw: new Uint8Array(256).fill(1) }],
      ["a block that is too long", { raw: new Uint8Array(257) }],
    ])("RSA with %s is refused", async (_name, answers) => {
      const wrong = rsaWith(answers);
      const { error } = await unlock(await stubWith([tokenWith("t", wrong)]), STUB_PIN, wrong);
      expect(error?.code).toBe("COFFER_TOKEN_OPERATION_FAILED");
    });

    test("a failure after a long time speaks of the touch that may have been missed", async () => {
      const rules = [
        { call: "C_DeriveKey", does: { delayMs: 2050 } },
        { call: "C_DeriveKey", does: { ckr: 0x6 } },
      ] as const;
      const { error } = await unlock(await stubWith([tokenWith("t", key)], ...rules));
      expect(error?.code).toBe("COFFER_TOKEN_OPERATION_FAILED");
      expect(error?.message).toContain("touched");
    });
  });

  test("the flag of a token that has counted a wrong PIN is the module's own", async () => {
    const stub = await stubWith([{ ...tokenWith("t", key), flags: USUAL_FLAGS | PIN_COUNT_LOW }]);
    const { questions } = await unlock(stub);
    expect(questions).toMatchObject([{ isLow: true, isFinalTry: false }]);
  });
});
