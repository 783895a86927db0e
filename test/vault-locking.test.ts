import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AutoLock, type AutoLockOptions, SYSTEM_TIME, type TimeSource } from "../src/auto-lock.ts";
import { createVault, type LockReason, type Vault } from "../src/index.ts";
import { passphraseWith } from "../src/keystore/slots/passphrase.ts";
import { nodeFileSystem } from "../src/storage/file-system.ts";
import { openLevelStore } from "../src/storage/level-store.ts";
import { createVaultIn } from "../src/vault.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

/** Both clocks and the timers of one machine, moved by hand. */
class Machine implements TimeSource {
  wall = 1_800_000_000_000;
  readonly delays: number[] = [];
  #monotonic = 1000;
  #timers: { at: number; callback: () => void; isIdle: boolean }[] = [];

  readonly monotonicMs = (): number => this.#monotonic;
  readonly wallMs = (): number => this.wall;

  readonly timer: TimeSource["timer"] = (callback, delayMs, isIdle) => {
    const timer = { at: this.#monotonic + delayMs, callback, isIdle };
    this.delays.push(delayMs);
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((each) => each !== timer));
  };

  get waiting(): readonly boolean[] {
    return this.#timers.map(({ isIdle }) => isIdle);
  }

  /** Lets time pass, timer by timer. */
  pass(ms: number): void {
    const end = this.#monotonic + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((each) => each !== due);
      this.#move(due.at - this.#monotonic);
      due.callback();
    }
    this.#move(end - this.#monotonic);
  }

  /** The machine sleeps: the monotonic clock and all timers stand still. */
  sleep(ms: number): void {
    this.wall += ms;
  }

  #move(ms: number): void {
    this.#monotonic += ms;
    this.wall += ms;
  }
}

function autoLock(limits: AutoLockOptions): {
  machine: Machine;
  lock: AutoLock;
  locked: LockReason[];
  work: { isBusy: boolean };
} {
  const machine = new Machine();
  const locked: LockReason[] = [];
  const work = { isBusy: false };
  const lock = new AutoLock(limits, {
    time: machine,
    wallMs: machine.wallMs,
    isBusy: () => work.isBusy,
    lock: (reason) => locked.push(reason),
  });
  lock.start();
  return { machine, lock, locked, work };
}

