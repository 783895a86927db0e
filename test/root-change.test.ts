import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hex } from "../src/bytes.ts";
import { parseHeader } from "../src/formats/header.ts";
import { createVault, openVault, recovery, type Unlocker, type Vault } from "../src/index.ts";
import { History, badCrashes, create, Inspector, open, secret, VAULT } from "./storage/simulated-vault.ts";
import { SimulatedDisk } from "./storage/simulated-disk.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();

interface Sample {
  readonly vault: Vault;
  readonly directory: string;
  readonly recoveryCode: string;
  readonly blob: Uint8Array;
}

async function makeVault(): Promise<Sample> {
  const directory = join(await scratch(), "v");
  const { vault, recoveryCode } = await createVault(directory, { unlock: cheapPassphrase("old") });
  await vault.kms.createKey({
    alias: "alias/one",
    description: "one",
    tags: [{ tagKey: "a", tagValue: "b" }],
  });
  const { ciphertextBlob } = await vault.kms.encrypt({ keyId: "alias/one", plaintext: "kept" });
  return { vault, directory, recoveryCode, blob: ciphertextBlob };
}

async function opens(directory: string, unlock: Unlocker): Promise<boolean> {
  try {
    await (await openVault(directory, { unlock })).close();
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: "COFFER_WRONG_SECRET" });
    return false;
  }
}

const slots = (): { unlocker: Unlocker; label: string }[] => [
  { unlocker: cheapPassphrase("new"), label: "new" },
];

