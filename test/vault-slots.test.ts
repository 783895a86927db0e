import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digest } from "../src/crypto/hmac.ts";
import { concat, equal, hex } from "../src/bytes.ts";
import { parseHeader, type ParsedSlot } from "../src/formats/header.ts";
import {
  combined,
  createVault,
  describeVault,
  isCofferError,
  keychain,
  openVault,
  recovery,
  type Unlocker,
  type Vault,
  type VaultNotice,
} from "../src/index.ts";
import { passphraseWith } from "../src/keystore/slots/passphrase.ts";
import { nodeCalls } from "../src/storage/file-system-calls.ts";
import { createFileSystem } from "../src/storage/file-system.ts";
import { readHeaderCopies } from "../src/storage/header-copies.ts";
import { memoryFileCalls } from "../src/storage/memory-file-calls.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();

interface Sample {
  readonly vault: Vault;
  readonly directory: string;
  readonly recoveryCode: string;
  readonly notices: VaultNotice[];
}

/** An open vault with a passphrase and a recovery code. */
async function makeVault(unlock: Unlocker = cheapPassphrase("first")): Promise<Sample> {
  const directory = join(await scratch(), "v");
  const { vault, recoveryCode } = await createVault(directory, { unlock });
  const notices: VaultNotice[] = [];
  vault.on("warning", (notice) => notices.push(notice));
  return { vault, directory, recoveryCode, notices };
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

const headersOf = (directory: string): Promise<Uint8Array[]> =>
  Promise.all(["header.0", "header.1"].map((name) => readFile(join(directory, name))));

async function putBack(directory: string, headers: readonly Uint8Array[]): Promise<void> {
  for (const [index, bytes] of headers.entries()) await writeFile(join(directory, `header.${index}`), bytes);
}

async function slotsOf(directory: string): Promise<readonly ParsedSlot[]> {
  return parseHeader((await headersOf(directory))[0] as Uint8Array).slots;
}

describe("vault.slots", () => {
  test("lists ids, kinds, labels and dates, and no secret", async () => {
    const { vault, directory } = await makeVault();
    const slots = await vault.slots.list();
    expect(slots.map(({ kind, label }) => [kind, label])).toEqual([
      ["passphrase", "passphrase"],
      ["recovery", "recovery code"],
    ]);
    for (const slot of slots) expect(Object.keys(slot)).toEqual(["id", "kind", "label", "createdAt"]);
    const description = await describeVault(directory);
    expect(description.exists && description.slots).toEqual(slots);
    await vault.close();
    await expect(vault.slots.list()).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  });

  test("adds ways in that open the vault, each alone", async () => {
    const { vault, directory, recoveryCode } = await makeVault();
    const added = await vault.slots.add(cheapPassphrase("second"), { label: "Ann's" });
    const { slot, recoveryCode: secondCode } = await vault.slots.addRecovery({ label: "in the safe" });
    expect(added).toMatchObject({ kind: "passphrase", label: "Ann's" });
    expect(slot).toMatchObject({ kind: "recovery", label: "in the safe" });
    expect((await vault.slots.list()).map(({ id }) => id)).toContain(added.id);
    await vault.close();
    for (const secret of ["first", "second"])
      expect(await opens(directory, cheapPassphrase(secret))).toBe(true);
    for (const code of [recoveryCode, secondCode]) expect(await opens(directory, recovery(code))).toBe(true);
  });

  test("replaces a passphrase in its place, under a new id and the old label [F-131]", async () => {
    const { vault, directory } = await makeVault();
    const [old, code] = await vault.slots.list();
    const replaced = await vault.slots.replace(old?.id ?? "", cheapPassphrase("changed"));
    expect(replaced.id).not.toBe(old?.id);
    expect(await vault.slots.list()).toEqual([{ ...replaced, label: "passphrase" }, code]);
    await vault.close();
    expect(await opens(directory, cheapPassphrase("first"))).toBe(false);
    expect(await opens(directory, cheapPassphrase("changed"))).toBe(true);
  });

  test("gives a label without the slot's secret", async () => {
    const { vault, directory } = await makeVault();
    const [, code] = await vault.slots.list();
    await vault.slots.setLabel(code?.id ?? "", "blue envelope");
    await vault.close();
    expect((await slotsOf(directory)).map(({ label }) => label)).toEqual(["passphrase", "blue envelope"]);
  });

  test("refuses an unknown id, an unknown kind of unlocker, a used one, a long label and the 17th slot", async () => {
    const { vault } = await makeVault();
    const id = "00".repeat(16);
    await expect(vault.slots.remove(id)).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    await expect(vault.slots.setLabel(id, "x")).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    await expect(vault.slots.replace(id, cheapPassphrase())).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
    await expect(vault.slots.add({ kind: "passphrase" })).rejects.toThrow(TypeError);
    await expect(vault.slots.add(cheapPassphrase(), { label: "é".repeat(128) })).rejects.toMatchObject({
      code: "COFFER_LIMIT_EXCEEDED",
    });
    const used = cheapPassphrase("used");
    await vault.slots.add(used);
    await expect(vault.slots.add(used)).rejects.toMatchObject({ reason: "used-twice" });
    for (let count = 3; count < 16; count++) await vault.slots.addRecovery();
    const refused = cheapPassphrase("one too many");
    await expect(vault.slots.add(refused)).rejects.toMatchObject({ code: "COFFER_LIMIT_EXCEEDED" });
    expect(await vault.slots.list()).toHaveLength(16);
    await vault.close();
  });

  test("makes changes that come at once one after another, keys and slots mixed", async () => {
    const { vault, directory } = await makeVault();
    await Promise.all([
      vault.slots.add(cheapPassphrase("a")),
      vault.kms.createKey({ alias: "alias/a" }),
      vault.slots.addRecovery(),
      vault.kms.createKey({ alias: "alias/b" }),
      vault.slots.add(cheapPassphrase("b")),
    ]);
    expect(await vault.slots.list()).toHaveLength(5);
    await vault.close();
    const again = await openVault(directory, { unlock: cheapPassphrase("b") });
    expect((await again.kms.listAliases()).aliases).toHaveLength(3);
    await again.close();
  });
});

describe("the last ways in", () => {
  test("stay: not the last slot, and no keychain alone [F-132]", async () => {
    const { vault } = await makeVault();
    await vault.slots.add(fakeKeychain());
    const [first, code] = await vault.slots.list();
    await vault.slots.remove(code?.id ?? "");
    await expect(vault.slots.remove(first?.id ?? "")).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "last-slot",
    });
    await expect(vault.slots.replace(first?.id ?? "", fakeKeychain())).rejects.toMatchObject({
      reason: "last-slot",
    });
    const [, chain] = await vault.slots.list();
    await vault.slots.remove(chain?.id ?? "");
    await expect(vault.slots.remove(first?.id ?? "")).rejects.toMatchObject({ reason: "last-slot" });
    await vault.close();
  });

  test("are warned of: one left, and no recovery code", async () => {
    const { vault, notices } = await makeVault();
    await vault.slots.add(cheapPassphrase("second"));
    expect(notices).toEqual([]);
    const [first, code] = await vault.slots.list();
    await vault.slots.remove(code?.id ?? "");
    expect(notices.map(({ message }) => message)).toEqual([expect.stringContaining("no recovery code")]);
    await vault.slots.remove(first?.id ?? "");
    expect(notices.map(({ message }) => message)).toEqual([
      expect.stringContaining("no recovery code"),
      expect.stringContaining("One way into this vault is left"),
    ]);
    await vault.close();
  });
});

