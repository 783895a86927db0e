/**
 * Sources of new files that hang, give what is no bytes, or fail to let go: a write ends all the same, and ends them.
 */
import { once } from "node:events";
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { setTimeout } from "node:timers/promises";
import { expect, test, vi } from "vitest";

import type { ContentSource } from "../../src/store/content-source.ts";
import { bytesOf, objectsOf, storeGround } from "./store-ground.ts";

const forever = (): Promise<never> => new Promise(() => undefined);

/** Gives some pieces and then what `last` answers; its `return` is told to `ended`, and hangs. */
function iterable(
  pieces: readonly unknown[],
  last: () => Promise<IteratorResult<unknown>>,
  ended: () => void = () => undefined,
): ContentSource {
  const left = [...pieces];
  const iterator = {
    next: async () => (left.length > 0 ? { value: left.shift(), done: false } : last()),
    return: () => {
      ended();
      return forever();
    },
  };
  return { [Symbol.asyncIterator]: () => iterator } as unknown as ContentSource;
}

const end = async (): Promise<IteratorResult<unknown>> => ({ value: undefined, done: true });

test.each([0, 1, 100_000])(
  "what is no bytes ends a write after %i bytes, whose source hangs",
  async (length) => {
    const { vault, directory } = await storeGround();
    const ended = vi.fn<() => void>();
    const source = iterable(length === 0 ? ["text"] : [bytesOf(length), "text"], end, ended);
    await expect(vault.store.write("f", source)).rejects.toThrow(
      "content: expected pieces of Uint8Array, got string",
    );
    expect(ended).toHaveBeenCalledOnce();
    await expect(vault.store.stat("f")).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    expect(await objectsOf(directory)).toEqual([]);
  },
);

test("a source that ends or fails is not told to end, and a web stream is let go", async () => {
  const { vault } = await storeGround();
  const ended = vi.fn<() => void>();
  expect((await vault.store.write("f", iterable([bytesOf(10_000)], end, ended))).size).toBe(10_000);
  const failure = new Error("the source failed");
  const failing = iterable([bytesOf(10_000)], () => Promise.reject(failure), ended);
  await expect(vault.store.write("g", failing)).rejects.toBe(failure);
  expect(ended).not.toHaveBeenCalled();
  const stream = ReadableStream.from([bytesOf(5000), bytesOf(100)]);
  expect((await vault.store.write("h", stream)).size).toBe(5100);
  expect(stream.locked).toBe(false);
  const broken = new ReadableStream({ pull: () => Promise.reject(failure) });
  await expect(vault.store.write("i", broken)).rejects.toBe(failure);
  expect(broken.locked).toBe(false);
});

/** What comes before a source hangs: nothing, what would lie in the index, what has begun an object. */
const BEFORE = [0, 10, 100_000];

test.each(BEFORE)(
  "an abort cancels a web stream that hangs after %i bytes, and unlocks it",
  async (length) => {
    const { vault } = await storeGround();
    const cancel = vi.fn<(reason: unknown) => Promise<never>>(forever);
    let isAsked = false;
    const stream = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (isAsked || length === 0) return forever();
          isAsked = true;
          return controller.enqueue(bytesOf(length));
        },
        cancel,
      },
      { highWaterMark: 0 },
    );
    const controller = new AbortController();
    const written = vault.store.write("f", stream, { signal: controller.signal });
    await setTimeout(30).then(() => controller.abort(new Error("enough")));
    await expect(written).rejects.toThrow("enough");
    expect(cancel).toHaveBeenCalledExactlyOnceWith(controller.signal.reason);
    expect(stream.locked).toBe(false);
  },
);

test.each(BEFORE)("an abort destroys a stream of Node that hangs after %i bytes", async (length) => {
  const { vault } = await storeGround();
  const stream = new Readable({ read: () => undefined });
  if (length > 0) stream.push(bytesOf(length));
  const failed = vi.fn<() => void>();
  stream.on("error", failed);
  const controller = new AbortController();
  const written = vault.store.write("f", stream, { signal: controller.signal });
  await setTimeout(30).then(() => controller.abort(new Error("enough")));
  const closed = once(stream, "close");
  await expect(written).rejects.toThrow("enough");
  await closed;
  expect(stream.destroyed).toBe(true);
  expect(failed).not.toHaveBeenCalled();
});

test.each(BEFORE)("an abort ends any other source that hangs after %i bytes", async (length) => {
  const { vault } = await storeGround();
  const ended = vi.fn<() => void>();
  const source = iterable(length === 0 ? [] : [bytesOf(length)], forever, ended);
  const controller = new AbortController();
  const written = vault.store.write("f", source, { signal: controller.signal });
  await setTimeout(30).then(() => controller.abort(new Error("enough")));
  await expect(written).rejects.toThrow("enough");
  expect(ended).toHaveBeenCalledOnce();
});

test("locking the vault lets go of the sources that are being written", async () => {
  const { vault } = await storeGround();
  const cancel = vi.fn<(reason: unknown) => void>();
  const stream = new ReadableStream<Uint8Array>({ pull: forever, cancel });
  const written = vault.store.write("f", stream);
  const locked = setTimeout(30).then(() => vault.lock());
  await expect(written).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await locked;
  expect(cancel).toHaveBeenCalledOnce();
});

test("a write that fails by itself ends its source, whatever that answers", async () => {
  const { vault } = await storeGround();
  const throwing = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        throw new Error("at once");
      },
      return: () => {
        throw new Error("at the end");
      },
    }),
  };
  await expect(vault.store.write("f", throwing)).rejects.toThrow("at once");
  const refusing = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ value: 7, done: false }),
      return: () => {
        throw new Error("at the end");
      },
    }),
  } as unknown as ContentSource;
  await expect(vault.store.write("f", refusing)).rejects.toThrow("got number");
  const { keyMetadata } = await vault.kms.createKey({});
  await vault.kms.disableKey({ keyId: keyMetadata.keyId });
  const ended = vi.fn<() => void>();
  const source = iterable([bytesOf(10_000), bytesOf(10_000)], end, ended);
  await expect(vault.store.write("f", source, { keyId: keyMetadata.keyId })).rejects.toMatchObject({
    code: "COFFER_KEY_DISABLED",
  });
  expect(ended).toHaveBeenCalledOnce();
});
