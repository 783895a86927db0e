/**
 * What every store must do. Engines run it, and the sealed store on top of each.
 * @module
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compare, equal, fromHex, hex, utf8 } from "../../src/bytes.ts";
import { type Store, StoreClosedError, type StoreRange, type StoreReader } from "../../src/storage/store.ts";

/** Returns a fresh empty store; whatever it needs is cleaned up by the caller. */
export type OpenEmptyStore = () => Promise<Store>;

export interface ContractOptions {
  /** Longest value that the store takes, in bytes. @defaultValue 1 MiB */
  readonly maxValueBytes?: number;
  /** Runs of the property test. @defaultValue 30 */
  readonly runs?: number;
}

/** Hex of all entries in their order. */
export async function listEntries(reader: StoreReader, range?: StoreRange): Promise<[string, string][]> {
  const entries: [string, string][] = [];
  for await (const [key, value] of reader.entries(range)) entries.push([hex(key), hex(value)]);
  return entries;
}

async function keys(reader: StoreReader, range?: StoreRange): Promise<string[]> {
  return (await listEntries(reader, range)).map(([key]) => key);
}

function put(key: string, value = "00"): { type: "put"; key: Uint8Array; value: Uint8Array } {
  return { type: "put", key: fromHex(key), value: fromHex(value) };
}

function del(key: string): { type: "delete"; key: Uint8Array } {
  return { type: "delete", key: fromHex(key) };
}

