import fc from "fast-check";
import { expect, test } from "vitest";
import { isCofferError } from "../../../../src/errors.ts";
import { parseTokenUri } from "../../../../src/keystore/slots/pkcs11/token-uri.ts";

function refusal(uri: string): string {
  try {
    parseTokenUri(uri);
  } catch (error) {
    if (isCofferError(error, "COFFER_INVALID_ARGUMENT") && error.reason === "token-uri") return error.message;
    throw error;
  }
  throw new Error(`taken: ${uri}`);
}

test("a URI chooses by what it says of token, slot and key", () => {
  expect(
    parseTokenUri(
      "pkcs11:token=YubiKey%20PIV%20%2312345678;serial=12345678;manufacturer=Yubico%20%28www.yubico.com%29;model=YubiKey%20YK5;id=%03;type=private",
    ),
  ).toEqual({
    label: "YubiKey PIV #12345678",
    serial: "12345678",
    manufacturer: "Yubico (www.yubico.com)",
    model: "YubiKey YK5",
    keyId: Uint8Array.of(3),
  });
  expect(
    parseTokenUri("PKCS11:object=key;id=a%00%ff;slot-description=Reader%200;slot-manufacturer=x"),
  ).toEqual({
    keyLabel: "key",
    keyId: Uint8Array.of(0x61, 0, 255),
    slotDescription: "Reader 0",
    slotManufacturer: "x",
  });
  // Slot numbers change from one start to the next, and the library is the caller's.
  expect(parseTokenUri("pkcs11:slot-id=7;library-version=2;token=a")).toEqual({ label: "a" });
  expect(parseTokenUri("pkcs11:")).toEqual({});
});

test("one that carries a PIN or names a module is refused: A-34", () => {
  for (const query of [
    "pin-value=1234",
    "pin-source=file:x",
    "module-path=/tmp/evil.so",
    "module-name=evil",
  ]) {
    const message = refusal(`pkcs11:token=a?${query}`);
    expect(message).toContain(query.split("=")[0]);
    expect(message).not.toMatch(/1234|evil|file:/u);
  }
  expect(refusal("pkcs11:token=a?vendor=1")).toContain("vendor is not known");
  // In the path they are no less a trap.
  expect(refusal("pkcs11:module-path=/tmp/evil.so")).not.toContain("evil");
});

test("what is not understood is refused, as leaving it out would choose more", () => {
  for (const uri of [
    "",
    "token=a",
    "pkcs12:token=a",
    "pkcs11:token",
    "pkcs11:token=a;token=b",
    "pkcs11:tokn=a",
    "pkcs11:__proto__=a",
    "pkcs11:constructor=a",
    "pkcs11:token=%ff",
    "pkcs11:token=%f",
    "pkcs11:id=%0",
    "pkcs11:id=%zz",
    "pkcs11:id=ä",
    `pkcs11:token=${"a".repeat(3000)}`,
  ]) {
    expect(refusal(uri), uri).not.toContain("aaaa");
  }
});

test("any text and any id come back as they were written", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", minLength: 1 }),
      fc.uint8Array({ minLength: 1 }),
      (label, id) => {
        const percent = [...id].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
        const uri = `pkcs11:token=${encodeURIComponent(label)};id=${percent}`;
        expect(parseTokenUri(uri)).toEqual({ label, keyId: id });
      },
    ),
  );
});

test("no text at all is taken for anything but a URI or a refusal", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      try {
        parseTokenUri(`pkcs11:${text}`);
      } catch (error) {
        expect(isCofferError(error, "COFFER_INVALID_ARGUMENT")).toBe(true);
      }
    }),
  );
});