describe("a removed slot", () => {
  async function removed(): Promise<{ sample: Sample; before: Uint8Array[]; slot: ParsedSlot }> {
    const sample = await makeVault();
    const { vault, directory } = sample;
    await vault.slots.add(cheapPassphrase("leaver"), { label: "leaver" });
    const before = await headersOf(directory);
    const slot = (await slotsOf(directory))[2] as ParsedSlot;
    await vault.slots.remove(hex(slot.header.id));
    return { sample, before, slot };
  }

  test("is in no file, when the promise resolves and after close [F-130]", async () => {
    const { sample, slot } = await removed();
    const isAnywhere = async (): Promise<boolean> => {
      const files = [...(await treeOf(sample.directory)).values()];
      return [slot.sealed, slot.headerBytes, slot.header.id].some((bytes) =>
        files.some((content) => content.includes(hex(bytes))),
      );
    };
    expect(await isAnywhere()).toBe(false);
    await sample.vault.close();
    expect(await isAnywhere()).toBe(false);
    expect(await opens(sample.directory, cheapPassphrase("leaver"))).toBe(false);
    expect((await readdir(sample.directory)).sort()).toEqual([
      "db-1",
      "header.0",
      "header.1",
      "incoming",
      "objects",
    ]);
  });

  test("does not come back with both old header copies: A-17 [F-133]", async () => {
    const { sample, before } = await removed();
    await sample.vault.close();
    await putBack(sample.directory, before);
    for (const unlock of [cheapPassphrase("leaver"), cheapPassphrase("first")]) {
      await expect(openVault(sample.directory, { unlock })).rejects.toMatchObject({
        code: "COFFER_ROLLED_BACK",
        reason: "header",
      });
    }
  });

  test.each([0, 1])(
    "does not come back with an old copy %i, nor with any bit of the other flipped",
    async (index) => {
      const { sample, before } = await removed();
      await sample.vault.close();
      const after = await headersOf(sample.directory);
      const mixed = after.map((bytes, at) => (at === index ? (before[at] as Uint8Array) : bytes));
      await putBack(sample.directory, mixed);
      expect(await opens(sample.directory, cheapPassphrase("leaver"))).toBe(false);
      const other = 1 - index;
      for (const at of [0, 8, 33, 60, 200, (after[0]?.length ?? 0) - 40, (after[0]?.length ?? 0) - 1]) {
        const flipped = new Uint8Array(after[other] as Uint8Array);
        flipped[at] = (flipped[at] as number) ^ 1;
        await putBack(
          sample.directory,
          index === 0 ? [before[0] as Uint8Array, flipped] : [flipped, before[1] as Uint8Array],
        );
        await expect(
          openVault(sample.directory, { unlock: cheapPassphrase("leaver") }),
        ).rejects.toMatchObject({
          code: "COFFER_ROLLED_BACK",
          reason: "header",
        });
      }
    },
  );

  test("does not come back by any bit of either copy, beside the new other one or the old one", async () => {
    const { sample, before, slot } = await removed();
    await sample.vault.close();
    const after = (await headersOf(sample.directory))[0] as Uint8Array;
    const old = before[0] as Uint8Array;
    const root = "/memory";
    const fs = createFileSystem(memoryFileCalls(root, nodeCalls));
    const files = await Promise.all(
      ["header.0", "header.1"].map(async (name) => fs.open(join(root, name), "create")),
    );
    const read = async (copies: readonly Uint8Array[]): Promise<Uint8Array | "damaged"> => {
      for (const [index, bytes] of copies.entries()) {
        await files[index]?.truncate(0);
        await files[index]?.write(bytes, 0);
      }
      return readHeaderCopies(fs, root).then(
        ({ header }) => header.bytes,
        (error: unknown) => (isCofferError(error, "COFFER_DAMAGED") ? "damaged" : Promise.reject(error)),
      );
    };
    expect(hex(old)).toContain(hex(slot.sealed));
    expect(hex(after)).not.toContain(hex(slot.sealed));
    const same = (a: Uint8Array | "damaged", b: Uint8Array): boolean => a !== "damaged" && equal(a, b);
    const damaged = expect.objectContaining({ code: "COFFER_DAMAGED" }) as Error;
    let bits = 0;
    for (let bit = 0; bit < 8 * after.length; bit++) {
      const flipped = Uint8Array.from(after);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => parseHeader(flipped), `bit ${bit}`).toThrow(damaged);
      bits++;
      // A copy is read for itself, so a part of the bits shows how the two go together.
      if (bit % 61 !== 0) continue;
      for (const place of [0, 1]) {
        const beside = (other: Uint8Array): Uint8Array[] =>
          place === 0 ? [flipped, other] : [other, flipped];
        expect(same(await read(beside(after)), after), `bit ${bit} of copy ${place}`).toBe(true);
        // The old copy counts then, as it was: an open finds it older than the database, as above.
        expect(same(await read(beside(old)), old), `bit ${bit} of copy ${place}`).toBe(true);
      }
      expect(await read([flipped, flipped])).toBe("damaged");
    }
    expect(bits).toBe(8 * after.length);
  });

  test("does not come back by bits of both copies", async () => {
    const { sample } = await removed();
    await sample.vault.close();
    const flipped = (await headersOf(sample.directory)).map((bytes) => {
      const changed = new Uint8Array(bytes);
      changed[100] = (changed[100] as number) ^ 4;
      return changed;
    });
    await putBack(sample.directory, flipped);
    await expect(openVault(sample.directory, { unlock: cheapPassphrase("leaver") })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
  });
});

