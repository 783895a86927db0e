import { execFile } from "node:child_process";
import { createECDH, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import pkcs11js from "pkcs11js";
import { describe, expect, test } from "vitest";
import { scratchDirectories } from "../storage/scratch.ts";
import { type StubKey, StubModule, type StubState, type StubToken } from "./stub-module.ts";
import { tokenSoftware } from "./token-software.ts";

const scratch = scratchDirectories();
const ecdh = createECDH("prime256v1");
ecdh.generateKeys();
const z = randomBytes(32);
const message = randomBytes(32);
const modulus = randomBytes(256).fill(0xc5, 0, 1);
const EC: StubKey = { kind: "ec", id: "03", label: "a key", point: ecdh.getPublicKey(), z };
const RSA: StubKey = {
  kind: "rsa",
  id: "04",
  modulus,
  exponent: Buffer.of(1, 0, 1),
  oaep: message,
  raw: modulus,
};

await tokenSoftware();

async function started(state: StubState): Promise<{ stub: StubModule; p11: pkcs11js.PKCS11 }> {
  const stub = await StubModule.make(await scratch(), state);
  const p11 = new pkcs11js.PKCS11();
  p11.load(stub.module);
  p11.C_Initialize({ flags: 2 });
  return { stub, p11 };
}

function opened(p11: pkcs11js.PKCS11, at = 0): { slot: pkcs11js.Handle; session: pkcs11js.Handle } {
  const slot = p11.C_GetSlotList(true)[at];
  if (slot === undefined) throw new Error("no slot");
  return { slot, session: p11.C_OpenSession(slot, 4) };
}

function find(p11: pkcs11js.PKCS11, session: pkcs11js.Handle, objectClass: number): pkcs11js.Handle[] {
  p11.C_FindObjectsInit(session, [{ type: 0, value: objectClass }]);
  const found = p11.C_FindObjects(session, 20);
  p11.C_FindObjectsFinal(session);
  return found;
}

function ckrOf(use: () => unknown): number {
  try {
    use();
    return 0;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

const agreement = {
  mechanism: 0x1050,
  parameter: { type: pkcs11js.CK_PARAMS_EC_DH, kdf: 1, publicData: ecdh.getPublicKey() },
};

describe("the stub module", () => {
  test("shows its tokens and public keys, and its private ones after the login", async () => {
    const { stub, p11 } = await started({ tokens: [{ label: "one", serial: "77", keys: [EC, RSA] }] });
    const { slot, session } = opened(p11);
    expect(p11.C_GetTokenInfo(slot)).toMatchObject({ label: "one".padEnd(32), minPinLen: 4, maxPinLen: 8 });
    expect(find(p11, session, 2).length).toBe(2);
    expect(find(p11, session, 3).length).toBe(0);
    expect(ckrOf(() => p11.C_Login(session, 1, "654321"))).toBe(0xa0);
    p11.C_Login(session, 1, "123456");
    expect(ckrOf(() => p11.C_Login(session, 1, "123456"))).toBe(0x100);
    const [ec, rsa] = find(p11, session, 3);
    const [shown] = find(p11, session, 2);
    if (ec === undefined || rsa === undefined || shown === undefined) throw new Error("keys are missing");
    const [point] = p11.C_GetAttributeValue(session, shown, [{ type: 0x181 }]);
    expect(point?.value).toEqual(Buffer.concat([Buffer.of(4, 65), ecdh.getPublicKey()]));
    expect(ckrOf(() => p11.C_GetAttributeValue(session, shown, [{ type: 0x11 }]))).toBe(0x12);
    const derived = p11.C_DeriveKey(session, agreement, ec, []);
    expect(p11.C_GetAttributeValue(session, derived, [{ type: 0x11 }])[0]?.value).toEqual(z);
    expect(ckrOf(() => p11.C_DeriveKey(session, agreement, rsa, []))).toBe(0x63);
    p11.C_DecryptInit(session, { mechanism: 0x3 }, rsa);
    expect(p11.C_Decrypt(session, modulus, Buffer.alloc(256))).toEqual(modulus);
    p11.C_Logout(session);
    expect(ckrOf(() => p11.C_DeriveKey(session, agreement, ec, []))).toBe(0x101);
    p11.C_Finalize();
    expect(stub.logins()).toEqual([0, 0, 0]);
    expect(stub.answers("C_Login")).toEqual([0xa0, 0, 0x100]);
    const log = stub
      .entries()
      .map(({ details }) => details)
      .join("\n");
    expect(log).toContain("length=6");
    expect(log).not.toMatch(/123456|654321/u);
    expect(stub.calls().at(-1)).toBe("C_Finalize");
  });

  test("counts wrong PINs over processes, says so in its flags, and locks", async () => {
    const flagsOf = (p11: pkcs11js.PKCS11): number => p11.C_GetTokenInfo(opened(p11).slot).flags & 0x7_0000;
    const tokens: StubToken[] = [
      { label: "one" },
      { label: "two", tries: 1, lockedCkr: 0xa0, showsFinal: false },
    ];
    const { stub, p11 } = await started({ tokens });
    const { session } = opened(p11);
    for (const [pin, ckr, flags] of [
      ["12", 0xa2, 0],
      ["wrong1", 0xa0, 0x1_0000],
      ["wrong2", 0xa0, 0x3_0000],
      ["wrong3", 0xa4, 0x5_0000],
      ["123456", 0xa4, 0x5_0000],
    ] as const) {
      expect(ckrOf(() => p11.C_Login(session, 1, pin))).toBe(ckr);
      expect(flagsOf(p11)).toBe(flags);
    }
    const other = opened(p11, 1);
    expect(ckrOf(() => p11.C_Login(other.session, 1, "wrong1"))).toBe(0xa0);
    expect(ckrOf(() => p11.C_Login(other.session, 1, "123456"))).toBe(0xa4);
    expect(p11.C_GetTokenInfo(other.slot).flags & 0x7_0000).toBe(0x1_0000);
    p11.C_Finalize();
    const again = `
      const { PKCS11 } = require("pkcs11js");
      const p11 = new PKCS11();
      p11.load(process.argv[1]);
      p11.C_Initialize({ flags: 2 });
      console.log(p11.C_GetSlotList(true).map((slot) => p11.C_GetTokenInfo(slot).flags & 0x70000).join());`;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", again, stub.module]);
    expect(stdout.trim()).toBe("327680,65536");
  });

  test("answers what a rule says, at the call that it says, until it is told otherwise", async () => {
    const { stub, p11 } = await started({
      tokens: [{ label: "one", padding: "\0" }],
      rules: [
        { call: "C_GetTokenInfo", nth: 2, does: { ckr: 0x30 } },
        { call: "C_OpenSession", does: { delayMs: 60 } },
        { call: "C_OpenSession", nth: 2, does: { ckr: 0x8000_0001 } },
      ],
    });
    const start = performance.now();
    const { slot } = opened(p11);
    expect(performance.now() - start).toBeGreaterThan(55);
    expect(p11.C_GetTokenInfo(slot).label).toBe("one".padEnd(32, "\0"));
    expect(ckrOf(() => p11.C_GetTokenInfo(slot))).toBe(0x30);
    expect(ckrOf(() => p11.C_GetTokenInfo(slot))).toBe(0);
    expect(ckrOf(() => p11.C_OpenSession(slot, 4))).toBe(0x8000_0001);
    stub.set({ rules: [{ call: "C_GetTokenInfo", does: { ckr: 0x6 } }] });
    expect(ckrOf(() => p11.C_GetTokenInfo(slot))).toBe(0x6);
    stub.set({ rules: [], tokens: [{ label: "one", isPresent: false }] });
    expect(p11.C_GetSlotList(true)).toEqual([]);
    expect(p11.C_GetSlotList(false).length).toBe(1);
    p11.C_Finalize();
  });

  test("loses its cards while they are used", async () => {
    const { p11 } = await started({
      tokens: [{ label: "one", keys: [EC] }],
      rules: [{ call: "C_Login", does: { vanishAfterMs: 0 } }],
    });
    const { slot, session } = opened(p11);
    expect(ckrOf(() => p11.C_Login(session, 1, "123456"))).toBe(0x32);
    expect(p11.C_GetSlotList(true)).toEqual([]);
    expect(ckrOf(() => p11.C_GetTokenInfo(slot))).toBe(0xe0);
    p11.C_Finalize();
  });

  test("shows a key by its certificate alone, and encrypts with an AES key", async () => {
    const certificate = randomBytes(300);
    const { p11 } = await started({
      tokens: [
        {
          label: "one",
          flags: 0x400,
          keys: [
            { ...EC, showsPublic: false, certificate },
            { kind: "aes", id: "06" },
          ],
        },
      ],
    });
    const { session } = opened(p11);
    expect(find(p11, session, 2)).toEqual([]);
    const [shown] = find(p11, session, 1);
    const [aes] = find(p11, session, 4);
    if (shown === undefined || aes === undefined) throw new Error("objects are missing");
    expect(p11.C_GetAttributeValue(session, shown, [{ type: 0x11 }])[0]?.value).toEqual(certificate);
    const gcm = {
      mechanism: 0x1087,
      parameter: { type: pkcs11js.CK_PARAMS_AES_GCM_v240, iv: Buffer.alloc(12), ivBits: 96, tagBits: 128 },
    };
    p11.C_EncryptInit(session, gcm, aes);
    const sealed = p11.C_Encrypt(session, Buffer.from("text"), Buffer.alloc(20));
    expect(sealed.length).toBe(20);
    p11.C_DecryptInit(session, gcm, aes);
    expect(p11.C_Decrypt(session, sealed, Buffer.alloc(20)).toString()).toBe("text");
    p11.C_DecryptInit(session, gcm, aes);
    expect(ckrOf(() => p11.C_Decrypt(session, Buffer.alloc(20), Buffer.alloc(20)))).toBe(0x40);
    p11.C_Finalize();
  });

  test.each([
    ["abort", "SIGABRT"],
    ["segv", "SIGSEGV"],
    [{ exit: 7 }, 7],
  ] as const)("ends its process: %j", async (does, end) => {
    const rules = [{ call: "C_GetSlotList", does } as const];
    const stub = await StubModule.make(await scratch(), { tokens: [{ label: "one" }], rules });
    const source = `
      const { PKCS11 } = require("pkcs11js");
      const p11 = new PKCS11();
      p11.load(process.argv[1]);
      p11.C_Initialize({ flags: 2 });
      p11.C_GetSlotList(true);`;
    await expect(promisify(execFile)(process.execPath, ["-e", source, stub.module])).rejects.toMatchObject(
      typeof end === "string" ? { signal: end } : { code: end },
    );
    expect(stub.calls()).toEqual(["C_Initialize", "C_GetSlotList"]);
  });
});
