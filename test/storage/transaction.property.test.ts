import fc from "fast-check";
import { expect, test } from "vitest";
import { hex } from "../../src/bytes.ts";
import { TABLES } from "../../src/formats/records/tables.ts";
import { RecordIndex } from "../../src/storage/record-index.ts";
import { ChangeSet } from "../../src/storage/transaction.ts";

const HMAC = new Uint8Array(32);
const TAG = { id: new Uint8Array(16), key: "k", value: "v" };

const levelKey = fc
  .tuple(fc.nat(2), fc.nat(3))
  .map(([first, second]) => Uint8Array.of(TABLES.tags, first, second));
const change = fc.record({ key: levelKey, isDeletion: fc.boolean() });
const range = fc.record({
  prefix: fc.constantFrom(Uint8Array.of(TABLES.tags), Uint8Array.of(TABLES.tags, 1)),
  after: fc.option(levelKey, { nil: undefined }),
  limit: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
});

test("a plan lists what was durable with the changes of the plans before it and its own, in order", () => {
  fc.assert(
    fc.property(
      fc.array(levelKey),
      fc.array(fc.array(change, { maxLength: 4 }), { minLength: 1, maxLength: 3 }),
      range,
      (durable, plans, wanted) => {
        const index = new RecordIndex();
        const present = new Set<string>();
        for (const key of durable) {
          index.set(key, HMAC);
          present.add(hex(key));
        }
        const group = new ChangeSet({ get: () => undefined, keys: (each) => index.keys(each) }, 0);
        for (const changes of plans) {
          group.plan((transaction) => {
            for (const { key, isDeletion } of changes) {
              if (isDeletion) transaction.delete(key);
              else transaction.put(TABLES.tags, key, TAG);
              if (isDeletion) present.delete(hex(key));
              else present.add(hex(key));
            }
            const { prefix, after, limit } = wanted;
            const expected = [...present]
              .filter((name) => name.startsWith(hex(prefix)) && (after === undefined || name > hex(after)))
              .sort()
              .slice(0, limit);
            expect(transaction.keys(wanted).map(hex)).toEqual(expected);
          });
        }
        const lengths = group.changes.map(({ key, cbor }) => key.length + (cbor?.length ?? 0));
        expect(group.lengthBytes).toBe(lengths.reduce((sum, length) => sum + length, 0));
      },
    ),
  );
});