describe("a header edited by somebody without the key", () => {
  async function edited(change: (bytes: Uint8Array) => void): Promise<string> {
    const { vault, directory } = await makeVault();
    await vault.slots.add(cheapPassphrase("second"));
    await vault.close();
    const bytes = new Uint8Array((await headersOf(directory))[0] as Uint8Array);
    change(bytes);
    const body = bytes.subarray(0, bytes.length - 32);
    const whole = concat(body, digest("sha256", body));
    await putBack(directory, [whole, whole]);
    return directory;
  }

  test("is damaged where the way in given still opens: A-16, A-18", async () => {
    const directory = await edited((bytes) => {
      // The label's last character.
      bytes[bytes.length - 97] = (bytes[bytes.length - 97] as number) ^ 1;
    });
    await expect(openVault(directory, { unlock: cheapPassphrase("first") })).rejects.toMatchObject({
      code: "COFFER_DAMAGED",
    });
  });

  test("has a wrong secret where it is that slot which was edited: A-15", async () => {
    const directory = await edited((bytes) => {
      // In the commitment of the first slot's seal, behind the lengths, the slot header and the salt.
      bytes[64 + 2 + 71 + 24] = (bytes[64 + 2 + 71 + 24] as number) ^ 1;
    });
    expect(await opens(directory, cheapPassphrase("first"))).toBe(false);
  });

  test.each([
    ["too much memory, A-1", { memoryKiB: 2 ** 32 - 1, passes: 3, lanes: 4 }],
    ["too many passes, A-1", { memoryKiB: 65_536, passes: 2 ** 32 - 1, lanes: 4 }],
    ["too many lanes, A-1", { memoryKiB: 65_536, passes: 3, lanes: 2 ** 24 }],
    ["too little of all, A-2", { memoryKiB: 8, passes: 1, lanes: 1 }],
  ])("is beyond the limits of the KDF before any memory is taken: %s", async (_name, cost) => {
    const directory = await edited((bytes) => {
      const view = new DataView(bytes.buffer, 64 + 2 + 26 + 1);
      for (const [index, value] of [cost.memoryKiB, cost.passes, cost.lanes].entries()) {
        view.setUint32(4 * index, value);
      }
    });
    let derived = 0;
    const derive = (): Promise<never> => Promise.reject(new Error(`derived ${++derived}`));
    await expect(openVault(directory, { unlock: passphraseWith("first", { derive }) })).rejects.toMatchObject(
      {
        code: "COFFER_KDF_LIMIT",
      },
    );
    expect(derived).toBe(0);
  });
});

