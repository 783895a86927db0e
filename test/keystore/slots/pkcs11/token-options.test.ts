import { inspect } from "node:util";
import { expect, test } from "vitest";
import { combined, listTokens, passphrase, pkcs11 } from "../../../../src/index.ts";
import { helperEnvironment } from "../../../../src/keystore/slots/pkcs11/helper-environment.ts";

const module = "/usr/lib/module.so";
const made = (options: object): unknown => pkcs11({ module, ...options });

test("options are checked by name and type", () => {
  expect(() => pkcs11(undefined as never)).toThrow(TypeError);
  for (const options of [
    { tokenlabel: "x" },
    { pin: 1234 },
    { module: 1 },
    { tokenLabel: "" },
    { tokenLabel: 1 },
    { uri: "pkcs11:token=a", serial: "1" },
    { uri: "pkcs11:token=a", keyId: "03" },
    { onWaiting: true },
    { spawnHelper: {} },
    { env: { A: 1 } },
    { trial: "no" },
    { signal: {} },
  ]) {
    expect(() => made(options), inspect(options)).toThrow(TypeError);
  }
  for (const options of [
    { keyId: "xyz" },
    { keyId: "" },
    { timeoutMs: 0 },
    { timeoutMs: 1e9 },
    { timeoutMs: 1.5 },
  ]) {
    expect(() => made(options), inspect(options)).toThrow(RangeError);
  }
});

test("a module is named by its absolute path and by nothing else: A-34", () => {
  for (const path of ["", "module.so", "./module.so", "../x/module.so", "/usr/lib/a\0.so"]) {
    expect(() => made({ module: path }), path).toThrow(expect.objectContaining({ reason: "module-path" }));
  }
  for (const uri of ["pkcs11:token=a?module-path=/tmp/evil.so", "pkcs11:module-name=evil"]) {
    expect(() => made({ uri })).toThrow(expect.objectContaining({ reason: "token-uri" }));
  }
});

test("an unlocker shows nothing, and serves once", async () => {
  const token = pkcs11({ module, pin: "a secret pin" });
  expect(token.kind).toBe("pkcs11");
  expect(inspect(token, { depth: 9, showHidden: true })).toBe("[Token]");
  expect(JSON.stringify(token)).not.toContain("secret");
  expect(combined(token, passphrase("x")).kind).toBe("combined");
});

test("a PIN that none can be is refused before any token is looked for", () => {
  for (const pin of ["", "12\u00003456", "1234\ud800", new Uint8Array(), Uint8Array.of(49, 0, 50)]) {
    expect(() => made({ pin })).toThrow(expect.objectContaining({ reason: "pin" }));
  }
});

test("listing takes no key and no PIN", async () => {
  for (const options of [{ pin: "1234" }, { keyId: "03" }, { onWaiting: () => undefined }]) {
    await expect(listTokens({ module, ...options })).rejects.toThrow("no such option");
  }
});

test("a helper's environment has what modules read, and nothing of the application", () => {
  process.env["COFFER_TEST_CANARY"] = "secret";
  process.env["SOFTHSM2_CONF"] = "/etc/softhsm2.conf";
  try {
    const environment = helperEnvironment({ MORE: "1" });
    expect(environment).toMatchObject({ SOFTHSM2_CONF: "/etc/softhsm2.conf", MORE: "1" });
    expect(Object.values(environment)).not.toContain("secret");
    for (const name of ["NODE_OPTIONS", "LD_PRELOAD", "COFFER_VAULT"])
      expect(environment).not.toHaveProperty(name);
  } finally {
    delete process.env["COFFER_TEST_CANARY"];
    delete process.env["SOFTHSM2_CONF"];
  }
});
