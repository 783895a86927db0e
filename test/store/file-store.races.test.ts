import { expect, test } from "vitest";
import { all, bytesOf, storeGround } from "./store-ground.ts";

const LARGE = bytesOf(5000);

test("a copied directory that gets its name while garbage is collected keeps all that is in it [F-240]", async () => {
  const ground = await storeGround();
  const { vault } = ground;
  for (let n = 0; n < 4; n++) await vault.store.write(`source/${n}`, LARGE);
  const paths = ["0", "1", "2", "3"].map((name) => `source/${name}`);
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 40; n++) await vault.store.createDirectory(`garbage/${n}/x`);
    // The list of garbage is long, and read before the copy has its name.
    const removals = Array.from({ length: 40 }, (_, n) =>
      vault.store.remove(`garbage/${n}`, { recursive: true }),
    );
    const copying = vault.store.copy("source", `copy-${round}`);
    await Promise.all(removals);
    // Refused while the copy reads.
    await vault.store.remove("garbage", { recursive: true, purge: true }).catch(() => undefined);
    await copying;
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  const again = await ground.reopen();
  for (let round = 0; round < 2; round++) {
    const found = await all(again.store.walk(`copy-${round}`));
    expect(found.map(({ path }) => path.replace(`copy-${round}`, "source"))).toEqual(paths);
  }
  expect((await again.store.verify()).problems).toEqual([]);
});

test("a directory is copied while its files are removed and written anew", async () => {
  const { vault } = await storeGround();
  const names = Array.from({ length: 12 }, (_, n) => `source/${n}`);
  for (const name of names) await vault.store.write(name, LARGE);
  const newer = bytesOf(6000, 2);
  const copying = vault.store.copy("source", "copy");
  for (const name of names.slice(6, 9)) await vault.store.remove(name);
  for (const name of names.slice(9)) await vault.store.write(name, newer, { overwrite: true });
  await vault.store.move("source", "moved");
  await copying;
  for (const { path } of await all(vault.store.walk("copy"))) {
    const content = await vault.store.read(path);
    expect([LARGE, newer]).toContainEqual(content);
  }
  for (const name of names.slice(0, 6)) {
    expect(await vault.store.read(name.replace("source", "copy"))).toEqual(LARGE);
  }
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("what a removed directory held is no orphan while it waits to be collected [F-242]", async () => {
  const { vault } = await storeGround();
  for (let n = 0; n < 5; n++) await vault.store.write(`folder/${n}/large`, LARGE);
  await vault.store.remove("folder", { recursive: true });
  expect((await vault.store.verify()).problems).toEqual([]);
});

test("a file that is removed in the moment it was written leaves no object", async () => {
  const ground = await storeGround();
  const { vault } = ground;
  for (let round = 0; round < 8; round++) {
    const writing = vault.store.write("x", LARGE);
    // As soon as the name is there, whether or not its object has been moved.
    const removing = (async () => {
      const isThere = (): Promise<boolean> =>
        vault.store.stat("x").then(
          () => true,
          () => false,
        );
      while (!(await isThere())) await new Promise((resolve) => setImmediate(resolve));
      // Collects at once. Somebody may use it at this moment: then it goes later.
      await vault.store.remove("x", { purge: true }).catch(() => undefined);
    })();
    await Promise.all([writing, removing]);
  }
  expect((await vault.store.verify()).problems).toEqual([]);
  const again = await ground.reopen();
  expect((await again.store.verify()).problems).toEqual([]);
});
