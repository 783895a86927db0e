import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, expect, test } from "vitest";
import { storeGround } from "./store-ground.ts";

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
