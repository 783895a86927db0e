import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReadableStream } from "node:stream/web";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { concat } from "../../src/bytes.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import type { Vault } from "../../src/vault.ts";
import { bytesOf, type StoreGround, storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";
/** In the index, in one segment, and in several. */
const SIZES = [1000, 50_000, 200_000] as const;
const CONTENTS = new Map<number, Uint8Array>(SIZES.map((size) => [size, bytesOf(size)]));

/** A content that is being read: what comes of it, and what closes it. */
interface Reading {
  readonly pieces: AsyncIterable<Uint8Array>;
  readonly close?: () => Promise<void>;
}

type Begin = (vault: Vault, size: number, signal: AbortSignal, folder: string) => Promise<Reading>;

async function* one(piece: () => Promise<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield await piece();
}

/** Reads in steps that begin and end within segments. */
async function* steps(file: {
  readonly size: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size; at += 40_000) yield await file.read(at, 40_000);
}

const READS: Readonly<Record<string, Begin>> = {
  "store.read": async (vault, size, signal) => ({
    pieces: one(() => vault.store.read(`${size}`, { signal })),
  }),
  "store.open, read": async (vault, size, signal) => {
    const file = await vault.store.open(`${size}`, { signal });
    return { pieces: one(() => file.read(0, size)), close: () => file.close() };
  },
  "store.open, reads": async (vault, size, signal) => {
    const file = await vault.store.open(`${size}`, { signal });
    return { pieces: steps(file), close: () => file.close() };
  },
  "store.open, stream": async (vault, size, signal) => {
    const file = await vault.store.open(`${size}`, { signal });
    return { pieces: file.stream(), close: () => file.close() };
  },
  "store.readStream": async (vault, size, signal) => ({
    pieces: await vault.store.readStream(`${size}`, { signal }),
  }),
  "store.readStream around damage": async (vault, size, signal) => ({
    pieces: await vault.store.readStream(`${size}`, { signal, onDamage: () => undefined }),
  }),
  "openFile, read": async (vault, size, signal, folder) => {
    const file = await vault.openFile(join(folder, `${size}.cof`), { signal });
    return { pieces: one(() => file.read(0, size)), close: () => file.close() };
  },
  "openFile, reads": async (vault, size, signal, folder) => {
    const file = await vault.openFile(join(folder, `${size}.cof`), { signal });
    return { pieces: steps(file), close: () => file.close() };
  },
  "openFile, stream": async (vault, size, signal, folder) => {
    const file = await vault.openFile(join(folder, `${size}.cof`), { signal });
    return { pieces: file.stream(), close: () => file.close() };
  },
  decryptStream: async (vault, size, signal) => ({
    pieces: ReadableStream.from(sealedPieces(size)).pipeThrough(vault.decryptStream({ signal })),
  }),
};

const ENDS: Readonly<
  Record<string, (vault: Vault, reading: Reading, controller: AbortController) => Promise<void> | void>
> = {
  close: (_vault, reading) => reading.close?.(),
  lock: (vault) => vault.lock(),
  abort: (_vault, _reading, controller) => controller.abort(new Error("enough")),
};

const SEALED = new Map<number, Uint8Array>();

function* sealedPieces(size: number): Generator<Uint8Array> {
  const sealed = SEALED.get(size) as Uint8Array;
  for (let at = 0; at < sealed.length; at += 30_000) yield sealed.subarray(at, at + 30_000);
}

let ground: StoreGround;

beforeEach(async () => {
  ground = await storeGround();
  for (const [size, content] of CONTENTS) {
    await ground.vault.store.write(`${size}`, content);
    const pieces: Uint8Array[] = [];
    const sealing = ground.vault.encryptStream({ segmentBytes: 65_536 });
    for await (const piece of ReadableStream.from([content]).pipeThrough(sealing)) pieces.push(piece);
    SEALED.set(size, concat(...pieces));
    await writeFile(join(ground.folder, `${size}.cof`), concat(...pieces));
  }
});

/** When a reading is ended: so many microtasks after so many of its pieces have come, 0 for its beginning. */
interface Moment {
  readonly pieces: number;
  readonly ticks: number;
}

/** Reads until the end or an error, and ends the reading meanwhile. */
async function readAndEnd(
  { begin, size, end }: { begin: Begin; size: number; end: (typeof ENDS)[string] },
  moment: Moment,
): Promise<{ bytes: Uint8Array; error: unknown }> {
  const { vault } = ground;
  if (vault.state === "locked") await vault.unlock(cheapPassphrase(SECRET));
  const controller = new AbortController();
  const reading = await begin(vault, size, controller.signal, ground.folder);
  const seen: Uint8Array[] = [];
  let ending: Promise<unknown> = Promise.resolve();
  const count = async (): Promise<void> => {
    if (seen.length !== moment.pieces) return;
    for (let n = 0; n < moment.ticks; n++) await Promise.resolve();
    await end(vault, reading, controller);
  };
  const reads = (async () => {
    for await (const piece of reading.pieces) {
      seen.push(piece);
      const ended = count();
      ending = Promise.all([ending, ended]);
    }
  })();
  const outcome = reads.then(
    () => undefined,
    (error: unknown) => error,
  );
  await count();
  const error = await outcome;
  await ending;
  await reading.close?.();
  return { bytes: concat(...seen), error };
}

function expectPrefix(bytes: Uint8Array, size: number): void {
  const expected = (CONTENTS.get(size) as Uint8Array).subarray(0, bytes.length);
  expect(Buffer.compare(bytes, expected)).toBe(0);
}

const cases = Object.keys(ENDS).flatMap((end) =>
  Object.keys(READS)
    .filter((read) => end !== "close" || read.includes(","))
    .map((read): [string, string] => [end, read]),
);

describe.each(cases)("%s while %s is under way", (endName, readName) => {
  const end = ENDS[endName] as (typeof ENDS)[string];
  const begin = READS[readName] as Begin;

  test("gives the right bytes or an error, whenever it comes", async () => {
    const moment = fc.record({ pieces: fc.nat({ max: 3 }), ticks: fc.nat({ max: 40 }) });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...SIZES), moment, async (size, when) => {
        const { bytes, error } = await readAndEnd({ begin, size, end }, when);
        expectPrefix(bytes, size);
        if (error === undefined) expect(bytes.length).toBe(size);
      }),
      { numRuns: 80, examples: [0, 1, 2, 3].map((ticks) => [50_000, { pieces: 0, ticks }]) },
    );
  });

  // What comes in one piece has no moment between two.
  if (readName.endsWith("read")) return;
  test("between two pieces ends it with an error", async () => {
    const size = 200_000;
    for (const pieces of [1, 2, 3]) {
      const { bytes, error } = await readAndEnd({ begin, size, end }, { pieces, ticks: 0 });
      expectPrefix(bytes, size);
      expect(bytes.length).toBeLessThan(size);
      if (endName === "lock") expect(error).toMatchObject({ code: "COFFER_LOCKED" });
      else expect(String(error)).toContain(endName === "close" ? "used after close" : "enough");
    }
  });
});
