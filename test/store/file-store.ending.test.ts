import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cheapPassphrase } from "../../src/testing.ts";
import { open } from "../storage/simulated-vault.ts";
import { storeFoundation, treeOf } from "./simulated-store.ts";
import { all, bytesOf, storeGround } from "./store-ground.ts";

const LARGE = bytesOf(70_000);

/** A source that gives some bytes and then does what it is told. */
async function* source(then: () => Promise<void>): AsyncGenerator<Uint8Array> {
  yield LARGE;
  await then();
}

const forever = (): Promise<void> => new Promise(() => undefined);

test("a source that hangs is left when the vault is locked or the signal aborts; one that fails says why", async () => {
  const ground = await storeGround();
  const { vault } = ground;
  const controller = new AbortController();
  const aborted = vault.store.write("aborted", source(forever), { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 20);
  await expect(aborted).rejects.toThrow("enough");
  const failing = source(() => Promise.reject(new Error("of the source")));
  await expect(vault.store.write("failed", failing)).rejects.toThrow("of the source");
  await vault.store.write(
    "early",
    source(() => Promise.resolve()),
  );
  const locked = vault.store.write("locked", source(forever));
  setTimeout(() => void vault.lock(), 20);
  await expect(locked).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await vault.unlock(cheapPassphrase("a passphrase for tests"));
  expect((await all(vault.store.list())).map(({ name }) => name)).toEqual(["early"]);
  await expect.poll(() => readdirSync(join(ground.directory, "incoming"))).toEqual([]);
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("lock ends what is under way, and leaves nothing half done", async () => {
  const ground = await storeGround();
  const { vault } = ground;
  for (let n = 0; n < 30; n++) await vault.store.write(`folder/${n}`, n % 2 === 0 ? LARGE : "small");
  const file = await vault.store.open("folder/0");
  const stream = await vault.store.readStream("folder/2");
  const running: Record<string, Promise<unknown>> = {
    copy: vault.store.copy("folder", "copy"),
    walk: all(vault.store.walk()),
    verify: vault.store.verify(),
    reencrypt: vault.store.reencrypt("folder"),
    write: vault.store.write(
      "written",
      source(() => new Promise((resolve) => setTimeout(resolve, 50))),
    ),
  };
  const settled = Promise.allSettled(Object.values(running));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await vault.lock();
  for (const outcome of await settled) {
    if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "COFFER_LOCKED" });
  }
  await expect(file.read(0, 10)).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await expect(all(stream)).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await vault.unlock(cheapPassphrase("a passphrase for tests"));
  const names = (await all(vault.store.list())).map(({ name }) => name);
  expect(["folder", "copy,folder", "folder,written", "copy,folder,written"]).toContain(names.join());
  for (let n = 0; n < 30; n++) {
    expect((await vault.store.read(`folder/${n}`)).length).toBe(n % 2 === 0 ? LARGE.length : 5);
  }
  const again = await ground.reopen();
  expect((await again.store.verify()).problems).toEqual([]);
  await again.close();
  const left = readdirSync(join(ground.directory, "incoming"));
  expect([
    left.length,
    readdirSync(join(ground.directory, "objects"), { recursive: true }).filter((name) =>
      String(name).endsWith(".cof"),
    ).length,
  ]).toEqual([0, 15 + (names.includes("copy") ? 15 : 0) + (names.includes("written") ? 1 : 0)]);
});

test("on a medium that cannot be written files are read, and changes refused", async () => {
  const { disk, code, contents } = await storeFoundation();
  const WRITING = /^(?:rename|unlink|link|mkdir|rmdir|removeTree|chmod|copyFile|file write|file truncate)$/u;
  disk.faults = (call, path) =>
    WRITING.test(call) && path.startsWith("/disk/user") ? { code: "EROFS" } : undefined;
  const vault = await open(disk, code);
  expect(vault.isReadOnly).toBe(true);
  expect(await treeOf(disk, vault)).toBe(contents);
  const { store } = vault;
  const changes = [
    store.write("new", LARGE),
    store.write("small", "x", { overwrite: true }),
    store.createDirectory("new"),
    store.move("small", "new"),
    store.copy("folder", "new"),
    store.remove("large"),
    store.reencrypt(""),
    store.rewrapAll(),
  ];
  for (const change of changes) {
    await expect(change).rejects.toMatchObject({ code: "COFFER_IO", reason: "read-only" });
  }
  expect(await treeOf(disk, vault)).toBe(contents);
  await vault.close();
});
