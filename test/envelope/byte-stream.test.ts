import { getEventListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { byteStream, type ByteStreamPair } from "../../src/envelope/byte-stream.ts";
import { decryptStream, encryptStream } from "../../src/envelope/passphrase-files.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { fileGround, gather, pattern, streamOf } from "./file-ground.ts";

const ground = fileGround();
const SECRET = "a passphrase for streams";
/** More than both sides hold back. */
const BYTES = 8_000_000;

interface Direction {
  readonly pair: (signal: AbortSignal) => ByteStreamPair;
  readonly input: () => Uint8Array;
}

let encrypted: Uint8Array;
let encryptedWithout: Uint8Array;

const DIRECTIONS: Readonly<Record<string, Direction>> = {
  "encryptStream of a vault": {
    pair: (signal) => ground.files.encryptStream({ signal }),
    input: () => pattern(BYTES),
  },
  "decryptStream of a vault": {
    pair: (signal) => ground.files.decryptStream({ signal }),
    input: () => encrypted,
  },
  "encryptStream without a vault": {
    pair: (signal) => encryptStream({ unlock: cheapPassphrase(SECRET), signal }),
    input: () => pattern(BYTES),
  },
  "decryptStream without a vault": {
    pair: (signal) => decryptStream({ unlock: cheapPassphrase(SECRET), signal }),
    input: () => encryptedWithout,
  },
};

beforeAll(async () => {
  const plaintext = pattern(BYTES);
  encrypted = await gather(streamOf([plaintext]).pipeThrough(ground.files.encryptStream({})));
  const pair = encryptStream({ unlock: cheapPassphrase(SECRET) });
  encryptedWithout = await gather(streamOf([plaintext]).pipeThrough(pair));
});

/** Settles when it is clear that a write waits for a consumer. */
async function writeUntilFull(pair: ByteStreamPair, bytes: Uint8Array): Promise<WritableStreamDefaultWriter> {
  const writer = pair.writable.getWriter() as WritableStreamDefaultWriter;
  writer.closed.catch(() => undefined);
  let isWritten = false;
  writer.write(bytes).then(
    () => (isWritten = true),
    () => undefined,
  );
  await delay(300);
  expect(isWritten).toBe(false);
  return writer;
}

describe("abort() while a write waits for a consumer that does not read", () => {
  test.each(Object.entries(DIRECTIONS))("ends %s at once", async (_name, { pair, input }) => {
    const { signal } = new AbortController();
    const streams = pair(signal);
    const writer = await writeUntilFull(streams, input());
    const reason = new Error("given up");
    const settled = writer.abort(reason).then(() => "settled");
    expect(await Promise.race([settled, delay(2000, "pending")])).toBe("settled");
    await expect(writer.closed).rejects.toBe(reason);
    await expect(streams.readable.getReader().read()).rejects.toBe(reason);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("wipes what the step holds, before it settles and only once", async () => {
    let ends = 0;
    let pushes = 0;
    const pair = byteStream({
      async push(bytes) {
        pushes += 1;
        return [bytes.slice()];
      },
      finish: async () => [],
      end: () => {
        ends += 1;
      },
    });
    const writer = await writeUntilFull(pair, new Uint8Array(BYTES));
    const before = pushes;
    const settled = writer.abort(new Error("given up"));
    expect(ends).toBe(1);
    await settled;
    await delay(10);
    expect({ ends, pushes }).toEqual({ ends: 1, pushes: before });
  });

  test("a stream that came to its end keeps no listener", async () => {
    const { signal } = new AbortController();
    await gather(streamOf([pattern(10)]).pipeThrough(ground.files.encryptStream({ signal })));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
