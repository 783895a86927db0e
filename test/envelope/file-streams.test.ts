import { writeFile } from "node:fs/promises";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ReadableStream, WritableStream } from "node:stream/web";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { concat } from "../../src/bytes.ts";
import { VaultFiles } from "../../src/envelope/vault-files.ts";
import {
  bytesOf,
  EDGE_LENGTHS,
  fileGround,
  gather,
  holds,
  isSame,
  P,
  pattern,
  sourceIn,
  streamOf,
} from "./file-ground.ts";

const ground = fileGround();
const plaintext = pattern(2 * P + 1000);
let file: Uint8Array;

beforeAll(async () => {
  file = await gather(streamOf([plaintext]).pipeThrough(ground.files.encryptStream({})));
});

function* piecesOf(bytes: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** What came out before the stream ended, and how it ended. */
async function outcome(bytes: Iterable<Uint8Array>): Promise<{ out: Uint8Array; error: unknown }> {
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of streamOf(bytes).pipeThrough(ground.files.decryptStream({}))) pieces.push(piece);
  } catch (error) {
    return { out: concat(...pieces), error };
  }
  return { out: concat(...pieces), error: undefined };
}

describe("encryptStream and decryptStream", () => {
  test.each(EDGE_LENGTHS)("give back %i bytes, the same as files", async (length) => {
    const bytes = pattern(length);
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), bytes);
    const sealed = await gather(
      streamOf(piecesOf(bytes, 50_000)).pipeThrough(ground.files.encryptStream({})),
    );
    await writeFile(encrypted, sealed);
    await ground.files.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, bytes)).toBe(true);
    await ground.files.encryptFile(source, encrypted, { overwrite: true });
    const { out, error } = await outcome(piecesOf(await bytesOf(encrypted), 40_000));
    expect(error).toBeUndefined();
    expect(isSame(out, bytes)).toBe(true);
  });

  test("give back a source of one byte at a time, over the end of a segment", async () => {
    const bytes = pattern(P + 750);
    function* oneByOne(all: Uint8Array, from: number): Generator<Uint8Array> {
      yield all.subarray(0, from);
      yield* piecesOf(all.subarray(from), 1);
    }
    const sealed = await gather(
      streamOf(oneByOne(bytes, P - 750)).pipeThrough(ground.files.encryptStream({})),
    );
    for (const from of [0, sealed.length - 1500]) {
      const some = from === 0 ? piecesOf(sealed.subarray(0, 1500), 1) : oneByOne(sealed, from);
      const { out, error } = await outcome(some);
      if (from === 0) expect(error).toMatchObject({ code: "COFFER_INVALID_CIPHERTEXT" });
      else expect(error).toBeUndefined();
      expect(isSame(out, from === 0 ? new Uint8Array(0) : bytes)).toBe(true);
    }
  });

  test("for every way of cutting the source, the plaintext is the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 8 }),
        async (lengths) => {
          function* cut(): Generator<Uint8Array> {
            for (let at = 0, i = 0; at < file.length; i++) {
              const length = lengths[i % lengths.length] as number;
              yield file.subarray(at, at + length);
              at += length;
            }
          }
          if (Math.max(...lengths) < 500) return;
          const { out, error } = await outcome(cut());
          expect(error).toBeUndefined();
          expect(isSame(out, plaintext)).toBe(true);
        },
      ),
      { numRuns: 15 },
    );
  });

  test("take a Buffer whose memory is used again once it was written", async () => {
    const pair = ground.files.decryptStream({});
    const out = gather(pair.readable);
    const writer = pair.writable.getWriter();
    const memory = Buffer.alloc(1000);
    for (const piece of piecesOf(file, memory.length)) {
      memory.set(piece);
      await writer.write(memory.subarray(0, piece.length));
    }
    await writer.close();
    expect(isSame(await out, plaintext)).toBe(true);
  });

  test("work with node streams and async iterables", async () => {
    const collected: Buffer[] = [];
    const sink = new PassThrough();
    sink.on("data", (piece: Buffer) => collected.push(piece));
    const input = Readable.toWeb(Readable.from([plaintext])) as ReadableStream<Uint8Array>;
    await pipeline(
      Readable.fromWeb(
        input.pipeThrough(ground.files.encryptStream({})).pipeThrough(ground.files.decryptStream({})),
      ),
      sink,
    );
    expect(isSame(Buffer.concat(collected), plaintext)).toBe(true);
  });

  test("keep at most a few segments in memory when nobody reads", async () => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        controller.enqueue(new Uint8Array(P));
      },
    });
    const reader = endless.pipeThrough(ground.files.encryptStream({})).getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pulled).toBeLessThan(64);
    await reader.cancel();
  });
});

