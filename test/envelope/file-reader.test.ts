import { rename, truncate, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { concat } from "../../src/bytes.ts";
import { nodeCalls } from "../../src/storage/file-system.ts";
import { bytesOf, E, fileGround, isSame, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();
const plaintext = pattern(3 * P + 1000);
const SEGMENTS = 512 + 4096 + 74;
let encrypted: string;
let file: Uint8Array;

beforeAll(async () => {
  const paths = await sourceIn(await ground.scratch(), plaintext);
  await ground.files.encryptFile(paths.source, paths.encrypted, {});
  encrypted = paths.encrypted;
  file = await bytesOf(encrypted);
});

async function gather(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return concat(...pieces);
}

describe("openFile", () => {
  test("for every range, read and stream give the plaintext's", async () => {
    const reader = await ground.files.openFile(encrypted, {});
    expect(reader.size).toBe(plaintext.length);
    const place = fc.oneof(
      fc.nat({ max: plaintext.length + 50 }),
      fc.constantFrom(0, P - 1, P, P + 1, 3 * P),
    );
    await fc.assert(
      fc.asyncProperty(place, fc.nat({ max: 2 * P + 5 }), async (offset, length) => {
        const expected = plaintext.subarray(offset, offset + length);
        expect(isSame(await reader.read(offset, length), expected)).toBe(true);
        expect(isSame(await gather(reader.stream({ start: offset, end: offset + length })), expected)).toBe(
          true,
        );
      }),
      { numRuns: 60 },
    );
    expect(isSame(await gather(reader.stream()), plaintext)).toBe(true);
    await reader.close();
  });

  test("what it gives out is the caller's own", async () => {
    const reader = await ground.files.openFile(encrypted, {});
    (await reader.read(0, 10)).fill(0);
    expect(isSame(await reader.read(0, 10), plaintext.subarray(0, 10))).toBe(true);
    await reader.close();
  });

  test("an empty file has size 0 and gives nothing", async () => {
    const paths = await sourceIn(await ground.scratch(), new Uint8Array(0));
    await ground.files.encryptFile(paths.source, paths.encrypted, {});
    const reader = await ground.files.openFile(paths.encrypted, {});
    expect(reader.size).toBe(0);
    expect(await reader.read(0, 10)).toHaveLength(0);
    expect(await gather(reader.stream())).toHaveLength(0);
    await reader.close();
  });

  test("reads at most two segments for 4 KiB anywhere", async () => {
    let bytesRead = 0;
    const files = ground.on({
      open: async (...args) => {
        const handle = await nodeCalls.open(...args);
        return {
          ...handle,
          read: async (buffer, position) => {
            const read = await handle.read(buffer, position);
            bytesRead += read;
            return read;
          },
        };
      },
    });
    const reader = await files.openFile(encrypted, {});
    bytesRead = 0;
    await reader.read(P - 2048, 4096);
    expect(bytesRead).toBe(2 * E);
    await reader.read(P - 2048, 4096);
    expect(bytesRead).toBe(2 * E);
    await reader.close();
  });

  test("tells no size before the last segment is authentic [F-206]", async () => {
    const paths = await sourceIn(await ground.scratch(), plaintext);
    for (const bytes of [
      file.slice(0, SEGMENTS + 3 * E),
      file.slice(0, -1),
      concat(file, new Uint8Array(E)),
    ]) {
      await writeFile(paths.encrypted, bytes);
      await expect(ground.files.openFile(paths.encrypted, {})).rejects.toMatchObject({
        code: "COFFER_INVALID_CIPHERTEXT",
      });
    }
  });

  test("a damaged inner segment fails its own ranges only, whole, and never ends a stream cleanly [F-207]", async () => {
    const paths = await sourceIn(await ground.scratch(), plaintext);
    const bytes = new Uint8Array(file);
    bytes[SEGMENTS + E + 500] = (bytes[SEGMENTS + E + 500] as number) ^ 1;
    await writeFile(paths.encrypted, bytes);
    const reader = await ground.files.openFile(paths.encrypted, {});
    expect(isSame(await reader.read(2 * P, P), plaintext.subarray(2 * P, 3 * P))).toBe(true);
    await expect(reader.read(P - 1, 2)).rejects.toMatchObject({ details: { segment: 1 } });
    const seen: Uint8Array[] = [];
    await expect(
      (async () => {
        for await (const piece of reader.stream()) seen.push(piece);
      })(),
    ).rejects.toMatchObject({ code: "COFFER_INVALID_CIPHERTEXT" });
    expect(isSame(concat(...seen), plaintext.subarray(0, P))).toBe(true);
    await reader.close();
  });

  test("a file that got shorter, later, is an error and not an end", async () => {
    const paths = await sourceIn(await ground.scratch(), plaintext);
    await writeFile(paths.encrypted, file);
    const reader = await ground.files.openFile(paths.encrypted, {});
    await truncate(paths.encrypted, SEGMENTS + E + 10);
    await expect(reader.read(P, 10)).rejects.toMatchObject({ code: "COFFER_SOURCE_CHANGED" });
    expect(reader.size).toBe(plaintext.length);
    await reader.close();
  });

  test("a file that is replaced goes on being read as it was", async () => {
    const paths = await sourceIn(await ground.scratch(), plaintext);
    await writeFile(paths.encrypted, file);
    const reader = await ground.files.openFile(paths.encrypted, {});
    await writeFile(paths.decrypted, "something else");
    await rename(paths.decrypted, paths.encrypted);
    expect(isSame(await reader.read(0, plaintext.length), plaintext)).toBe(true);
    await reader.close();
  });

  test("ranges that are none are refused", async () => {
    const reader = await ground.files.openFile(encrypted, {});
    await expect(reader.read(-1, 1)).rejects.toThrow(RangeError);
    await expect(reader.read(0, 1.5)).rejects.toThrow(RangeError);
    await expect(reader.read(0, Number.NaN)).rejects.toThrow(RangeError);
    expect(() => reader.stream({ start: 2, end: 1 })).toThrow(RangeError);
    await reader.close();
  });

  test("after close nothing is read, and close is idempotent", async () => {
    const reader = await ground.files.openFile(encrypted, {});
    const running = reader.read(0, plaintext.length);
    const stream = reader.stream();
    const closing = reader.close();
    await expect(running).rejects.toThrow("used after close");
    await closing;
    await reader.close();
    await expect(gather(stream)).rejects.toThrow("used after close");
    await expect(reader.read(0, 1)).rejects.toThrow("used after close");
    expect(JSON.stringify({ reader })).toBe('{"reader":"[FileReader]"}');
  });

  test("a lock ends it with COFFER_LOCKED", async () => {
    const reader = await ground.files.openFile(encrypted, {});
    ground.lock();
    await expect(reader.read(0, 1)).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    await reader.close();
  });
});
