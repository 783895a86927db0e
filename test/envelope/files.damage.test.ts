import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { concat } from "../../src/bytes.ts";
import { openBeginning } from "../../src/envelope/beginning.ts";
import { vaultAccess } from "../../src/envelope/key-access.ts";
import { isCofferError } from "../../src/errors.ts";
import { FILE_SEGMENT_SIZES } from "../../src/formats/file.ts";
import { randomOf } from "../field/random.mjs";
import { report, sampleOf, SEED, TEST_TIMEOUT_MS, times } from "../field/scale.ts";
import { bytesOf, E, fileGround, holds, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();
const random = randomOf(SEED);
/** Head 512, two areas of 2,048, FLOE header 74. */
const AREA = 2048;
const BODY = 512 + 2 * AREA;
const SEGMENTS = BODY + 74;
const plaintext = pattern(2 * P + 1000);

let directory: string;
let file: Uint8Array;
/** Another file of the same length, key and context. */
let other: Uint8Array;

beforeAll(async () => {
  directory = await ground.scratch();
  const { source, encrypted } = await sourceIn(directory, plaintext);
  const encryptionContext = { app: "Apollo" };
  await ground.files.encryptFile(source, encrypted, { encryptionContext });
  file = await bytesOf(encrypted);
  await ground.files.encryptFile(source, encrypted, { encryptionContext, overwrite: true });
  other = await bytesOf(encrypted);
});

/** Decrypts and returns the error, after looking that nothing was left; undefined when it opened to the plaintext. */
async function refusal(bytes: Uint8Array): Promise<unknown> {
  const path = join(directory, "damaged");
  const target = join(directory, "out");
  await writeFile(path, bytes);
  const before = await namesIn(directory);
  try {
    await ground.files.decryptFile(path, target, {});
  } catch (error) {
    expect(await namesIn(directory)).toEqual(before);
    return error;
  }
  if (!(await holds(target, plaintext))) throw new Error("opened to something else");
  await rm(target);
  return undefined;
}

const flipped = (bytes: Uint8Array, ...places: readonly number[]): Uint8Array => {
  const copy = new Uint8Array(bytes);
  for (const at of places) copy[at] = (copy[at] as number) ^ 0x40;
  return copy;
};
const segment = (bytes: Uint8Array, position: number): Uint8Array =>
  bytes.subarray(SEGMENTS + position * E, Math.min(SEGMENTS + (position + 1) * E, bytes.length));
const withSegments = (...segments: readonly Uint8Array[]): Uint8Array =>
  concat(file.subarray(0, SEGMENTS), ...segments);
const isTyped = (error: unknown): boolean =>
  isCofferError(error, "COFFER_INVALID_CIPHERTEXT") || isCofferError(error, "COFFER_UNSUPPORTED_FORMAT");

/** All places of the file from one on. */
const placesFrom = (first: number): number[] =>
  Array.from({ length: file.length - first }, (_, i) => first + i);

describe("a file of three segments", { timeout: TEST_TIMEOUT_MS }, () => {
  test("is what the tests think it is", async () => {
    expect(file).toHaveLength(SEGMENTS + 2 * E + 1032);
    expect(await refusal(file)).toBeUndefined();
  });

  test("is refused with every byte of head and FLOE header changed [F-205] [F-214]", async () => {
    const access = vaultAccess(ground.host.kms());
    const fields = { access, context: undefined, report: () => undefined };
    const beginning = file.subarray(0, SEGMENTS);
    const places = [...Array(512).keys(), ...Array.from({ length: 74 }, (_, i) => BODY + i)];
    for (const at of places) {
      const bytes = flipped(beginning, at);
      const error: unknown = await openBeginning(bytes, fields).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      // Another segment length is found where the length is used.
      const isKnownSize = FILE_SEGMENT_SIZES.includes(new DataView(bytes.buffer).getUint32(12) - 32);
      if (!isTyped(error)) throw new Error(`byte ${at} (${String(isKnownSize)}): ${String(error)}`);
    }
    for (const at of [0, 8, 12, 16, 32, 36, 40, 48, 64, 511, BODY, BODY + 10, BODY + 73]) {
      expect(isTyped(await refusal(flipped(file, at))), `byte ${at}`).toBe(true);
    }
  });

  test("opens with any byte of one key area changed, and says so; not with both [F-212] [F-213] [F-219]", async () => {
    const access = vaultAccess(ground.host.kms());
    let reports = 0;
    const fields = { access, context: undefined, report: () => void (reports += 1) };
    const beginning = file.subarray(0, SEGMENTS);
    // Each byte of the content, and of the zeros after it some, in soak all.
    for (let at = 512; at < 512 + AREA; at += at < 512 + 200 ? 1 : times(31, 1)) {
      for (const place of [at, at + AREA]) {
        reports = 0;
        const opened = await openBeginning(flipped(beginning, place), fields);
        opened.segments.close();
        if (reports !== 1) throw new Error(`byte ${place} went unnoticed`);
      }
      const error: unknown = await openBeginning(flipped(beginning, at, at + AREA), fields).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      // A changed key id is one that this vault does not have.
      if (!isTyped(error) && !isCofferError(error, "COFFER_NOT_FOUND"))
        throw new Error(`byte ${at} of both: ${String(error)}`);
    }
    ground.notices.length = 0;
    expect(await refusal(flipped(file, 512))).toBeUndefined();
    expect(ground.notices).toMatchObject([{ type: "damage" }]);
  });

  test("is refused with a byte of its body changed, and the segment named [F-207]", async () => {
    const places = sampleOf(placesFrom(SEGMENTS), 40, random);
    for (const at of places) {
      const error = await refusal(flipped(file, at));
      expect(error, `byte ${at}`).toMatchObject({
        code: "COFFER_INVALID_CIPHERTEXT",
        details: { segment: Math.floor((at - SEGMENTS) / E) },
      });
    }
    report("files: a byte of the body changed", { cases: places.length, bad: 0 });
  });

  test("is refused in every field of every segment", async () => {
    for (const position of [0, 1, 2]) {
      const start = SEGMENTS + position * E;
      const end = start + segment(file, position).length;
      for (const at of [start, start + 3, start + 4, start + 15, start + 16, end - 17, end - 16, end - 1]) {
        expect(isTyped(await refusal(flipped(file, at))), `byte ${at}`).toBe(true);
      }
    }
  });

  test("is refused when cut anywhere [F-206]", async () => {
    const edges = [0, 1, 8, 9, 63, 64, 511, 512, BODY, SEGMENTS, SEGMENTS + E, SEGMENTS + 2 * E];
    const near = edges.flatMap((at) => [at - 1, at, at + 1, at + 31, at + 32]);
    const ends = [file.length - 1, file.length - 16, file.length - 1032];
    const cuts = new Set([...near, ...ends].filter((at) => at >= 0));
    for (const at of sampleOf(placesFrom(0), 20, random)) cuts.add(at);
    for (const length of cuts) {
      expect(isTyped(await refusal(file.slice(0, length))), `${length} bytes`).toBe(true);
    }
    report("files: cut anywhere", { cases: cuts.size, bad: 0 });
  });

  test("is refused with segments swapped, doubled, dropped or appended", async () => {
    const [a, b, c] = [segment(file, 0), segment(file, 1), segment(file, 2)];
    const cases = {
      swapped: [b, a, c],
      doubled: [a, a, b, c],
      "doubled last": [a, b, c, c],
      "dropped first": [b, c],
      "dropped inner": [a, c],
      "dropped last": [a, b],
      "last alone": [c],
      none: [],
      "a byte after": [a, b, c, Uint8Array.of(0)],
      "an empty end after": [a, b, c, new Uint8Array(32)],
      "an inner one twice": [a, b, b, c],
    };
    for (const [name, segments] of Object.entries(cases)) {
      expect(isTyped(await refusal(withSegments(...segments))), name).toBe(true);
    }
  });

  test("is refused with any part of another file", async () => {
    const [a, b, c] = [segment(file, 0), segment(file, 1), segment(file, 2)];
    const areas = (bytes: Uint8Array): Uint8Array => bytes.subarray(512, BODY);
    const cases = {
      segment: withSegments(segment(other, 0), b, c),
      "last segment": withSegments(a, b, segment(other, 2)),
      "all segments": withSegments(segment(other, 0), segment(other, 1), segment(other, 2)),
      "FLOE header": concat(file.subarray(0, BODY), other.subarray(BODY, SEGMENTS), a, b, c),
      body: concat(file.subarray(0, BODY), other.subarray(BODY)),
      "both key areas": concat(file.subarray(0, 512), areas(other), file.subarray(BODY)),
      head: concat(other.subarray(0, 512), file.subarray(512)),
      "head and key areas": concat(other.subarray(0, BODY), file.subarray(BODY)),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      expect(isTyped(await refusal(bytes)), name).toBe(true);
    }
    const one = concat(file.subarray(0, 512), other.subarray(512, 512 + AREA), file.subarray(512 + AREA));
    expect(await refusal(one)).toBeUndefined();
  });

  test("an existing destination survives every refusal, with overwrite too", async () => {
    const path = join(directory, "damaged");
    const target = join(directory, "kept");
    await writeFile(path, flipped(file, SEGMENTS + E + 100));
    await writeFile(target, "kept");
    await expect(ground.files.decryptFile(path, target, { overwrite: true })).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
    expect(await bytesOf(target)).toEqual(new TextEncoder().encode("kept"));
  });
});
