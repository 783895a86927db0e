import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isCofferError } from "../../src/errors.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { openVault, type Vault } from "../../src/vault.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { bytesOf, storeGround } from "./store-ground.ts";

const SECRET = "a passphrase for tests";
const NAMES = Array.from({ length: 60 }, (_, n) => `folder/file ${n}`);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "done";
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error.code;
  }
}

/** A closed vault whose names lie in a table, and the path of that. */
async function vaultInTables(): Promise<{ folder: string; directory: string; table: string }> {
  const ground = await storeGround();
  await Promise.all(NAMES.map((name, n) => ground.vault.store.write(name, bytesOf(100, n))));
  // LevelDB writes what is in its log into a table when it opens.
  await (await ground.reopen()).close();
  const { folder, directory } = ground;
  const tables = (await readdir(join(directory, "db-1"))).filter((name) => name.endsWith(".ldb"));
  const sizes = await Promise.all(
    tables.map(async (name) => ({ name, size: (await stat(join(directory, "db-1", name))).size })),
  );
  const largest = sizes.toSorted((a, b) => b.size - a.size)[0]?.name as string;
  return { folder, directory, table: join("db-1", largest) };
}

async function withVault<T>(
  directory: string,
  notices: VaultNotice[],
  work: (vault: Vault) => Promise<T>,
): Promise<T> {
  const onWarning = (notice: VaultNotice): void => void notices.push(notice);
  const vault = await openVault(directory, { unlock: cheapPassphrase(SECRET), onWarning });
  try {
    return await work(vault);
  } finally {
    await vault.close();
  }
}

test(
  "a bit that hides a name from a search makes it neither absent nor free [F-244]",
  { timeout: 120_000 },
  async () => {
    const { folder, directory, table } = await vaultInTables();
    const original = await readFile(join(directory, table));
    let hidden = 0;
    let opened = 0;
    // The list of restart points of the last block of data, the filter, the indexes.
    for (let fromEnd = 60; fromEnd < 900; fromEnd += 21) {
      const copy = join(folder, `copy-${fromEnd}`);
      await cp(directory, copy, { recursive: true });
      const bytes = Buffer.from(original);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - fromEnd) ^ 4, bytes.length - fromEnd);
      await writeFile(join(copy, table), bytes);
      const notices: VaultNotice[] = [];
      const outcome = await codeOf(
        withVault(copy, notices, async ({ store }) => {
          opened += 1;
          expect(notices.map(({ type }) => type)).toContain("damage");
          expect((await store.verify()).problems).toContainEqual(expect.objectContaining({ problem: "rot" }));
          for (const name of NAMES) {
            const found = await codeOf(store.read(name));
            if (found === "COFFER_DAMAGED") hidden += 1;
            expect(["done", "COFFER_DAMAGED"]).toContain(found);
            const written = await codeOf(store.write(name, "other"));
            expect(["COFFER_ALREADY_EXISTS", "COFFER_DAMAGED"]).toContain(written);
            if (found === "done") expect(written).toBe("COFFER_ALREADY_EXISTS");
          }
          expect(await codeOf(store.read("folder/none"))).toBe("COFFER_DAMAGED");
        }),
      );
      expect(["done", "COFFER_DAMAGED"]).toContain(outcome);
    }
    expect(opened).toBeGreaterThan(10);
    expect(hidden).toBeGreaterThan(0);
  },
);

test("a vault that is sound has no notice, and what is absent is absent", async () => {
  const { directory } = await vaultInTables();
  const notices: VaultNotice[] = [];
  await withVault(directory, notices, async ({ store }) => {
    expect((await store.verify()).problems).toEqual([]);
    expect(await codeOf(store.read("folder/none"))).toBe("COFFER_NOT_FOUND");
  });
  expect(notices).toEqual([]);
});

test("a table that was never finished, by a kill or on a full disk, is no rot", async () => {
  const { directory, table } = await vaultInTables();
  const bytes = await readFile(join(directory, table));
  for (const [name, length] of [
    ["000900.ldb", bytes.length - 20],
    ["000901.ldb", 30],
    ["000902.ldb", 0],
  ] as const) {
    await writeFile(join(directory, "db-1", name), bytes.subarray(0, length), { mode: 0o600 });
  }
  const notices: VaultNotice[] = [];
  await withVault(directory, notices, async ({ store }) => {
    expect((await store.verify()).problems).toEqual([]);
    expect(await codeOf(store.read("folder/none"))).toBe("COFFER_NOT_FOUND");
  });
  expect(notices).toEqual([]);
});