test("many slots within the limits of one are refused together, before any memory is taken: A-1", async () => {
  const directory = join(await scratch(), "v");
  // 1 GiB and 33 passes each: allowed alone, and more than any vault needs as two.
  const cost = { memoryKiB: 1_048_576, passes: 33, lanes: 1 };
  const fake = (secret: string): Unlocker =>
    passphraseWith(secret, { cost, derive: async () => new Uint8Array(32).fill(secret.length) });
  const { vault } = await createVault(directory, { unlock: fake("one"), recoveryCode: false });
  await vault.slots.add(fake("second"), { label: "second" });
  await vault.close();
  let derived = 0;
  const derive = (): Promise<never> => Promise.reject(new Error(`derived ${++derived}`));
  await expect(openVault(directory, { unlock: passphraseWith("one", { derive }) })).rejects.toMatchObject({
    code: "COFFER_KDF_LIMIT",
  });
  expect(derived).toBe(0);
});

/** A keychain that turns every bit. */
function fakeKeychain(backend = "gnome_libsecret", mask = 0xff): Unlocker {
  const turn = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ mask);
  return keychain({ backend, protect: turn, unprotect: (bytes) => Promise.resolve(turn(bytes)) });
}

describe("a keychain", () => {
  test("opens the vault", async () => {
    const { vault, directory } = await makeVault();
    await vault.slots.add(fakeKeychain(), { label: "this laptop" });
    await vault.lock();
    await vault.unlock(fakeKeychain());
    expect(vault.state).toBe("unlocked");
    await vault.close();
    expect(await opens(directory, fakeKeychain())).toBe(true);
  });

  test("of the back end basic_text makes no slot: A-41 [F-138]", async () => {
    const { vault } = await makeVault();
    await expect(vault.slots.add(fakeKeychain("basic_text"))).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "no-keychain",
    });
    await vault.close();
  });

  test.each([
    ["another back end", fakeKeychain("kwallet6"), "kwallet6"],
    ["no back end any more", fakeKeychain("basic_text"), "basic_text"],
    ["other keys", fakeKeychain("gnome_libsecret", 0x0f), "gnome_libsecret"],
    [
      "an error",
      keychain({
        backend: "gnome_libsecret",
        protect: () => new Uint8Array(1),
        unprotect: () => Promise.reject(new Error("locked")),
      }),
      "gnome_libsecret",
    ],
    [
      "other bytes",
      keychain({
        backend: "gnome_libsecret",
        protect: () => new Uint8Array(1),
        unprotect: () => new Uint8Array(31),
      }),
      "gnome_libsecret",
    ],
  ])(
    "that has changed (%s) says so and names the other ways in: A-41 [F-139]",
    async (_name, unlock, found) => {
      const { vault, directory } = await makeVault();
      await vault.slots.add(fakeKeychain());
      await vault.close();
      const before = await treeOf(directory);
      await expect(openVault(directory, { unlock })).rejects.toMatchObject({
        code: "COFFER_KEYCHAIN_CHANGED",
        message: expect.stringContaining("passphrase, recovery") as unknown,
        details: { backend: "gnome_libsecret", found, otherWaysIn: ["passphrase", "recovery"] },
      });
      expect(await treeOf(directory)).toEqual(before);
    },
  );

  test("of another machine does not stand in the way of this one's", async () => {
    const { vault, directory } = await makeVault();
    await vault.slots.add(fakeKeychain("dpapi", 0x11));
    await vault.slots.add(fakeKeychain());
    await vault.close();
    expect(await opens(directory, fakeKeychain())).toBe(true);
  });

  test("opens no vault without such a slot, and makes none", async () => {
    const { vault, directory } = await makeVault();
    await vault.close();
    expect(await opens(directory, fakeKeychain())).toBe(false);
    await expect(createVault(join(await scratch(), "v"), { unlock: fakeKeychain() })).rejects.toThrow(
      TypeError,
    );
  });
});

