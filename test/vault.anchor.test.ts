import { cp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseAnchor } from "../src/formats/anchor.ts";
import {
  createVault,
  openVault,
  type OpenVaultOptions,
  passphrase,
  recovery,
  type Vault,
} from "../src/index.ts";
import { parseHeader } from "../src/formats/header.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase, treeOf } from "./vault-files.ts";

const scratch = scratchDirectories();

/** A closed vault with a key made after its anchor was taken, its copy from before, and both anchors. */
interface Sample {
  readonly directory: string;
  readonly older: string;
  readonly code: string;
  readonly olderAnchor: string;
  readonly anchor: string;
}

async function sample(): Promise<Sample> {
  const directory = join(await scratch(), "my.vault");
  const older = `${directory}.older`;
  const { vault, recoveryCode: code } = await createVault(directory, { unlock: cheapPassphrase() });
  await vault.kms.createKey({ alias: "alias/one" });
  const olderAnchor = await vault.anchor();
  await vault.close();
  await cp(directory, older, { recursive: true });
  const anchor = await use({ directory, code }, async (again) => {
    await again.kms.createKey({ alias: "alias/two" });
    await again.kms.createKey({ alias: "alias/three" });
    return again.anchor();
  });
  return { directory, older, code, olderAnchor, anchor };
}

async function use<T>(
  { directory, code }: { readonly directory: string; readonly code: string },
  work: (vault: Vault) => Promise<T>,
  options: Partial<OpenVaultOptions> = {},
): Promise<T> {
  const vault = await openVault(directory, { unlock: recovery(code), ...options });
  try {
    return await work(vault);
  } finally {
    await vault.close();
  }
}

const aliases = async (vault: Vault): Promise<string[]> =>
  (await vault.kms.listAliases({})).aliases.map(({ aliasName }) => aliasName).sort();

async function putBack(from: string, to: string, ...parts: readonly string[]): Promise<void> {
  for (const part of parts) {
    await rm(join(to, part), { recursive: true, force: true });
    await cp(join(from, part), join(to, part), { recursive: true });
  }
}

const WHOLE = ["header.0", "header.1", "db-1"];

test("a vault opens with its anchor, and with every one before it", async () => {
  const { olderAnchor, anchor, ...vault } = await sample();
  expect(await use(vault, aliases, { anchor })).toContain("alias/two");
  expect(await use(vault, aliases, { anchor: olderAnchor })).toContain("alias/two");
});

test("an anchor names what the header on disk names [F-150]", async () => {
  const { directory, code } = await sample();
  const anchor = await use({ directory, code }, async (vault) => {
    // Uses of keys are batches of their own, which no header names at once.
    await vault.kms.encrypt({ plaintext: "x" });
    return vault.anchor();
  });
  const header = parseHeader(await readFile(join(directory, "header.0")));
  const { generation, sequence } = parseAnchor(anchor);
  expect(header.generation).toBeGreaterThanOrEqual(generation);
  expect(header.sequence).toBeGreaterThanOrEqual(sequence);
});

test("a whole vault put back opens without the anchor, and is refused with it [F-153]", async () => {
  const { directory, older, code, anchor } = await sample();
  await putBack(older, directory, ...WHOLE);
  const before = await treeOf(directory);
  await expect(use({ directory, code }, aliases, { anchor })).rejects.toMatchObject({
    code: "COFFER_ROLLED_BACK",
    reason: "anchor",
  });
  expect(await treeOf(directory)).toEqual(before);
  expect(await use({ directory, code }, aliases)).not.toContain("alias/two");
});

test("an accepted older vault is newer than its anchor from then on [F-154]", async () => {
  const { directory, older, code, anchor } = await sample();
  const newer = `${directory}.newer`;
  await cp(directory, newer, { recursive: true });
  await putBack(older, directory, ...WHOLE);
  expect(await use({ directory, code }, aliases, { anchor, acceptRollback: true })).not.toContain(
    "alias/two",
  );
  const next = await use({ directory, code }, (vault) => vault.anchor(), { anchor });
  expect(parseAnchor(next).generation).toBeGreaterThan(parseAnchor(anchor).generation);
  expect(parseAnchor(next).sequence).toBeGreaterThan(parseAnchor(anchor).sequence);
  // What was given up does not come back unseen.
  await putBack(newer, directory, ...WHOLE);
  await expect(use({ directory, code }, aliases, { anchor: next })).rejects.toMatchObject({
    reason: "anchor",
  });
});