describe("what is wrong never ends a stream cleanly [F-206] [F-207]", () => {
  const INVALID = { code: "COFFER_INVALID_CIPHERTEXT" };

  test("a changed byte gives a true prefix of whole segments, then the error", async () => {
    const SEGMENTS = 512 + 4096 + 74;
    for (const position of [0, 1, 2]) {
      const bytes = new Uint8Array(file);
      const at = SEGMENTS + position * (P + 32) + 100;
      bytes[at] = (bytes[at] as number) ^ 1;
      const { out, error } = await outcome(piecesOf(bytes, 30_000));
      expect(error).toMatchObject(INVALID);
      expect(out.length).toBe(position * P);
      expect(isSame(out, plaintext.subarray(0, out.length))).toBe(true);
    }
  });

  test("every cut at an edge, and bytes after the end", async () => {
    const SEGMENTS = 512 + 4096 + 74;
    const edges = [1, 64, 512, SEGMENTS, SEGMENTS + P + 32, SEGMENTS + 2 * (P + 32), file.length];
    for (const at of edges.flatMap((edge) => [edge - 1, edge, edge + 1])) {
      if (at === file.length) continue;
      const bytes = at > file.length ? concat(file, new Uint8Array(1)) : file.slice(0, at);
      const { out, error } = await outcome(piecesOf(bytes, 100_000));
      expect(error, `${at} bytes`).toMatchObject(INVALID);
      expect(out.length % P).toBe(0);
    }
    expect((await outcome([])).error).toMatchObject({ ...INVALID, reason: "empty" });
  });

  test("an error of the source is that error, not an end", async () => {
    const broken = new Error("the network went");
    for (const pair of [ground.files.encryptStream({}), ground.files.decryptStream({})]) {
      let isFirst = true;
      const source = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (isFirst) controller.enqueue(file);
          else controller.error(broken);
          isFirst = false;
        },
      });
      await expect(gather(source.pipeThrough(pair))).rejects.toBe(broken);
    }
  });

  test("a second consumer is refused", async () => {
    const source = streamOf([plaintext]);
    const first = source.pipeThrough(ground.files.encryptStream({}));
    expect(() => source.pipeThrough(ground.files.encryptStream({}))).toThrow(TypeError);
    expect(await gather(first.pipeThrough(ground.files.decryptStream({})))).toEqual(plaintext);
    const locked = streamOf([plaintext]);
    locked.getReader();
    expect(() => locked.pipeThrough(ground.files.encryptStream({}))).toThrow(TypeError);
    const pair = ground.files.encryptStream({});
    streamOf([plaintext]).pipeThrough(pair).getReader();
    expect(() => streamOf([plaintext]).pipeThrough(pair)).toThrow(TypeError);
  });

  test("chunks that are no bytes are refused", async () => {
    const text = new ReadableStream<never>({
      start(controller) {
        controller.enqueue("text" as never);
        controller.close();
      },
    });
    await expect(gather(text.pipeThrough(ground.files.encryptStream({})))).rejects.toThrow(TypeError);
  });

  test.each(["encryptStream", "decryptStream"] as const)(
    "a destination that fails at any write ends the source of %s",
    async (direction) => {
      for (let k = 1; k <= 4; k++) {
        let cancelled: unknown;
        const pieces = piecesOf(concat(file, new Uint8Array(40 * P)), 20_000);
        const source = new ReadableStream<Uint8Array>({
          pull: (controller) => controller.enqueue(pieces.next().value ?? new Uint8Array(1)),
          cancel: (reason) => {
            cancelled = reason;
          },
        });
        const full = new Error("no space");
        let left = k;
        const sink = new WritableStream<Uint8Array>({
          write() {
            left -= 1;
            if (left === 0) throw full;
          },
        });
        await expect(source.pipeThrough(ground.files[direction]({})).pipeTo(sink)).rejects.toBe(full);
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(cancelled).toBe(full);
      }
    },
  );
});

describe("ending a stream early", () => {
  test("an abort errors both sides with its reason", async () => {
    const controller = new AbortController();
    const reason = new Error("no longer wanted");
    const { readable, writable } = ground.files.encryptStream({ signal: controller.signal });
    const writer = writable.getWriter();
    const reader = readable.getReader();
    await writer.write(new Uint8Array(10));
    controller.abort(reason);
    await expect(reader.read())
      .resolves.toMatchObject({ done: false })
      .catch(() => undefined);
    await expect(reader.closed).rejects.toBe(reason);
    await expect(writer.closed).rejects.toBe(reason);
  });

  test("nothing is asked of the vault before the first byte", async () => {
    const pair = ground.files.encryptStream({ keyId: "alias/none-such" });
    await expect(gather(streamOf([new Uint8Array(1)]).pipeThrough(pair))).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
  });

  test("a lock errors a running stream with COFFER_LOCKED", async () => {
    const { readable, writable } = ground.files.encryptStream({});
    const writer = writable.getWriter();
    await writer.write(new Uint8Array(10));
    writer.closed.catch(() => undefined);
    ground.lock();
    await expect(gather(readable)).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    expect(() => ground.files.encryptStream({})).toThrow("locked");
  });
});

test("a stream and a reader at work are use of the vault, so that it does not lock as idle", async () => {
  let uses = 0;
  const ended = new AbortController().signal;
  const files = new VaultFiles({
    ...ground.host,
    run: (work) => work(ended),
    ended: () => {
      uses += 1;
      return ended;
    },
  });
  const { encrypted } = await sourceIn(await ground.scratch(), new Uint8Array(0));
  await writeFile(encrypted, file);
  const reader = await files.openFile(encrypted);
  await reader.read(0, 10);
  await reader.read(0, 10);
  expect(uses).toBe(2);
  await reader.close();
  uses = 0;
  await gather(streamOf(piecesOf(plaintext, 50_000)).pipeThrough(files.encryptStream()));
  expect(uses).toBe(1 + Math.ceil(plaintext.length / 50_000));
});

describe("the event loop", () => {
  const fresh = fileGround();

  test.each([
    ["in pieces of 64 KiB", 65_536],
    ["in one piece", 8 * 1_048_576],
  ])("has its turns while 8 MiB come %s from a source that is always ready", async (_how, length) => {
    let turns = 0;
    let isOver = false;
    const countTurn = (): void => {
      turns += 1;
      if (!isOver) setImmediate(countTurn);
    };
    setImmediate(countTurn);
    const sealed = streamOf(piecesOf(new Uint8Array(8 * 1_048_576), length)).pipeThrough(
      fresh.files.encryptStream({}),
    );
    for await (const piece of sealed.pipeThrough(fresh.files.decryptStream({})))
      expect(piece.length).toBeGreaterThan(0);
    isOver = true;
    expect(turns).toBeGreaterThanOrEqual(8);
  });
});
