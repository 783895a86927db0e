/**
 * Planted secrets. Every one begins with the same mark, so that one search finds any of them, in whatever shape:
 * tests look at what they provoke, and canary-watch.ts at all that the suite prints.
 * @module
 */

/** Not to be printed anywhere. */
const MARK = "PlantedSecret";
const MARK_BYTES: Uint8Array = new TextEncoder().encode(MARK);

/** Longest text in which one mark can hide: as an object's numbered members, with spaces. */
export const LONGEST_FORM = 512;

/** A secret text of its own; `name` tells where it was planted. */
export function canary(name: string): string {
  return `${MARK} ${name}`;
}

/** The same as bytes, `lengthBytes` of them. */
export function canaryBytes(name: string, lengthBytes = 32): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  const { written } = new TextEncoder().encodeInto(canary(name), bytes);
  for (let at = written; at < lengthBytes; at += 1) bytes[at] = at % 251;
  if (lengthBytes < MARK_BYTES.length) throw new RangeError("lengthBytes: too short for the mark");
  return bytes;
}

/** What shows bytes in a text: themselves, hexadecimal, Base64, and how Node and JSON write arrays and buffers. */
export function formsOf(secret: Uint8Array): RegExp {
  const bytes = Buffer.from(secret);
  const numbers = [...bytes].map(String);
  const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
  const forms = [
    escaped(bytes.toString("latin1")),
    escaped(bytes.toString("utf8")),
    pairs.map((pair) => `${pair}[\\s:]?`).join(""),
    numbers.map((number) => `(?<!\\d)${number}(?!\\d)`).join(",\\s*"),
    numbers.map((number) => `"?\\d+"?:\\s*${number}(?!\\d)`).join(",\\s*"),
    ...[0, 1, 2].flatMap((skipped) => base64Of(bytes.subarray(skipped))),
  ];
  return new RegExp(forms.join("|"), "iu");
}

const ANY_CANARY: RegExp = formsOf(MARK_BYTES);

/** True when a text shows a planted secret, whole or its beginning. */
export function showsCanary(text: string): boolean {
  return ANY_CANARY.test(text);
}

/** Only groups of three whole bytes: their characters are the same wherever they stand. */
function base64Of(bytes: Buffer): string[] {
  const whole = bytes.subarray(0, bytes.length - (bytes.length % 3));
  return ["base64", "base64url"].map((encoding) => escaped(whole.toString(encoding as "base64")));
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/gu, String.raw`\$&`);
}
