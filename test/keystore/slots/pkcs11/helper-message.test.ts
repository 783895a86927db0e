import fc from "fast-check";
import { expect, test } from "vitest";
import { helperMessage } from "../../../../src/keystore/slots/pkcs11/helper-message.ts";
import type { HelperMessage } from "../../../../src/keystore/slots/pkcs11/helper-protocol.ts";

const token = { label: "t", serial: "1", manufacturer: "m", model: "x", slotName: "s" };
const key = { objectId: Uint8Array.of(3), label: "k", spki: Uint8Array.of(1, 2), hasCertificate: true };
const flags = { needsPin: true, isLow: false, isFinalTry: false, isLocked: false, isInitialized: true };
const mechanisms = { canAgree: true, canOaep: true, canRawRsa: false, canGcm: false };
const MESSAGES: readonly HelperMessage[] = [
  { kind: "pin", token, isLow: true, isFinalTry: false, minBytes: 4, maxBytes: 8 },
  { kind: "operating", token },
  { kind: "found", token, spki: Uint8Array.of(1), objectId: Uint8Array.of(2) },
  { kind: "secret", secret: new Uint8Array(32), token, mustChangePin: false },
  { kind: "wrapped", exchange: new Uint8Array(60), objectId: Uint8Array.of(2), token, mustChangePin: true },
  { kind: "absent", present: [0, 2], seen: ["a"] },
  { kind: "tokens", tokens: [{ token, ...flags, ...mechanisms, keys: [key] }] },
];

test.each(MESSAGES)("a $kind message comes through, its bytes on memory of their own", (message) => {
  const sent = structuredClone(message);
  expect(helperMessage(sent)).toEqual(message);
  if ("secret" in sent) expect(sent.secret.every((byte) => byte === 0)).toBe(true);
});

test("a failure keeps what is known of it", () => {
  const failure = { kind: "failed", stage: "login", ckr: 0xa0, call: "C_Login", token, isLow: true };
  expect(helperMessage({ ...failure, isFinalTry: false, more: "?" })).toMatchObject(failure);
});

test("a field that is missing or of another type spoils the message", () => {
  for (const message of MESSAGES) {
    for (const name of Object.keys(message)) {
      if (name === "maxBytes") continue;
      const { [name]: _gone, ...rest } = message as unknown as Record<string, unknown>;
      expect(helperMessage(rest), `${message.kind} without ${name}`).toBeUndefined();
      for (const other of [null, 1.5, "x", [], {}, new Date(0)]) {
        const given =
          name === "kind" ||
          (name === "seen" && Array.isArray(other)) ||
          (name === "present" && Array.isArray(other)) ||
          (name === "tokens" && Array.isArray(other));
        if (!given) expect(helperMessage({ ...message, [name]: other }), name).toBeUndefined();
      }
    }
  }
});

test("nothing else is a message, and nothing is believed beyond its bounds", () => {
  for (const value of [
    undefined,
    null,
    1,
    "secret",
    [],
    { kind: "other" },
    { kind: "failed", stage: "other" },
  ]) {
    expect(helperMessage(value)).toBeUndefined();
  }
  const secret = { kind: "secret", token, mustChangePin: false };
  expect(helperMessage({ ...secret, secret: new Uint8Array(8193) })).toBeUndefined();
  expect(
    helperMessage({ ...secret, secret: new Uint8Array(1), token: { ...token, label: "x".repeat(300) } }),
  ).toBeUndefined();
  expect(helperMessage({ kind: "absent", present: Array(300).fill(0), seen: [] })).toBeUndefined();
  expect(helperMessage({ kind: "absent", present: [-1], seen: [] })).toBeUndefined();
  expect(helperMessage({ kind: "failed", stage: "find", problem: "other" })).toBeUndefined();
  fc.assert(
    fc.property(fc.anything(), (value) => {
      expect(() => helperMessage(value)).not.toThrow();
    }),
  );
});
