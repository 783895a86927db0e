import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type ReadableStream, type ReadableStreamDefaultReader, TransformStream } from "node:stream/web";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, expect, test } from "vitest";
import { concat, equal } from "../../src/bytes.ts";
import { bytesOf, objectsOf, storeGround } from "./store-ground.ts";

const PIECE_BYTES = 65_536;
const PIECES = 512;
/** What the gathering of a megabyte, two segments and the engine may hold at a moment. */
const MAX_HELD = 64;

let collect: () => void;

beforeAll(() => {
  setFlagsFromString("--expose-gc");
  collect = runInNewContext("gc") as () => void;
});

/** How many of these pieces are still in memory. */
async function held(pieces: readonly WeakRef<Uint8Array>[]): Promise<number> {
  // References that were looked at live until the end of the turn.
  await new Promise<void>((resolve) => setImmediate(resolve));
  collect();
  return pieces.filter((piece) => piece.deref() !== undefined).length;
}

test("a stream that is written keeps no piece that it has taken", async () => {
  const { vault } = await storeGround();
  const given: WeakRef<Uint8Array>[] = [];
  const counts: number[] = [];
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let n = 1; n <= PIECES; n++) {
      const piece = new Uint8Array(PIECE_BYTES).fill(n);
      given.push(new WeakRef(piece));
      yield piece;
      if (n % 128 === 0) counts.push(await held(given));
    }
  }
  await vault.store.write("long", source());
  expect(counts).toHaveLength(PIECES / 128);
  expect(Math.max(...counts)).toBeLessThan(MAX_HELD);
});

test("a copy within the store keeps no more than a few segments of what it copies", async () => {
  const { vault } = await storeGround();
  const lengthBytes = 4 * PIECES * PIECE_BYTES;
  await vault.store.write("long", new Uint8Array(lengthBytes));
  const growths: number[] = [];
  await held([]);
  const before = process.memoryUsage().arrayBuffers;
  const timer = setInterval(() => {
    collect();
    growths.push(process.memoryUsage().arrayBuffers - before);
  }, 25);
  await vault.store.copy("long", "copy");
  clearInterval(timer);
  expect(growths).not.toEqual([]);
  expect(Math.max(...growths)).toBeLessThan(lengthBytes / 2);
});

/** Waits until what nobody can reach is gone, and what follows from that is done. */
async function collected(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await held([]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const READ_OPTIONS = { plainly: {}, "around damage": { onDamage: () => undefined } };

test.each(Object.entries(READ_OPTIONS))(
  "streams that are dropped, read %s, close their files and let the objects go",
  async (_, options) => {
    const { vault, directory } = await storeGround();
    const content = bytesOf(1_000_000);
    for (const name of ["untouched", "begun", "pending", "small"]) {
      await vault.store.write(name, name === "small" ? "inline" : content);
    }
    const controller = new AbortController();
    for (let n = 0; n < 10; n++) {
      await vault.store.readStream(
        "untouched",
        n % 2 === 0 ? options : { ...options, signal: controller.signal },
      );
      await (await vault.store.readStream("begun", options)).getReader().read();
      void (await vault.store.readStream("pending", options)).getReader().read();
      await vault.store.readStream("small", options);
    }
    await collected();
    await vault.store.remove("small");
    for (const name of ["untouched", "begun", "pending"]) await vault.store.remove(name, { purge: true });
    expect(await objectsOf(directory)).toEqual([]);
    controller.abort();
    await vault.lock();
  },
);

/** How a stream is held while it is read: by the stream, or by what has come of it alone. */
const HOLDERS: Readonly<Record<string, (stream: ReadableStream<Uint8Array>) => AsyncIterable<Uint8Array>>> = {
  stream: (stream) => stream,
  reader: (stream) => readerPieces(stream.getReader()),
  "one of two": (stream) => stream.tee()[0],
  transform: (stream) => stream.pipeThrough(new TransformStream<Uint8Array, Uint8Array>()),
  "stream of Node": (stream) => Readable.fromWeb(stream),
};

async function* readerPieces(
  reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read">,
): AsyncGenerator<Uint8Array> {
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

test.each(Object.keys(HOLDERS))(
  "a stream in use is never closed as dropped, held by a %s",
  async (holder) => {
    const { vault } = await storeGround();
    const content = bytesOf(1_000_000);
    await vault.store.write("long", content);
    for (const options of Object.values(READ_OPTIONS)) {
      const pieces = HOLDERS[holder]?.(await vault.store.readStream("long", options)) ?? [];
      const seen: Uint8Array[] = [];
      await collected();
      for await (const piece of pieces) {
        seen.push(piece);
        await held([]);
      }
      expect(equal(concat(...seen), content)).toBe(true);
    }
  },
);

test("an open file keeps nothing of its streams that were dropped, and ends the others when it is closed", async () => {
  const { vault, folder } = await storeGround();
  const content = bytesOf(4_000_000);
  await vault.store.write("long", content);
  await writeFile(join(folder, "plain"), content);
  await vault.encryptFile(join(folder, "plain"), join(folder, "sealed"));
  for (const file of [await vault.store.open("long"), await vault.openFile(join(folder, "sealed"))]) {
    const kept = [file.stream().getReader(), file.stream().getReader()];
    await kept[0]?.read();
    await collected();
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 100; n++) {
      file.stream();
      if (n % 10 === 0) await file.stream().getReader().read();
    }
    await collected();
    // Each has read a piece of 256 KiB ahead.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(5_000_000);
    await file.close();
    for (const reader of kept) await expect(reader.read()).rejects.toThrow("used after close");
  }
});