describe("two secrets combined", () => {
  const both = (first: string, second: string): Unlocker =>
    combined(cheapPassphrase(first), cheapPassphrase(second));

  test("open the vault together, in their order, and neither alone [F-137]", async () => {
    const { vault, directory } = await makeVault(both("Ann", "Ben"));
    await vault.close();
    expect((await slotsOf(directory))[0]?.header.fields).toMatchObject({
      kind: "combined",
      first: { kind: "passphrase" },
      second: { kind: "passphrase" },
    });
    expect(await opens(directory, both("Ann", "Ben"))).toBe(true);
    for (const wrong of [both("Ben", "Ann"), both("Ann", "wrong"), both("wrong", "Ben")]) {
      expect(await opens(directory, wrong)).toBe(false);
    }
    for (const alone of ["Ann", "Ben"]) expect(await opens(directory, cheapPassphrase(alone))).toBe(false);
  });

  test("are two passphrases or tokens, and not one twice", () => {
    const one = cheapPassphrase();
    expect(() => combined(one, one)).toThrow(TypeError);
    expect(() => combined(one, fakeKeychain())).toThrow(/keychain/u);
  });

  test("are wiped with their one use", async () => {
    const [first, second] = [cheapPassphrase("Ann"), cheapPassphrase("Ben")];
    const { vault, directory } = await makeVault(combined(first, second));
    await vault.close();
    for (const unlock of [first, second]) {
      await expect(openVault(directory, { unlock })).rejects.toMatchObject({ reason: "used-twice" });
    }
  });
});

