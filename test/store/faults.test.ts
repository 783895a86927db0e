/**
 * Every call of the file-system port and of the engine, made to fail during operations of the file store: the
 * operation succeeds, or fails with a typed error and the old state; the same handle works afterwards, and the next
 * session finds nothing left over.
 */
import { expect, test, vi } from "vitest";
import { isCofferError } from "../../src/errors.ts";
import type { Vault } from "../../src/vault.ts";
import { isSoak, report, TEST_TIMEOUT_MS } from "../field/scale.ts";
import { expectTyped, settled, tryAll } from "../storage/fault-trials.ts";
import { open } from "../storage/simulated-vault.ts";
import { inspectStore, LARGE_BYTES, storeFoundation, treeOf } from "./simulated-store.ts";
import { bytesOf } from "./store-ground.ts";

vi.setConfig({ testTimeout: isSoak ? TEST_TIMEOUT_MS : 180_000 });

const LARGE = bytesOf(LARGE_BYTES, 9);
/** Of the calls, every so many-eth fails in `npm test`. */
const STRIDE = 12;

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < LARGE.length; at += 1000) yield LARGE.subarray(at, at + 1000);
}

const OPERATIONS: Readonly<Record<string, (vault: Vault) => Promise<unknown>>> = {
  "write of a stream": ({ store }) => store.write("new/stream", pieces()),
  overwrite: ({ store }) => store.write("large", LARGE, { overwrite: true }),
  "relaxed write and flush": async ({ store }) => {
    await store.write("relaxed", LARGE, { durability: "relaxed" });
    await store.flush();
  },
  move: ({ store }) => store.move("large", "folder/large", { overwrite: true }),
  "copy of a directory": ({ store }) => store.copy("folder", "copy"),
  "removal of a directory": ({ store }) => store.remove("folder", { recursive: true }),
  "encryption anew": ({ store }) => store.reencrypt("large"),
};

let count = 0;

test.each(Object.entries(OPERATIONS))(
  "a failing call leaves the old state or the new, and a handle that works: %s",
  async (name, perform) => {
    const base = await storeFoundation();
    const copyOf = (): typeof base.disk => base.disk.killedAfter(base.disk.steps);
    const after = await (async () => {
      const disk = copyOf();
      const vault = await open(disk, base.code);
      await perform(vault);
      return treeOf(disk, vault);
    })();
    const tried = await tryAll(async (armed) => {
      const disk = copyOf();
      const vault = await open(disk, base.code);
      const disarm = armed(disk);
      const outcome = await settled(perform(vault));
      disarm();
      expectTyped(outcome);
      const now = await treeOf(disk, vault);
      const isUnknown =
        "error" in outcome && isCofferError(outcome.error) && outcome.error.reason === "outcome-unknown";
      const isFlush = name.includes("flush");
      const possible =
        "value" in outcome ? [after] : isUnknown || isFlush ? [base.contents, after] : [base.contents];
      expect(possible).toContain(now);
      await vault.store.write("afterwards", LARGE);
      const contents = await treeOf(disk, vault);
      await vault.close();
      expect(await inspectStore(disk, base.code)).toEqual({ contents });
    }, STRIDE);
    count += tried;
    if (name === Object.keys(OPERATIONS).at(-1)) report("store: faults at our calls", { faults: count });
    expect(tried).toBeGreaterThan(3);
  },
);