describe("autoLock", () => {
  test("locks once after idleMs without use, by a timer that keeps no process alive", () => {
    const { machine, lock, locked } = autoLock({ idleMs: 60_000 });
    machine.pass(59_000);
    lock.use();
    machine.pass(59_999);
    expect(locked).toEqual([]);
    expect(machine.waiting).toEqual([true]);
    machine.pass(2);
    expect(locked).toEqual(["idle"]);
    machine.pass(1_000_000);
    lock.use();
    expect(locked).toEqual(["idle"]);
    expect(machine.waiting).toEqual([]);
  });

  test("locks after absoluteMs whatever is used or running", () => {
    const { machine, lock, locked, work } = autoLock({ idleMs: 60_000, absoluteMs: 100_000 });
    work.isBusy = true;
    for (let i = 0; i < 9; i++) {
      machine.pass(11_000);
      lock.use();
    }
    expect(locked).toEqual([]);
    machine.pass(1001);
    expect(locked).toEqual(["absolute"]);
  });

  test("takes a running operation for use, and counts from its end", () => {
    const { machine, locked, work } = autoLock({ idleMs: 60_000 });
    work.isBusy = true;
    machine.pass(1_000_000);
    expect(locked).toEqual([]);
    work.isBusy = false;
    machine.pass(50_000);
    expect(locked).toEqual([]);
    machine.pass(20_001);
    expect(locked).toEqual(["idle"]);
  });

  test.each([{ idleMs: 600_000 }, { absoluteMs: 600_000 }])(
    "locks at the first call after a sleep past the deadline: A-29 (%o)",
    (limits) => {
      const { machine, lock, locked } = autoLock(limits);
      machine.sleep(600_001);
      lock.use();
      expect(locked).toHaveLength(1);
    },
  );

  test("locks within ten seconds of waking where nobody calls: A-29", () => {
    const { machine, locked } = autoLock({ idleMs: 86_400_000 });
    machine.pass(1000);
    machine.sleep(86_400_000);
    machine.pass(10_000);
    expect(locked).toEqual(["idle"]);
  });

  test("is not put off by a clock that is set back, before a sleep too: A-29", () => {
    const { machine, lock, locked } = autoLock({ absoluteMs: 600_000 });
    machine.wall -= 10 * 365 * 86_400_000;
    machine.pass(300_000);
    expect(locked).toEqual([]);
    machine.sleep(300_001);
    lock.use();
    expect(locked).toEqual(["absolute"]);
    const back = autoLock({ idleMs: 600_000 });
    back.machine.wall -= 86_400_000;
    back.machine.pass(600_000);
    expect(back.locked).toEqual(["idle"]);
  });

  test("locks early, not late, when the clock is set forward: A-29", () => {
    const { machine, lock, locked } = autoLock({ idleMs: 600_000 });
    machine.wall += 10 * 365 * 86_400_000;
    lock.use();
    expect(locked).toEqual(["idle"]);
  });

  test("keeps to limits of months, beyond what a timer can wait", () => {
    const { machine, locked } = autoLock({ absoluteMs: 100 * 86_400_000 });
    machine.sleep(100 * 86_400_000 - 15_000);
    machine.pass(14_999);
    expect(locked).toEqual([]);
    machine.pass(1);
    expect(locked).toEqual(["absolute"]);
    expect(Math.max(...machine.delays)).toBeLessThanOrEqual(2 ** 31 - 1);
  });

  test("does nothing without limits", () => {
    const { machine, lock, locked } = autoLock({});
    machine.pass(1e12);
    lock.use();
    expect([locked, machine.waiting]).toEqual([[], []]);
  });

  test("has timers that fire, and that can be cancelled", async () => {
    const fired: string[] = [];
    const cancel = SYSTEM_TIME.timer(() => fired.push("cancelled"), 1, true);
    await new Promise<void>((resolve) => {
      SYSTEM_TIME.timer(resolve, 20, false);
      SYSTEM_TIME.timer(() => fired.push("never"), 1e12, true);
      cancel();
    });
    expect(fired).toEqual([]);
  });
});

