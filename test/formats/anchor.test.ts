import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeAnchor, parseAnchor, verifyAnchorMac } from "../../src/formats/anchor.ts";
import { anchorKey } from "../../src/formats/key-schedule.ts";
import { counting } from "./changed-bytes.ts";

const vaultId = counting(0xa0, 16);
const kanchor = anchorKey(counting(0, 32), vaultId);
const fields = { vaultId, generation: 7, sequence: 42, auditNext: 0, auditHead: new Uint8Array(16) };
const worked =
  "coffer1.oKGio6SlpqeoqaqrrK2urwAAAAAAAAAHAAAAAAAAACoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAn6E9C0HmdqFnGP52MA4Ex";

test("an anchor is the worked text [F-150]", () => {
  expect(encodeAnchor(fields, kanchor)).toBe(worked);
  expect(worked).toHaveLength(104);
});

test("what was encoded is read again, and its MAC fits", () => {
  const number = fc.maxSafeNat();
  const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const any = fc.record({
    vaultId: bytes,
    generation: number,
    sequence: number,
    auditNext: number,
    auditHead: bytes,
  });
  fc.assert(
    fc.property(any, (given) => {
      const parsed = parseAnchor(encodeAnchor(given, kanchor));
      expect(parsed).toMatchObject(given);
      expect(verifyAnchorMac(parsed, kanchor)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("every changed character is refused, and so is another key [F-152]", () => {
  for (let at = 8; at < worked.length; at++) {
    const changed = worked.slice(0, at) + (worked[at] === "B" ? "C" : "B") + worked.slice(at + 1);
    let isRefused = false;
    try {
      isRefused = !verifyAnchorMac(parseAnchor(changed), kanchor);
    } catch {
      isRefused = true;
    }
    expect(isRefused, `character ${at}`).toBe(true);
  }
  expect(verifyAnchorMac(parseAnchor(worked), anchorKey(counting(1, 32), vaultId))).toBe(false);
});

test.each([
  ["empty", ""],
  ["cut", worked.slice(0, -1)],
  ["longer", `${worked}A`],
  ["with a line end", `${worked}\n`],
  ["of a later version", worked.replace("coffer1", "coffer2")],
  ["in the other Base64 alphabet", `${worked.slice(0, -1)}+`],
  ["with a number past the safe integers", `coffer1.${"_".repeat(96)}`],
])("a text that is %s is no anchor [F-151]", (_, text) => {
  expect(() => parseAnchor(text)).toThrow(
    expect.objectContaining({ code: "COFFER_INVALID_ARGUMENT", details: { reason: "anchor" } }),
  );
});