test.each([
  ["database", ["db-1"]],
  ["header", ["header.0", "header.1"]],
] as const)("an older %s is accepted on demand, and counts from then on [F-154]", async (reason, parts) => {
  const { directory, older, code, anchor } = await sample();
  const newer = `${directory}.newer`;
  await cp(directory, newer, { recursive: true });
  await putBack(older, directory, ...parts);
  await expect(use({ directory, code }, aliases)).rejects.toMatchObject({ reason });
  // With the anchor its numbers are above those of all that is given up, the header included that nothing else names.
  const accepted = await use({ directory, code }, aliases, { acceptRollback: true, anchor });
  expect(accepted.includes("alias/two")).toBe(reason === "header");
  expect(await use({ directory, code }, aliases)).toEqual(accepted);
  for (const part of [["db-1"], ["header.0", "header.1"]]) {
    const mixed = `${directory}.mixed`;
    await rm(mixed, { recursive: true, force: true });
    await cp(directory, mixed, { recursive: true });
    await putBack(newer, mixed, ...part);
    await expect(use({ directory: mixed, code }, aliases)).rejects.toMatchObject({
      code: "COFFER_ROLLED_BACK",
    });
  }
});

test("nothing is changed by accepting where nothing is older", async () => {
  const { directory, code } = await sample();
  const header = await readFile(join(directory, "header.0"));
  await use({ directory, code }, aliases, { acceptRollback: true });
  expect((await readFile(join(directory, "header.0"))).equals(header)).toBe(true);
});

test("the anchor of another vault, or of another root key, is foreign, and accepts nothing [F-152]", async () => {
  const { directory, code, anchor } = await sample();
  const other = await sample();
  const foreign = { code: "COFFER_ROLLED_BACK", reason: "foreign" };
  for (const acceptRollback of [false, true]) {
    await expect(
      use({ directory, code }, aliases, { anchor: other.anchor, acceptRollback }),
    ).rejects.toMatchObject(foreign);
  }
  const renewed = await use({ directory, code }, (vault) =>
    vault.rotateRootKey({ slots: [{ unlocker: cheapPassphrase() }] }),
  );
  const again = { directory, code: renewed.recoveryCode ?? "" };
  await expect(use(again, aliases, { anchor })).rejects.toMatchObject(foreign);
  const anew = await use(again, (vault) => vault.anchor());
  expect(await use(again, aliases, { anchor: anew })).toContain("alias/two");
});

test("the anchor is taken anew after the root key has changed on the same handle", async () => {
  const { directory, code, anchor } = await sample();
  await use(
    { directory, code },
    async (vault) => {
      const { recoveryCode = "" } = await vault.rotateRootKey({ slots: [{ unlocker: cheapPassphrase() }] });
      await vault.lock();
      // The anchor was judged when the vault opened: nobody else could change the files since.
      await vault.unlock(recovery(recoveryCode));
      expect(await vault.anchor()).not.toBe(anchor);
    },
    { anchor },
  );
});

test("a locked vault gives no anchor", async () => {
  const { directory, code } = await sample();
  const vault = await openVault(directory, { unlock: recovery(code) });
  await vault.lock();
  await expect(vault.anchor()).rejects.toMatchObject({ code: "COFFER_LOCKED" });
  await vault.close();
});

test("what is no anchor, and options that contradict each other, are refused before the vault is touched", async () => {
  const directory = join(await scratch(), "absent");
  await expect(openVault(directory, { unlock: passphrase("x"), anchor: "coffer1.x" })).rejects.toMatchObject({
    code: "COFFER_INVALID_ARGUMENT",
    reason: "anchor",
  });
  await expect(
    openVault(directory, { unlock: passphrase("x"), salvage: true, acceptRollback: true }),
  ).rejects.toThrow(TypeError);
});
