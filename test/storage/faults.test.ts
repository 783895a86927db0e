/**
 * Every call of the file-system port and of the engine, made to fail, once and for good: the operation succeeds, or
 * fails with a typed error and the old state; and once the cause has passed the same handle works, and nothing that
 * it says is lost in a power cut.
 *
 * Each call fails with EIO, and in one of the other ways in turn; in soak, in every way.
 */
import { expect, test, vi } from "vitest";
import { isCofferError } from "../../src/errors.ts";
import type { Vault } from "../../src/vault.ts";
import { isSoak, report, TEST_TIMEOUT_MS } from "../field/scale.ts";
import { expectTyped, settled, tryAll } from "./fault-trials.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { contentsOf, crashes, create, inspect, Inspector, open, secret, VAULT } from "./simulated-vault.ts";

vi.setConfig({ testTimeout: TEST_TIMEOUT_MS });

/** A vault that is closed, with two keys. */
async function foundation(): Promise<{ disk: SimulatedDisk; code: string; contents: string }> {
  const disk = SimulatedDisk.empty();
  const { vault, code } = await create(disk);
  await vault.kms.createKey({ alias: "alias/first" });
  const contents = await contentsOf(disk, vault);
  await vault.close();
  return { disk, code, contents };
}

/** The same handle takes a change now, and what it says survives whatever a crash may do. */
async function expectWorking(disk: SimulatedDisk, vault: Vault, code: string): Promise<void> {
  await vault.kms.createKey({ alias: "alias/afterwards" });
  const contents = await contentsOf(disk, vault);
  expect(contents).toContain("alias/afterwards");
  const inspector = new Inspector(code);
  for (const crash of crashes(disk, disk.steps, disk.steps)) {
    // Here the process that finds the lock is the one that made it.
    crash.disk.put(`${VAULT}/vault.lock`, undefined);
    expect(await inspector.inspect(crash.disk), crash.kind).toEqual({ contents });
  }
}

/** A vault whose lock could not be written is open for reading only, and says so; opened again, it is whole. */
async function writable(disk: SimulatedDisk, vault: Vault, code: string): Promise<Vault> {
  if (!vault.isReadOnly) return vault;
  await vault.close();
  return open(disk, code);
}

/** Hundreds of vaults are made. */
const SLOW_MACHINE_MS = isSoak ? TEST_TIMEOUT_MS : 180_000;

let count = 0;

test(
  "createVault makes a whole vault, or none, and can be called again",
  async () => {
    const tried = await tryAll(async (armed, { isPersistent }) => {
      const disk = SimulatedDisk.empty();
      const disarm = armed(disk);
      const outcome = await settled(create(disk));
      disarm();
      expectTyped(outcome);
      if ("value" in outcome) {
        const { vault, code } = outcome.value;
        await expectWorking(disk, await writable(disk, vault, code), code);
        return;
      }
      const found = await inspect(disk.killedAfter(disk.steps));
      // Where nothing works any more, a vault that is made already cannot be taken back.
      if ("contents" in found && isPersistent) return;
      expect("refused" in found && found.refused).toBe("COFFER_VAULT_NOT_FOUND");
      const { vault, code } = await create(disk);
      await expectWorking(disk, vault, code);
    });
    count += tried;
    expect(tried).toBeGreaterThan(100);
  },
  SLOW_MACHINE_MS,
);

test("openVault opens the vault as it is, or leaves it so, and can be called again", async () => {
  const base = await foundation();
  const tried = await tryAll(async (armed) => {
    const disk = base.disk.killedAfter(base.disk.steps);
    const disarm = armed(disk);
    const outcome = await settled(open(disk, base.code));
    disarm();
    expectTyped(outcome);
    const vault = "value" in outcome ? outcome.value : await open(disk, base.code);
    expect(await contentsOf(disk, vault)).toBe(base.contents);
    await expectWorking(disk, await writable(disk, vault, base.code), base.code);
  });
  count += tried;
  expect(tried).toBeGreaterThan(100);
});

test.each([0, 1])(
  "a change is made whole, or not at all, after %i others [F-114] [F-115]",
  async (before) => {
    const base = await foundation();
    const tried = await tryAll(async (armed) => {
      const disk = base.disk.killedAfter(base.disk.steps);
      const vault = await open(disk, base.code);
      for (let n = 0; n < before; n++) await vault.kms.createKey({ alias: `alias/${n}` });
      const old = await contentsOf(disk, vault);
      const disarm = armed(disk);
      const outcome = await settled(vault.kms.createKey({ alias: "alias/tried", description: "tried" }));
      disarm();
      expectTyped(outcome);
      const now = await contentsOf(disk, vault);
      const isUnknown =
        "error" in outcome && isCofferError(outcome.error) && outcome.error.reason === "outcome-unknown";
      const isThere = now.includes("alias/tried") && now.includes(" tried");
      if ("value" in outcome) expect(isThere).toBe(true);
      else if (!isUnknown || !isThere) expect(now).toBe(old);
      await expectWorking(disk, vault, base.code);
    });
    count += tried;
    expect(tried).toBeGreaterThan(25);
  },
);

test("lock and unlock keep the handle, and everything in the vault", async () => {
  const base = await foundation();
  const tried = await tryAll(async (armed) => {
    const disk = base.disk.killedAfter(base.disk.steps);
    const vault = await open(disk, base.code);
    await vault.kms.createKey({ alias: "alias/made" });
    const contents = await contentsOf(disk, vault);
    const disarm = armed(disk);
    const locking = await settled(vault.lock());
    const unlocking = await settled(vault.unlock(secret()));
    disarm();
    expectTyped(locking);
    expectTyped(unlocking);
    if (vault.state !== "unlocked") await vault.unlock(secret());
    expect(await contentsOf(disk, vault)).toBe(contents);
    await expectWorking(disk, vault, base.code);
  });
  count += tried;
  expect(tried).toBeGreaterThan(20);
});

test("close lets go of the vault, at once or when it is called again", async () => {
  const base = await foundation();
  const tried = await tryAll(async (armed) => {
    const disk = base.disk.killedAfter(base.disk.steps);
    const vault = await open(disk, base.code);
    await vault.kms.createKey({ alias: "alias/made" });
    const contents = await contentsOf(disk, vault);
    const disarm = armed(disk);
    const closing = await settled(vault.close());
    disarm();
    expectTyped(closing);
    if ("error" in closing) await vault.close();
    const again = await open(disk, base.code);
    expect(await contentsOf(disk, again)).toBe(contents);
    await expectWorking(disk, again, base.code);
  });
  count += tried;
  expect(tried).toBeGreaterThan(10);
  report("faults at our calls", { faults: count });
});