/** Runs the contract on one engine. */
export function describeStoreContract(
  name: string,
  open: OpenEmptyStore,
  options: ContractOptions = {},
): void {
  const maxValueBytes = options.maxValueBytes ?? 1_048_576;

  describe(`store contract: ${name}`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(async () => {
      await store.close();
    });

    it("starts empty and answers undefined for an absent key", async () => {
      expect(store.get(fromHex("01"))).toBeUndefined();
      expect(await listEntries(store)).toEqual([]);
    });

    it("returns what was written, as plain arrays on memory of their own", async () => {
      await store.write([put("01", "aabb"), put("02", "cc")]);
      const value = store.get(fromHex("01"));
      expect(value).toEqual(fromHex("aabb"));
      expect(Buffer.isBuffer(value)).toBe(false);
      expect(value?.buffer.byteLength).toBe(2);
      value?.fill(0);
      expect(store.get(fromHex("01"))).toEqual(fromHex("aabb"));
      for await (const [key, listed] of store.entries()) {
        expect(Buffer.isBuffer(key) || Buffer.isBuffer(listed)).toBe(false);
        expect(listed.buffer.byteLength).toBe(listed.length);
        key.fill(0xff);
        listed.fill(0xff);
      }
      expect(await listEntries(store)).toEqual([
        ["01", "aabb"],
        ["02", "cc"],
      ]);
    });

    it("replaces, deletes, and lets the later operation of a batch win", async () => {
      await store.write([put("01", "aa"), put("01", "bb"), put("02"), del("02"), del("03"), put("03", "cc")]);
      expect(await listEntries(store)).toEqual([
        ["01", "bb"],
        ["03", "cc"],
      ]);
      await store.write([put("01", "dd"), del("03"), del("04")]);
      expect(await listEntries(store)).toEqual([["01", "dd"]]);
    });

    it("applies nothing of a batch with a malformed operation", async () => {
      const malformed = { type: "put", key: fromHex("02"), value: "text" } as unknown as ReturnType<
        typeof put
      >;
      await expect(store.write([put("01"), malformed])).rejects.toThrow(TypeError);
      await expect(store.write([put("01"), put("")])).rejects.toThrow(RangeError);
      expect(await listEntries(store)).toEqual([]);
    });

    it("takes an empty batch and changes nothing", async () => {
      await store.write([put("01")]);
      await store.write([]);
      expect(await keys(store)).toEqual(["01"]);
    });

    it("never shows a part of a batch", async () => {
      const writing = Array.from({ length: 20 }, (_, i) => {
        const value = i.toString(16).padStart(2, "0");
        return store.write([put("01", value), put("ff", value)]);
      });
      const looks: Promise<void>[] = [];
      for (let i = 0; i < 10; i++) {
        looks.push(
          listEntries(store).then((entries) => {
            expect(new Set(entries.map(([, value]) => value)).size).toBeLessThanOrEqual(1);
            expect([0, 2]).toContain(entries.length);
          }),
        );
      }
      await Promise.all([...writing, ...looks]);
      expect(store.get(fromHex("01"))).toEqual(store.get(fromHex("ff")));
    });

    it("orders keys as unsigned bytes, shorter first", async () => {
      const written = ["80", "7f", "00", "0000", "ff", "ff00", "01", "00ff"];
      await store.write(written.map((key) => put(key)));
      expect(await keys(store)).toEqual(["00", "0000", "00ff", "01", "7f", "80", "ff", "ff00"]);
    });

    it("lists ranges with both kinds of lower bound, an open upper bound, a limit, and backwards", async () => {
      await store.write(["01", "02", "0201", "03", "04"].map((key) => put(key)));
      const b = fromHex;
      expect(await keys(store, { gte: b("02") })).toEqual(["02", "0201", "03", "04"]);
      expect(await keys(store, { gt: b("02") })).toEqual(["0201", "03", "04"]);
      expect(await keys(store, { lt: b("03") })).toEqual(["01", "02", "0201"]);
      expect(await keys(store, { gte: b("02"), lt: b("04"), limit: 2 })).toEqual(["02", "0201"]);
      expect(await keys(store, { gte: b("02"), lt: b("04"), limit: 2, reverse: true })).toEqual([
        "03",
        "0201",
      ]);
      expect(await keys(store, { gt: b("04") })).toEqual([]);
      expect(await keys(store, { gte: b("03"), lt: b("02") })).toEqual([]);
      expect(await keys(store, { limit: 0 })).toEqual([]);
    });

    it("keeps empty and large values", async () => {
      const large = new Uint8Array(maxValueBytes).map((_, i) => (i * 31) % 251);
      await store.write([put("01", ""), { type: "put", key: fromHex("02"), value: large }]);
      expect(store.get(fromHex("01"))).toEqual(new Uint8Array(0));
      expect(equal(store.get(fromHex("02")) ?? new Uint8Array(0), large)).toBe(true);
    });

    it("lists more entries than one read takes", async () => {
      const batch = Array.from({ length: 1500 }, (_, i) =>
        put(i.toString(16).padStart(4, "0"), "00".repeat(40)),
      );
      await store.write(batch);
      expect(await keys(store)).toEqual(batch.map(({ key }) => hex(key)));
      expect((await keys(store, { limit: 700 })).length).toBe(700);
    });

    it("keeps what the caller wipes right after the call", async () => {
      const key = fromHex("01");
      const value = utf8("the value itself");
      const writing = store.write([{ type: "put", key, value }]);
      key.fill(0);
      value.fill(0);
      await writing;
      expect(store.get(fromHex("01"))).toEqual(utf8("the value itself"));
      expect(await keys(store)).toEqual(["01"]);
    });

    it("keeps what the caller wipes right after the call while a compaction runs", async () => {
      const compacting = store.compact(fromHex("00"), fromHex("ff"));
      const value = utf8("the value itself");
      const writing = store.write([{ type: "put", key: fromHex("01"), value }]);
      value.fill(0);
      await Promise.all([compacting, writing]);
      expect(store.get(fromHex("01"))).toEqual(utf8("the value itself"));
    });

    it("shows an iteration the state in which it started", async () => {
      await store.write([put("01"), put("02")]);
      const iterator = store.entries()[Symbol.asyncIterator]();
      await store.write([put("03"), del("02"), put("01", "ff")]);
      const seen: string[] = [];
      for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) {
        seen.push(hex(step.value[0]) + hex(step.value[1]));
      }
      expect(seen).toEqual(["0100", "0200"]);
      expect(await keys(store)).toEqual(["01", "03"]);
    });

    it("lets a loop end early, and a listing be iterated again", async () => {
      await store.write([put("01"), put("02")]);
      const listing = store.entries();
      for await (const [key] of listing) {
        expect(hex(key)).toBe("01");
        break;
      }
      await store.write([put("00")]);
      const seen: string[] = [];
      for await (const [key] of listing) seen.push(hex(key));
      expect(seen).toEqual(["00", "01", "02"]);
    });

    it("isolates snapshots from later writes, and from each other", async () => {
      await store.write([put("01", "aa"), put("02", "aa")]);
      const first = store.snapshot();
      await store.write([put("01", "bb"), del("02")]);
      const second = store.snapshot();
      await store.write([put("01", "cc"), put("03", "cc")]);
      expect(first.get(fromHex("01"))).toEqual(fromHex("aa"));
      expect(first.get(fromHex("03"))).toBeUndefined();
      expect(await listEntries(first, { reverse: true, limit: 1 })).toEqual([["02", "aa"]]);
      expect(await listEntries(second)).toEqual([["01", "bb"]]);
      await first.dispose();
      await first.dispose();
      expect(await listEntries(second)).toEqual([["01", "bb"]]);
      expect(await keys(store)).toEqual(["01", "03"]);
      expect(() => first.get(fromHex("01"))).toThrow(StoreClosedError);
      await second.dispose();
    });

    it("compacts without changing anything that is there", async () => {
      await store.write(["01", "02", "03"].map((key) => put(key, "ab")));
      await store.write([del("02"), put("01", "cd")]);
      await store.compact(fromHex("01"), fromHex("03"));
      await store.compact(fromHex("02"), fromHex("02"));
      expect(await listEntries(store)).toEqual([
        ["01", "cd"],
        ["03", "ab"],
      ]);
    });

    it("closes once and twice, and refuses use afterwards", async () => {
      await store.write([put("01")]);
      const snapshot = store.snapshot();
      const listing = store.entries();
      await Promise.all([store.close(), store.close()]);
      await store.close();
      expect(() => store.get(fromHex("01"))).toThrow(StoreClosedError);
      expect(() => store.snapshot()).toThrow(StoreClosedError);
      expect(() => snapshot.get(fromHex("01"))).toThrow(StoreClosedError);
      await expect(store.write([put("02")])).rejects.toThrow(StoreClosedError);
      await expect(store.write([])).rejects.toThrow(StoreClosedError);
      await expect(store.compact(fromHex("01"), fromHex("02"))).rejects.toThrow(StoreClosedError);
      await expect(keys({ get: store.get.bind(store), entries: () => listing })).rejects.toThrow(
        StoreClosedError,
      );
      await snapshot.dispose();
    });

    it("finishes a running write before it closes", async () => {
      const writing = store.write([put("01")]);
      const closing = store.close();
      await expect(writing).resolves.toBeUndefined();
      await closing;
    });

    it("ends a running iteration when it closes", async () => {
      await store.write(Array.from({ length: 1000 }, (_, i) => put(i.toString(16).padStart(4, "0"))));
      const iterator = store.entries()[Symbol.asyncIterator]();
      await iterator.next();
      await store.close();
      const rest = async (): Promise<void> => {
        while ((await iterator.next()).done !== true);
      };
      await expect(rest()).rejects.toThrow(StoreClosedError);
    });

    it("for every sequence of batches, agrees with a sorted map", async () => {
      const key = fc.uint8Array({ minLength: 1, maxLength: 3 });
      const operation = fc.oneof(
        fc.record({ type: fc.constant("put" as const), key, value: fc.uint8Array({ maxLength: 8 }) }),
        fc.record({ type: fc.constant("delete" as const), key }),
      );
      const rest = { lt: key, limit: fc.nat(5), reverse: fc.boolean() };
      const range: fc.Arbitrary<StoreRange> = fc.oneof(
        fc.record({ gte: key, ...rest }, { requiredKeys: [] }),
        fc.record({ gt: key, ...rest }, { requiredKeys: [] }),
      );
      const model = new Map<string, Uint8Array>();
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 12 }), range, async (batch, bounds) => {
          await store.write(batch);
          for (const change of batch) {
            if (change.type === "put") model.set(hex(change.key), change.value);
            else model.delete(hex(change.key));
          }
          let expected = [...model].map(([name]) => fromHex(name)).toSorted(compare);
          expected = expected.filter(
            (name) =>
              (bounds.gte === undefined || compare(name, bounds.gte) >= 0) &&
              (bounds.gt === undefined || compare(name, bounds.gt) > 0) &&
              (bounds.lt === undefined || compare(name, bounds.lt) < 0),
          );
          if (bounds.reverse === true) expected.reverse();
          const names = expected.slice(0, bounds.limit).map(hex);
          expect(await keys(store, bounds)).toEqual(names);
          for (const name of names) expect(store.get(fromHex(name))).toEqual(model.get(name));
        }),
        { numRuns: options.runs ?? 30 },
      );
    });
  });
}
