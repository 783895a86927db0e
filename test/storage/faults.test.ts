/**
 * Every call of the file-system port and of the engine, made to fail, once and for good: the operation succeeds, or
 * fails with a typed error and the old state; and once the cause has passed the same handle works, and nothing that
 * it says is lost in a power cut.
 *
 * Each call fails with EIO, and every second one in one of the other ways in turn; in soak, in every way.
 */
import { expect, test, vi } from "vitest";
import { isCofferError } from "../../src/errors.ts";
import type { Vault } from "../../src/vault.ts";
import { report, TEST_TIMEOUT_MS, times } from "../field/scale.ts";
import { type Fault, SimulatedDisk } from "./simulated-disk.ts";
import { contentsOf, crashes, create, inspect, Inspector, open, secret, VAULT } from "./simulated-vault.ts";

const CODES = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EBUSY", "EMFILE", "ENOENT"] as const;
const FAULTS: readonly Fault[] = ["short", ...["EIO", ...CODES].map((code) => ({ code }))];

/** Hundreds of vaults are made. */
vi.setConfig({ testTimeout: Math.max(180_000, TEST_TIMEOUT_MS) });

/** What was tried: the n-th call fails, alone or with all that follow. */
interface Trial {
  readonly fault: Fault;
  readonly nth: number;
  readonly isPersistent: boolean;
}

/** Arms a disk. @returns whether the fault has come about. */
function arm(disk: SimulatedDisk, { fault, nth, isPersistent }: Trial): () => string | undefined {
  let calls = 0;
  let first: string | undefined;
  disk.faults = (call, path) => {
    // Only these can do less than asked and say so.
    if (fault === "short" && call !== "file read" && call !== "file write") return undefined;
    calls++;
    if (calls < nth || (calls > nth && !isPersistent)) return undefined;
    first ??= `${call} ${path}`;
    return fault;
  };
  return () => {
    disk.faults = () => undefined;
    return first;
  };
}

/** Every fault, alone and for good, but for the one of which every call gets its own trial. */
const COMBINATIONS = FAULTS.flatMap((fault) => [
  { fault, isPersistent: true },
  { fault, isPersistent: false },
]);

function trials(nth: number): readonly Trial[] {
  const begin = Math.ceil(nth / 2) * 7;
  const inTurn = [...COMBINATIONS, ...COMBINATIONS].slice(begin % COMBINATIONS.length);
  const others = inTurn.slice(0, times(nth % 2, COMBINATIONS.length));
  return [{ fault: { code: "EIO" }, isPersistent: false }, ...others].map((one) => ({ ...one, nth }));
}

type Settled<T> = { readonly value: T } | { readonly error: unknown };

async function settled<T>(performed: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await performed };
  } catch (error) {
    return { error };
  }
}

/** A vault that is closed, with two keys. */
async function foundation(): Promise<{ disk: SimulatedDisk; code: string; contents: string }> {
  const disk = SimulatedDisk.empty();
  const { vault, code } = await create(disk);
  await vault.kms.createKey({ alias: "alias/first" });
  const contents = await contentsOf(disk, vault);
  await vault.close();
  return { disk, code, contents };
}

/**
 * Tries an operation with every fault at the first call, the second, and so on until it has no more calls.
 * @param attempt performs it on a disk that `arm` has not armed yet, and checks what came of it.
 * @returns how many faults there were.
 */
async function tryAll(
  attempt: (arm: (disk: SimulatedDisk) => () => string | undefined, trial: Trial) => Promise<void>,
): Promise<number> {
  let tried = 0;
  for (let nth = 1, isOver = false; !isOver; nth++) {
    isOver = true;
    for (const trial of trials(nth)) {
      let fired: string | undefined;
      const name = (): string =>
        `${trial.fault === "short" ? "short" : trial.fault.code} ${trial.isPersistent ? "from" : "at"} call ${nth}, ${fired}`;
      try {
        await attempt((disk) => {
          const disarm = arm(disk, trial);
          return () => (fired = disarm());
        }, trial);
      } catch (error) {
        throw new Error(`${name()}: ${String(error)}`, { cause: error });
      }
      if (fired === undefined) continue;
      isOver = false;
      tried++;
    }
  }
  return tried;
}

function expectTyped(outcome: Settled<unknown>): void {
  if ("error" in outcome) expect(isCofferError(outcome.error), String(outcome.error)).toBe(true);
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

let count = 0;

test("createVault makes a whole vault, or none, and can be called again", async () => {
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
});

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
  report("faults of every call", { faults: count });
});
