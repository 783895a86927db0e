import { expect, test } from "vitest";
import { COFFER_ERROR_CODES } from "../../../../src/errors.ts";
import { cryptokiName } from "../../../../src/keystore/slots/pkcs11/cryptoki-names.ts";
import { type HelperFailure, TOKEN_PROBLEMS } from "../../../../src/keystore/slots/pkcs11/helper-protocol.ts";
import { tokenError } from "../../../../src/keystore/slots/pkcs11/token-errors.ts";

const codeOf = (failure: Omit<HelperFailure, "kind">): string =>
  tokenError({ kind: "failed", ...failure }).code;

test.each([
  ["init", 0x5, "PKCS11_MODULE_INIT_FAILED"],
  ["init", 0x191, "PKCS11_MODULE_INIT_FAILED"],
  ["find", 0x190, "PKCS11_MODULE_INIT_FAILED"],
  ["find", 0x30, "TOKEN_NOT_PRESENT"],
  ["find", 0xe0, "TOKEN_NOT_PRESENT"],
  ["find", 0xe1, "TOKEN_NOT_PRESENT"],
  ["find", 0x3, "TOKEN_NOT_PRESENT"],
  ["find", 0x82, "TOKEN_OPERATION_FAILED"],
  ["login", 0xa0, "PIN_INCORRECT"],
  ["login", 0xa4, "PIN_LOCKED"],
  ["login", 0xa2, "PIN_LENGTH"],
  ["login", 0xa1, "PIN_LENGTH"],
  ["login", 0x7, "PIN_LENGTH"],
  ["login", 0xa3, "PIN_NOT_USABLE"],
  ["login", 0x102, "PIN_NOT_USABLE"],
  // Not a success: nobody has checked the PIN.
  ["login", 0x100, "TOKEN_OPERATION_FAILED"],
  ["login", 0x32, "TOKEN_REMOVED"],
  ["login", 0x50, "ABORTED"],
  ["operate", 0x101, "TOKEN_TOUCH_OR_POLICY"],
  ["operate", 0x63, "TOKEN_KEY_UNSUITABLE"],
  ["operate", 0x68, "TOKEN_KEY_UNSUITABLE"],
  ["operate", 0x70, "TOKEN_KEY_UNSUITABLE"],
  ["operate", 0x54, "TOKEN_KEY_UNSUITABLE"],
  ["operate", 0x6, "TOKEN_OPERATION_FAILED"],
  ["operate", 0x200, "ABORTED"],
  ["operate", 0x8000_0001, "TOKEN_OPERATION_FAILED"],
] as const)("%s answered by %i is %s", (stage, ckr, code) => {
  expect(codeOf({ stage, ckr })).toBe(`COFFER_${code}`);
});

test("what happened around a number decides too", () => {
  for (const ckr of [0x5, 0x30]) {
    expect(codeOf({ stage: "find", call: "C_GetSlotList", ckr })).toBe("COFFER_PKCS11_MODULE_INIT_FAILED");
  }
  expect(codeOf({ stage: "login", ckr: 0xa0, isLocked: true })).toBe("COFFER_PIN_LOCKED");
  expect(codeOf({ stage: "login", ckr: 0x30, isRemoved: true })).toBe("COFFER_TOKEN_REMOVED");
  expect(codeOf({ stage: "operate", ckr: 0x6, isRemoved: true })).toBe("COFFER_TOKEN_REMOVED");
  const slow = tokenError({ kind: "failed", stage: "operate", ckr: 0x6, elapsedMs: 15_000 });
  expect(slow.message).toContain("touched");
  const wrong = tokenError({ kind: "failed", stage: "login", ckr: 0xa0, isLow: true, isFinalTry: true });
  expect(wrong.message).toContain("One try is left");
  expect(wrong.details).toMatchObject({ low: true, finalTry: true, ckr: "CKR_PIN_INCORRECT" });
});

test("every problem and every stage has an error of the union, which says what to do", () => {
  for (const problem of TOKEN_PROBLEMS) {
    const error = tokenError({ kind: "failed", stage: "find", problem });
    expect(COFFER_ERROR_CODES).toContain(error.code);
    expect(error.message.split(". ").length, problem).toBeGreaterThan(1);
  }
  for (const stage of ["binding", "load", "init", "find", "login", "operate"] as const) {
    for (let ckr = 0; ckr < 0x210; ckr++) expect(COFFER_ERROR_CODES).toContain(codeOf({ stage, ckr }));
  }
});

test("a missing binding is told with the command that installs it", () => {
  const absent = tokenError({ kind: "failed", stage: "binding", problem: "binding-absent" });
  expect(absent.message).toContain("npm install pkcs11js");
  const unbuilt = tokenError({ kind: "failed", stage: "binding", problem: "binding-not-built" });
  expect(unbuilt.message).toContain("npm rebuild pkcs11js");
  expect([absent.code, unbuilt.code]).toEqual(Array(2).fill("COFFER_PKCS11_BINDING_MISSING"));
});

test("numbers have their names, and unknown ones stay numbers", () => {
  expect(cryptokiName(0xa0)).toBe("CKR_PIN_INCORRECT");
  expect(cryptokiName(0x8000_0001)).toBe("CKR 2147483649");
});
