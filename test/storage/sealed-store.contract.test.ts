import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fromHex, utf8 } from "../../src/bytes.ts";
import { MAX_SEAL_BYTES } from "../../src/limits.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { openMemoryStore } from "../../src/storage/memory-store.ts";
import { SealedStore } from "../../src/storage/sealed-store.ts";
import type { Store } from "../../src/storage/store.ts";
import { scratchDirectories } from "./scratch.ts";
import { describeStoreContract } from "./store.contract.ts";

const scratch = scratchDirectories();
const KEY = new Uint8Array(32).fill(1);
const VAULT_ID = new Uint8Array(16).fill(2);
const LIMITS = { maxValueBytes: MAX_SEAL_BYTES, runs: 15 };

const sealed = (inner: Store): SealedStore => new SealedStore(inner, KEY, VAULT_ID);

describeStoreContract("sealed, on memory", async () => sealed(openMemoryStore()), LIMITS);
describeStoreContract(
  "sealed, on level",
  async () => sealed(await openLevelStore(join(await scratch(), "db-1"), { create: true })),
  LIMITS,
);

describe("what lies underneath", () => {
  const [one, two] = [fromHex("0201"), fromHex("0202")];

  async function filled(): Promise<{ inner: Store; store: SealedStore }> {
    const inner = openMemoryStore();
    const store = sealed(inner);
    await store.write([
      { type: "put", key: one, value: utf8("first value") },
      { type: "put", key: two, value: utf8("second value") },
    ]);
    return { inner, store };
  }

  test("holds no plaintext", async () => {
    const { inner } = await filled();
    for await (const [, stored] of inner.entries()) {
      expect(Buffer.from(stored).includes("value")).toBe(false);
    }
  });

  test("is damaged when a value is altered anywhere, moved to another key, or of another vault", async () => {
    const { inner, store } = await filled();
    const stored = inner.get(one) as Uint8Array;
    for (let at = 0; at < stored.length; at++) {
      const altered = stored.slice();
      altered[at] = (altered[at] as number) ^ 1;
      await inner.write([{ type: "put", key: one, value: altered }]);
      expect(() => store.get(one)).toThrow(expect.objectContaining({ code: "COFFER_DAMAGED" }));
    }
    await inner.write([{ type: "put", key: one, value: inner.get(two) as Uint8Array }]);
    expect(() => store.get(one)).toThrow(expect.objectContaining({ code: "COFFER_DAMAGED" }));
    await inner.write([{ type: "put", key: one, value: stored }]);
    expect(store.get(one)).toEqual(utf8("first value"));
    const other = new SealedStore(inner, KEY, new Uint8Array(16));
    expect(() => other.get(one)).toThrow(expect.objectContaining({ code: "COFFER_DAMAGED" }));
  });
});