describe("a wrong secret", () => {
  const cost = { memoryKiB: 8, passes: 1, lanes: 1 };
  type Derive = NonNullable<Parameters<typeof passphraseWith>[1]["derive"]>;
  const KINDS: Readonly<Record<string, (secret: string, derive?: Derive) => Unlocker>> = {
    "a passphrase": (secret, derive) =>
      passphraseWith(secret, { cost, floor: cost, ...(derive && { derive }) }),
    "two passphrases": (secret, derive) =>
      combined(
        passphraseWith("Ann", { cost, floor: cost, ...(derive && { derive }) }),
        passphraseWith(secret, { cost, floor: cost, ...(derive && { derive }) }),
      ),
  };

  test.each([
    ["a passphrase", 1],
    ["two passphrases", 2],
  ])(
    "takes the same calls and gets the same answer whatever is wrong, for %s: A-19 [F-134]",
    async (kind, derivations) => {
      const unlockerOf = KINDS[kind] as (typeof KINDS)[string];
      const tries = async (directory: string): Promise<unknown> => {
        const calls: unknown[] = [];
        const unlock = unlockerOf("wrong", async ({ cost: taken, lengthBytes }) => {
          calls.push({ ...taken, lengthBytes });
          return new Uint8Array(lengthBytes);
        });
        const error = (await openVault(directory, { unlock }).catch((reason: unknown) => reason)) as Error;
        return { calls, error: JSON.stringify(error), message: error.message };
      };
      const { vault, directory } = await makeVault(unlockerOf("first"));
      await vault.close();
      const wrong = await tries(directory);
      const { vault: other, directory: without } = await makeVault();
      const [slot] = await other.slots.list();
      await other.slots.remove(slot?.id ?? "");
      await other.close();
      const noSlot = await tries(without);
      const bytes = new Uint8Array((await headersOf(directory))[0] as Uint8Array);
      const { headerBytes } = (await slotsOf(directory))[0] as ParsedSlot;
      const sealedAt = 64 + 2 + headerBytes.length;
      bytes[sealedAt + 90] = (bytes[sealedAt + 90] as number) ^ 1;
      const body = bytes.subarray(0, bytes.length - 32);
      const whole = concat(body, digest("sha256", body));
      await putBack(directory, [whole, whole]);
      const damaged = await tries(directory);
      expect(wrong).toMatchObject({
        calls: Array.from({ length: derivations }, () => ({ ...cost, lengthBytes: 32 })),
      });
      expect(noSlot).toEqual(wrong);
      expect(damaged).toEqual(wrong);
    },
  );

  test("is the same answer for a recovery code whose slot is gone, and for one whose slot is damaged: A-19", async () => {
    const tries = async (directory: string, code: string): Promise<unknown> => {
      const unlock = recovery(code);
      const error = (await openVault(directory, { unlock }).catch((reason: unknown) => reason)) as Error;
      return [JSON.stringify(error), error.message];
    };
    const { vault, directory, recoveryCode } = await makeVault();
    const { slot, recoveryCode: second } = await vault.slots.addRecovery();
    await vault.slots.remove(slot.id);
    await vault.close();
    const gone = await tries(directory, second);
    expect(gone).toEqual([expect.stringContaining("COFFER_WRONG_SECRET"), expect.any(String)]);
    const bytes = new Uint8Array((await headersOf(directory))[0] as Uint8Array);
    const recoverySlot = (await slotsOf(directory))[1] as ParsedSlot;
    const sealedAt = hex(bytes).indexOf(hex(recoverySlot.sealed)) / 2;
    bytes[sealedAt + 90] = (bytes[sealedAt + 90] as number) ^ 1;
    const body = bytes.subarray(0, bytes.length - 32);
    const whole = concat(body, digest("sha256", body));
    await putBack(directory, [whole, whole]);
    expect(await tries(directory, recoveryCode)).toEqual(gone);
  });
});

