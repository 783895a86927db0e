/**
 * Known answers of the primitives, checked once before first use: a runtime whose cryptography computes something else
 * would write files that no other can read, or accept what it must refuse.
 * @module
 */
import { equal, fromHex } from "../bytes.ts";
import { NativeModuleMissingError } from "../errors.ts";
import { openGcm, sealGcm } from "./aes-gcm.ts";
import { expand } from "./hkdf.ts";
import { hmac } from "./hmac.ts";
import { open, sealWithSalt } from "./seal.ts";

const JEFE = Uint8Array.of(0x4a, 0x65, 0x66, 0x65);
const WHAT = new TextEncoder().encode("what do ya want for nothing?");
const JEFE_SHA256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
const JEFE_SHA512 =
  "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554" +
  "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
const FLOE_INFO =
  "00000001002000000020 808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f " +
  "4845414445525f5441473a 636f666665722f6578616d706c652f763100";
const FLOE_TAG = "2a09303cc507761f9aaf78508a7ccd32077fa4307fd1b8012b4c6f4523e5c0f3";
// GCM specification, test case 14.
const GCM_14 = "cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919";
const CONTEXT = "636f666665722f6578616d706c652f76310000 00";
const TEXT = "436f66666572";
const SEALED =
  "404142434445464748494a4b4c4d4e4f5051525354555657 " +
  "e4ce1da1752fc50a92806016e46f5ec7350df37dd9699c932fa1f94efb77fa6f " +
  "328dc9bcfd40 56878ed2f3ec2341dfea0c1422b9f53b";

/** What is checked. Others than the library's own are for tests. */
export interface CheckedPrimitives {
  readonly hmac: typeof hmac;
  readonly expand: typeof expand;
  readonly sealGcm: typeof sealGcm;
  readonly openGcm: typeof openGcm;
  readonly sealWithSalt: typeof sealWithSalt;
  readonly open: typeof open;
}

let outcome: NativeModuleMissingError | "passed" | undefined;

/**
 * Checks each primitive against known answers, the first time only; later calls repeat the outcome. Takes under 2 ms.
 * @throws NativeModuleMissingError if this runtime's cryptography gives wrong answers.
 */
export function selfTest(): void {
  if (outcome === undefined) {
    const failed = firstWrongAnswer({ hmac, expand, sealGcm, openGcm, sealWithSalt, open });
    outcome = failed === undefined ? "passed" : wrongAnswer(failed);
  }
  if (outcome !== "passed") throw outcome;
}

/** Returns the name of the first check that fails, or `undefined`. */
export function firstWrongAnswer(primitives: CheckedPrimitives): string | undefined {
  for (const [name, check] of CHECKS) {
    try {
      if (!check(primitives)) return name;
    } catch {
      return name;
    }
  }
  return undefined;
}

function wrongAnswer(check: string): NativeModuleMissingError {
  return new NativeModuleMissingError(
    `This runtime's cryptography gives wrong answers (${check}) and must not be used. ` +
      "Run the program with an official build of Node.js or Electron.",
    { details: { check } },
  );
}

type Check = (primitives: CheckedPrimitives) => boolean;

const CHECKS: readonly (readonly [name: string, check: Check])[] = [
  // RFC 4231, case 2.
  ["HMAC-SHA-256", (p) => answers(p.hmac("sha256", JEFE, WHAT), JEFE_SHA256)],
  ["HMAC-SHA-512", (p) => answers(p.hmac("sha512", JEFE, WHAT), JEFE_SHA512)],
  // docs/format.md: the worked values of FLOE (its header tag) and of SEAL.
  [
    "HKDF-Expand-SHA-384",
    (p) => answers(p.expand("sha384", sequence(0, 32), fromHex(FLOE_INFO), 32), FLOE_TAG),
  ],
  ["AES-256-GCM", (p) => answers(p.sealGcm(zeros(32), zeros(12), zeros(0), zeros(16)), GCM_14)],
  ["AES-256-GCM open", (p) => equal(p.openGcm(zeros(32), zeros(12), zeros(0), fromHex(GCM_14)), zeros(16))],
  ["AES-256-GCM refusal", (p) => refuses(() => p.openGcm(zeros(32), zeros(12), zeros(1), fromHex(GCM_14)))],
  [
    "SEAL",
    (p) =>
      answers(p.sealWithSalt(sequence(0, 32), sequence(64, 24), fromHex(CONTEXT), fromHex(TEXT)), SEALED),
  ],
  ["SEAL open", (p) => answers(p.open(sequence(0, 32), fromHex(CONTEXT), fromHex(SEALED)), TEXT)],
  ["SEAL refusal", (p) => refuses(() => p.open(sequence(0, 32), zeros(20), fromHex(SEALED)))],
];

function answers(bytes: Uint8Array, expected: string): boolean {
  return equal(bytes, fromHex(expected));
}

function refuses(attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch {
    return true;
  }
}

function zeros(lengthBytes: number): Uint8Array {
  return new Uint8Array(lengthBytes);
}

function sequence(first: number, lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => first + i);
}