describe("a vault with autoLock", () => {
  async function makeVault(
    autoLock?: AutoLockOptions,
  ): Promise<{ vault: Vault; machine: Machine; events: unknown[] }> {
    const machine = new Machine();
    const { vault } = await createVaultIn(
      { fs: nodeFileSystem, openEngine: openLevelStore, time: machine },
      join(await scratch(), "v"),
      { unlock: cheapPassphrase(), clock: machine.wallMs, ...(autoLock && { autoLock }) },
    );
    const events: unknown[] = [];
    vault.on("lock", (event) => events.push(event)).on("unlock", () => events.push("unlock"));
    return { vault, machine, events };
  }

  test("locks itself, says why, and begins anew when it is unlocked", async () => {
    const { vault, machine, events } = await makeVault({ idleMs: 60_000, absoluteMs: 600_000 });
    const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: "x" });
    machine.pass(59_000);
    await vault.kms.decrypt({ ciphertextBlob });
    machine.pass(59_000);
    await vault.slots.list();
    machine.pass(60_001);
    expect(vault.state).toBe("locked");
    await expect(vault.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject({
      code: "COFFER_LOCKED",
      reason: "idle",
    });
    await vault.unlock(cheapPassphrase());
    for (let i = 0; i < 10; i++) {
      machine.pass(59_000);
      await vault.kms.decrypt({ ciphertextBlob });
    }
    machine.sleep(11_000);
    await expect(vault.kms.decrypt({ ciphertextBlob })).rejects.toMatchObject({ reason: "absolute" });
    await vault.close();
    expect(events).toEqual([{ reason: "idle" }, "unlock", { reason: "absolute" }]);
  });

  test("refuses limits that are none", async () => {
    for (const idleMs of [0, -1, 1.5, Number.NaN, "60"]) {
      const options = { unlock: cheapPassphrase(), autoLock: { idleMs } } as Parameters<
        typeof createVault
      >[1];
      await expect(createVault(join(await scratch(), "v"), options)).rejects.toThrow(/autoLock\.idleMs/u);
    }
    const unknown = { unlock: cheapPassphrase(), autoLock: { idle: 5 } } as Parameters<typeof createVault>[1];
    await expect(createVault(join(await scratch(), "v"), unknown)).rejects.toThrow(/autoLock\.idle/u);
  });

  test("says why it is locked when it was asked to, and closed", async () => {
    const { vault, events } = await makeVault();
    await vault.lock();
    await expect(vault.kms.listKeys()).rejects.toMatchObject({ code: "COFFER_LOCKED", reason: "requested" });
    await vault.unlock(cheapPassphrase());
    await vault.close();
    expect(events).toEqual([{ reason: "requested" }, "unlock", { reason: "closed" }]);
  });

  describe("after wrong secrets", () => {
    const outcome = async (trial: Promise<void>): Promise<unknown> =>
      trial.then(
        () => "unlocked",
        (error: unknown) => (error as { code: unknown }).code,
      );
    const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

    test("waits longer and longer on the same handle, and anew after a right one: A-21", async () => {
      const { vault, machine } = await makeVault();
      await vault.lock();
      const waits: number[] = [];
      for (let i = 0; i < 10; i++) {
        const before = machine.delays.length;
        const trial = outcome(vault.unlock(cheapPassphrase("wrong")));
        await settled();
        const wait = machine.delays[before] ?? 0;
        waits.push(wait);
        if (i === 3) expect(machine.waiting).toEqual([false]);
        machine.pass(wait);
        expect(await trial).toBe("COFFER_WRONG_SECRET");
      }
      expect(waits).toEqual([0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
      machine.pass(30_000);
      expect(await outcome(vault.unlock(cheapPassphrase()))).toBe("unlocked");
      await vault.lock();
      expect(await outcome(vault.unlock(cheapPassphrase("wrong")))).toBe("COFFER_WRONG_SECRET");
      await vault.close();
    });

    test("can be aborted, locked and closed while it waits", async () => {
      const { vault } = await makeVault();
      await vault.lock();
      await outcome(vault.unlock(cheapPassphrase("wrong")));
      const reason = new Error("no patience");
      const controller = new AbortController();
      const aborted = vault.unlock(cheapPassphrase(), { signal: controller.signal });
      await settled();
      controller.abort(reason);
      await expect(aborted).rejects.toBe(reason);
      const locked = outcome(vault.unlock(cheapPassphrase()));
      await vault.lock();
      expect(await locked).toBe("COFFER_LOCKED");
      const closed = outcome(vault.unlock(cheapPassphrase()));
      await vault.close();
      expect(await closed).toBe("COFFER_LOCKED");
      expect(vault.state).toBe("closed");
    });
  });
});

describe("lock() while work is under way: A-28", () => {
  test("ends a slot's making and an unlock with COFFER_LOCKED, and the vault stays locked", async () => {
    const { vault } = await createVault(join(await scratch(), "v"), { unlock: cheapPassphrase() });
    const cost = { memoryKiB: 65_536, passes: 3, lanes: 4 };
    const adding = vault.slots.add(passphraseWith("slow", { cost }));
    const startedMs = performance.now();
    const locking = vault.lock();
    await expect(adding).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    await locking;
    expect(performance.now() - startedMs).toBeLessThan(1000);
    const unlocking = vault.unlock(cheapPassphrase());
    await vault.lock();
    await expect(unlocking).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    expect(vault.state).toBe("locked");
    await vault.unlock(cheapPassphrase());
    expect(await vault.slots.list()).toHaveLength(2);
    await vault.close();
  });
});