describe("what people type", () => {
  test("a recovery code with a typing error, or of another vault, is told apart without a KDF: A-39", async () => {
    const { vault, directory, recoveryCode } = await makeVault();
    const { vault: other, recoveryCode: foreign } = await makeVault();
    await vault.close();
    await other.close();
    const typed = [
      recoveryCode.replace(/[0-9A-Z]/u, (first) => (first === "0" ? "2" : "0")),
      recoveryCode.slice(0, -1),
      `${recoveryCode}0`,
      recoveryCode.replace("-", "_"),
      "",
    ];
    for (const code of typed) {
      expect(() => recovery(code)).toThrow(
        expect.objectContaining({ code: "COFFER_INVALID_ARGUMENT", reason: "typo" }),
      );
    }
    await expect(openVault(directory, { unlock: recovery(foreign) })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "other-vault",
    });
    const alike = recoveryCode.toLowerCase().replaceAll("0", "o").replaceAll("1", "l").replaceAll("-", " ");
    expect(await opens(directory, recovery(alike))).toBe(true);
  });

  test("a passphrase opens however its letters are composed, and only with them: A-40", async () => {
    const { vault, directory } = await makeVault(cheapPassphrase("Zoe\u0308 caf\u00e9\u00a0au lait"));
    await vault.close();
    for (const same of ["Zo\u00eb cafe\u0301 au lait", "Zo\u00eb caf\u00e9\u2003au lait"]) {
      expect(await opens(directory, cheapPassphrase(same))).toBe(true);
    }
    for (const other of ["Zo\u00eb caf\u00e9 au lait ", "zo\u00eb caf\u00e9 au lait", "Zoe cafe au lait"]) {
      expect(await opens(directory, cheapPassphrase(other))).toBe(false);
    }
    for (const refused of ["", "\ud83d", "one\ntwo", "nul\u0000"]) {
      expect(() => cheapPassphrase(refused)).toThrow(
        expect.objectContaining({ code: "COFFER_INVALID_ARGUMENT" }),
      );
    }
    expect(() => cheapPassphrase("x".repeat(1_000_000))).toThrow(
      expect.objectContaining({ code: "COFFER_LIMIT_EXCEEDED" }),
    );
  });
});