describe("a new root key", () => {
  test("keeps keys, names, tags and blobs, and lets only the new ways in open [F-140] [F-143]", async () => {
    const { vault, directory, recoveryCode, blob } = await makeVault();
    const before = await vault.kms.listAliases();
    const { keyMetadata } = await vault.kms.describeKey({ keyId: "alias/one" });
    const named = ({ aliases }: typeof before): unknown =>
      new Map(aliases.map((alias) => [alias.aliasName, alias]));
    const rotated = await vault.rotateRootKey({ slots: slots() });
    expect(rotated.isOldRootDead).toBe(true);
    const kept = async (open: Vault): Promise<void> => {
      expect(named(await open.kms.listAliases())).toEqual(named(before));
      expect((await open.kms.listResourceTags({ keyId: keyMetadata.keyId })).tags).toEqual([
        { tagKey: "a", tagValue: "b" },
      ]);
      expect(Buffer.from((await open.kms.decrypt({ ciphertextBlob: blob })).plaintext).toString()).toBe(
        "kept",
      );
    };
    await kept(vault);
    await vault.kms.createKey({ alias: "alias/after" });
    await vault.kms.deleteAlias({ aliasName: "alias/after" });
    await vault.lock();
    await vault.unlock(cheapPassphrase("new"));
    await kept(vault);
    await vault.close();
    expect(await opens(directory, cheapPassphrase("old"))).toBe(false);
    expect(await opens(directory, recovery(recoveryCode))).toBe(false);
    const again = await openVault(directory, { unlock: recovery(rotated.recoveryCode ?? "") });
    await kept(again);
    expect((await again.slots.list()).map(({ label }) => label)).toEqual(["new", "recovery code"]);
    await again.close();
  });

  test("leaves no slot, no record and no database of the old one behind [F-142]", async () => {
    const { vault, directory } = await makeVault();
    const header = parseHeader(await readFile(join(directory, "header.0")));
    await vault.rotateRootKey({ slots: slots() });
    const tree = await treeOf(directory);
    expect([...tree.keys()].filter((name) => name.startsWith("db-1"))).toEqual([]);
    for (const { sealed } of header.slots) {
      expect([...tree.values()].filter((content) => content.includes(hex(sealed)))).toEqual([]);
    }
    await vault.close();
  });

  test("does not let the old headers or the old database back in [F-144]", async () => {
    const { vault, directory } = await makeVault();
    await vault.slots.setLabel((await vault.slots.list())[0]?.id ?? "", "x");
    const headers = ["header.0", "header.1"].map((name) => join(directory, name));
    const old = await Promise.all(headers.map((path) => readFile(path)));
    await vault.rotateRootKey({ slots: slots() });
    await vault.close();
    for (const [index, path] of headers.entries()) await writeFile(path, old[index] as Uint8Array);
    await expect(openVault(directory, { unlock: cheapPassphrase("old") })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
  });

  test("lets changes wait, and makes them then", async () => {
    const { vault } = await makeVault();
    const [rotated, ...made] = await Promise.all([
      vault.rotateRootKey({ slots: slots(), recoveryCode: false }),
      vault.kms.createKey({ alias: "alias/two" }),
      new Promise((resolve) => setTimeout(resolve, 20)).then(() =>
        vault.kms.createKey({ alias: "alias/three" }),
      ),
      vault.slots.add(cheapPassphrase("late")),
    ]);
    expect(rotated).toEqual({ recoveryCode: undefined, isOldRootDead: true });
    expect(made).toHaveLength(3);
    await vault.lock();
    await vault.unlock(cheapPassphrase("new"));
    expect((await vault.kms.listAliases()).aliases).toHaveLength(4);
    await vault.close();
  });

  test("is made again and again", async () => {
    const { vault, directory } = await makeVault();
    for (let round = 0; round < 3; round++) await vault.rotateRootKey({ slots: slots() });
    await vault.close();
    expect(parseHeader(await readFile(join(directory, "header.0"))).database).toBe(4);
    expect(await opens(directory, cheapPassphrase("new"))).toBe(true);
  });

  test("is not made without a way in, with a used one, or once locked or aborted; then the old one stays", async () => {
    const { vault, directory, recoveryCode } = await makeVault();
    const before = await treeOf(directory);
    await expect(vault.rotateRootKey({ slots: [], recoveryCode: false })).rejects.toMatchObject({
      reason: "last-slot",
    });
    await expect(
      vault.rotateRootKey({ slots: [{ unlocker: recovery(recoveryCode) }] }),
    ).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
    });
    const reason = new Error("enough");
    await expect(vault.rotateRootKey({ slots: slots(), signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    expect(await treeOf(directory)).toEqual(before);
    const rotating = vault.rotateRootKey({ slots: slots() });
    // A turn is less than the files of a new database take.
    await new Promise((resolve) => setImmediate(resolve));
    const locking = vault.lock();
    await expect(rotating).rejects.toMatchObject({ code: "COFFER_LOCKED" });
    await locking;
    await vault.unlock(cheapPassphrase("old"));
    await vault.close();
    expect([...(await treeOf(directory)).keys()].filter((name) => name.startsWith("db-2"))).toEqual([]);
  });
});

test("a slot that is added while the root key changes opens the vault, whenever that was", async () => {
  for (const delayMs of [0, 1, 3, 6, 10, 20, 40]) {
    const { vault, directory } = await makeVault();
    const changing = vault.rotateRootKey({ slots: slots(), recoveryCode: false });
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const [code, added] = await Promise.all([
      vault.slots.addRecovery(),
      vault.slots.add(cheapPassphrase(`added ${delayMs}`)),
      changing,
    ]);
    const listed = new Set((await vault.slots.list()).map(({ id }) => id));
    await vault.close();
    expect(await opens(directory, cheapPassphrase("new"))).toBe(true);
    expect(await opens(directory, cheapPassphrase("old"))).toBe(false);
    // What was durable before the change went with the old ways in; what is listed opens.
    expect(await opens(directory, recovery(code.recoveryCode))).toBe(listed.has(code.slot.id));
    expect(await opens(directory, cheapPassphrase(`added ${delayMs}`))).toBe(listed.has(added.id));
  }
});

test("of two changes of the root key at once the second is refused, and the first counts", async () => {
  const { vault, directory } = await makeVault();
  const first = vault.rotateRootKey({ slots: slots() });
  const other = [{ unlocker: cheapPassphrase("other") }];
  await expect(vault.rotateRootKey({ slots: other })).rejects.toMatchObject({
    code: "COFFER_INVALID_ARGUMENT",
    reason: "under-way",
  });
  const { recoveryCode } = await first;
  await vault.rotateRootKey({ slots: [{ unlocker: cheapPassphrase("third") }], recoveryCode: false });
  await vault.close();
  expect(await opens(directory, cheapPassphrase("third"))).toBe(true);
  for (const dead of [cheapPassphrase("new"), cheapPassphrase("other"), recovery(recoveryCode as string)]) {
    expect(await opens(directory, dead)).toBe(false);
  }
});

describe("a change of the root key or of slots", () => {
  test("killed at any step, or without power, leaves the old vault or the new one, which goes on [F-141]", async () => {
    const disk = SimulatedDisk.empty();
    const { vault } = await create(disk);
    const history = new History(disk);
    await history.pass("begin", async () => vault);
    // The same secret opens before and after: labels and ids tell which of them it is.
    await history.pass("rotateRootKey", async () => {
      await vault.rotateRootKey({ slots: [{ unlocker: secret(), label: "new" }] });
      return vault;
    });
    await history.pass("remove", async () => {
      const [, code] = await vault.slots.list();
      await vault.slots.remove(code?.id ?? "");
      return vault;
    });
    await history.pass("add", async () => {
      await vault.slots.add(secret(), { label: "second" });
      return vault;
    });
    const inspector = new Inspector();
    const [begin] = history.passages;
    expect(await badCrashes(history, inspector, begin?.ended ?? 0)).toEqual([]);
    expect(inspector.asked).toBeGreaterThan(100);
  });

  test("is run again after a kill at any step", async () => {
    const disk = SimulatedDisk.empty();
    const { vault } = await create(disk);
    const begun = disk.steps;
    await vault.rotateRootKey({ slots: [{ unlocker: secret(), label: "new" }] });
    for (let steps = begun; steps <= disk.steps; steps += 3) {
      const again = disk.killedAfter(steps);
      const reopened = await open(again);
      const rotated = await reopened.rotateRootKey({ slots: [{ unlocker: secret(), label: "again" }] });
      expect(rotated.isOldRootDead).toBe(true);
      expect((await reopened.slots.list()).map(({ label }) => label)).toEqual(["again", "recovery code"]);
      await reopened.close();
      expect(again.names(VAULT).filter((name) => name.startsWith("db-"))).toHaveLength(1);
    }
  });

  test("that fails at any call says so with the old state, or warns and has the new one", async () => {
    for (const change of ["rotate", "remove"] as const) {
      for (let failing = 0; ; failing += change === "rotate" ? 4 : 1) {
        const disk = SimulatedDisk.empty();
        const { vault } = await create(disk);
        const [first, code] = await vault.slots.list();
        const warnings: string[] = [];
        vault.on("warning", ({ message }) => warnings.push(message));
        let calls = 0;
        disk.faults = () => (calls++ === failing ? { code: "ENOSPC" } : undefined);
        const result = await (
          change === "rotate"
            ? vault.rotateRootKey({ slots: [{ unlocker: secret(), label: "new" }] })
            : vault.slots.remove(code?.id ?? "")
        ).then(
          () => "done",
          (error: unknown) => error,
        );
        disk.faults = () => undefined;
        const ids = (await vault.slots.list()).map(({ id }) => id);
        if (result === "done") expect(ids).not.toContain(change === "rotate" ? first?.id : code?.id);
        else {
          expect(result).toMatchObject({ code: expect.stringMatching(/^COFFER_/u) as unknown });
          expect(ids).toEqual([first?.id, code?.id]);
        }
        // Whatever failed, the vault goes on, and opens again as it says.
        await vault.kms.createKey({ alias: "alias/goes-on" });
        await vault.close();
        const again = await open(disk);
        expect((await again.slots.list()).map(({ id }) => id)).toEqual(ids);
        expect((await again.kms.listAliases()).aliases).toHaveLength(2);
        await again.close();
        if (calls <= failing) break;
      }
    }
  });
});
