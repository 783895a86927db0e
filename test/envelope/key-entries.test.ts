import { copyFile, link, rename, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { EnvelopeGround } from "../../src/envelope/envelope-ground.ts";
import { decryptFileOn } from "../../src/envelope/passphrase-files.ts";
import type { VaultFiles } from "../../src/envelope/vault-files.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import type { Unlocker } from "../../src/keystore/slots/way-in.ts";
import { nodeCalls } from "../../src/storage/file-system.ts";
import { bytesOf, fileGround, holds, isSame, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();
const plaintext = pattern(P + 100);
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const BODY = 512 + 4096;
let original: string;
let otherKey: string;

beforeAll(async () => {
  const paths = await sourceIn(await ground.scratch(), plaintext);
  await ground.files.encryptFile(paths.source, paths.encrypted, { encryptionContext: { app: "Apollo" } });
  original = paths.encrypted;
  otherKey = (await ground.vault.vault.kms.createKey({})).keyMetadata.keyId;
});

function word(text: string): Unlocker {
  return passphraseWith(text, { cost: CHEAP, floor: CHEAP });
}

async function copied(): Promise<string> {
  const path = join(await ground.scratch(), "f.cof");
  await copyFile(original, path);
  return path;
}

async function opens(path: string, files: VaultFiles = ground.files): Promise<boolean> {
  const out = join(await ground.scratch(), "out");
  await files.decryptFile(path, out, {});
  return holds(out, plaintext);
}

async function opensWith(path: string, unlock: Unlocker): Promise<boolean> {
  const out = join(await ground.scratch(), "out");
  await decryptFileOn(ground.host satisfies EnvelopeGround, path, out, { unlock });
  return holds(out, plaintext);
}

const idsOf = async (path: string): Promise<string[]> =>
  (await ground.files.fileInfo(path)).entries.map(({ id }) => id);

describe("rewrapFile", () => {
  test("replaces the entry it opened, in both areas; the rest stays byte for byte [F-211] [F-218]", async () => {
    const path = await copied();
    const before = await bytesOf(path);
    await ground.files.rewrapFile(path, { keyId: otherKey });
    const after = await bytesOf(path);
    expect(isSame(after.subarray(0, 512), before.subarray(0, 512))).toBe(true);
    expect(isSame(after.subarray(BODY), before.subarray(BODY))).toBe(true);
    expect(isSame(after.subarray(512, 512 + 2048), after.subarray(512 + 2048, BODY))).toBe(true);
    expect(await idsOf(path)).toEqual([otherKey]);
    // Nothing of the old entry is left: not even its salt.
    expect(Buffer.from(after).includes(Buffer.from(before.subarray(512 + 48, 512 + 72)))).toBe(false);
    expect(await opens(path)).toBe(true);
  });

  test("keeps other entries unless asked to remove them", async () => {
    const path = await copied();
    const { entry } = await ground.files.shareFile(path, { with: word("one") });
    await ground.files.rewrapFile(path, { keyId: otherKey });
    expect(await idsOf(path)).toEqual([otherKey, entry]);
    await ground.files.rewrapFile(path, { keyId: otherKey, removeOthers: true });
    expect(await idsOf(path)).toEqual([otherKey]);
  });

  test("onto a key that has an entry already leaves one entry of it", async () => {
    const path = await copied();
    await ground.files.shareFile(path, { with: { keyId: otherKey } });
    expect(await idsOf(path)).toHaveLength(2);
    await ground.files.rewrapFile(path, { keyId: otherKey });
    expect(await idsOf(path)).toEqual([otherKey]);
  });

  test("killed after any write, torn or whole, leaves a file that opens, and the next one heals it", async () => {
    for (let kills = 0; kills < 2; kills++) {
      for (const torn of [0, 1, 100, 1000, 2047, 2048]) {
        const path = await copied();
        const killed = ground.on(dyingAt({ write: kills, afterBytes: torn }));
        await expect(killed.rewrapFile(path, { keyId: otherKey })).rejects.toMatchObject({
          code: "COFFER_IO",
        });
        expect(await opens(path), `write ${kills}, ${torn} bytes`).toBe(true);
        await ground.files.rewrapFile(path, { keyId: otherKey });
        const bytes = await bytesOf(path);
        expect(isSame(bytes.subarray(512, 2560), bytes.subarray(2560, BODY))).toBe(true);
        expect(await idsOf(path)).toEqual([otherKey]);
        ground.notices.length = 0;
        expect(await opens(path)).toBe(true);
        expect(ground.notices).toEqual([]);
      }
    }
  });

  test("killed again while it heals, or where one area had rotted before, leaves a file that opens [F-211]", async () => {
    const begun = [
      ...[0, 1].flatMap((write) => [20, 100].map((afterBytes) => ({ write, afterBytes }))),
      undefined,
    ];
    for (const [n, first] of begun.entries()) {
      for (let kills = 0; kills < 3; kills++) {
        const path = await copied();
        if (first === undefined) {
          const bytes = await bytesOf(path);
          bytes[512 + 2048 + 100] = (bytes[512 + 2048 + 100] as number) ^ 1;
          await writeFile(path, bytes);
        } else {
          await ground
            .on(dyingAt(first))
            .rewrapFile(path, { keyId: otherKey })
            .catch(() => undefined);
        }
        const killed = ground.on(dyingAt({ write: kills, afterBytes: 70 }));
        await expect(killed.rewrapFile(path, { keyId: otherKey })).rejects.toMatchObject({
          code: "COFFER_IO",
        });
        expect(await opens(path), `state ${n}, then write ${kills}`).toBe(true);
        await ground.files.rewrapFile(path, { keyId: otherKey });
        expect(await idsOf(path)).toEqual([otherKey]);
      }
    }
  });

  test("refuses a file whose end is not authentic, and changes nothing", async () => {
    const path = await copied();
    const bytes = (await bytesOf(path)).slice(0, -1);
    await writeFile(path, bytes);
    await expect(ground.files.rewrapFile(path, {})).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
    });
    expect(await holds(path, bytes)).toBe(true);
  });

  test("follows a link in the path that it is given", async () => {
    const path = await copied();
    await symlink("f.cof", `${path}.link`);
    await ground.files.rewrapFile(`${path}.link`, { keyId: otherKey });
    expect(await idsOf(path)).toEqual([otherKey]);
  });
});

describe("shareFile and unshareFile", () => {
  test("let a passphrase open the file without the vault, and no longer", async () => {
    const path = await copied();
    await expect(opensWith(path, word("one"))).rejects.toMatchObject({ reason: "no-entry" });
    const { entry } = await ground.files.shareFile(path, { with: word("one") });
    expect(await opensWith(path, word("one"))).toBe(true);
    expect(await opens(path)).toBe(true);
    await expect(opensWith(path, word("two"))).rejects.toMatchObject({ code: "COFFER_WRONG_SECRET" });
    expect((await ground.files.fileInfo(path)).entries).toMatchObject([
      { kind: "key" },
      { kind: "passphrase", id: entry },
    ]);
    await ground.files.unshareFile(path, entry, {});
    await expect(opensWith(path, word("one"))).rejects.toMatchObject({ reason: "no-entry" });
    expect(isSame((await bytesOf(path)).subarray(BODY), (await bytesOf(original)).subarray(BODY))).toBe(true);
  });

  test("several passphrases open one file each on its own, up to eight entries [F-215]", async () => {
    const path = await copied();
    for (let i = 1; i < 8; i++) await ground.files.shareFile(path, { with: word(`word ${i}`) });
    expect(await opensWith(path, word("word 7"))).toBe(true);
    await expect(ground.files.shareFile(path, { with: word("one more") })).rejects.toMatchObject({
      code: "COFFER_LIMIT_EXCEEDED",
    });
  });

  test("with another key of the vault, by id or alias, and back", async () => {
    const path = await copied();
    const { entry } = await ground.files.shareFile(path, { with: { keyId: otherKey } });
    expect(entry).toBe(otherKey);
    const [first] = await idsOf(path);
    await ground.files.unshareFile(path, first as string, {});
    expect(await idsOf(path)).toEqual([otherKey]);
    expect(await opens(path)).toBe(true);
  });

  test("the only entry stays, and an unknown one is not found", async () => {
    const path = await copied();
    const [only] = await idsOf(path);
    await expect(ground.files.unshareFile(path, only as string, {})).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
      reason: "last-entry",
    });
    await expect(ground.files.unshareFile(path, "00", {})).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
  });

  test("only a passphrase or a key can be shared with", async () => {
    const path = await copied();
    await expect(ground.files.shareFile(path, { with: {} as Unlocker })).rejects.toThrow(TypeError);
    await expect(ground.files.shareFile(path, { with: { keyId: 1 } as never })).rejects.toThrow(TypeError);
  });
});

describe("changes of one file at once", () => {
  test("wait for each other, by whatever path: none is lost", async () => {
    const path = await copied();
    await symlink("f.cof", `${path}.soft`);
    await link(path, `${path}.hard`);
    const shared = await Promise.all(
      [path, `${path}.soft`, `${path}.hard`, path].map((each, i) =>
        ground.files.shareFile(each, { with: word(`word ${i}`) }),
      ),
    );
    const ids = shared.map(({ entry }) => entry);
    expect((await idsOf(path)).slice(1)).toEqual(expect.arrayContaining(ids));
    expect(await idsOf(path)).toHaveLength(5);
    await Promise.all([
      ...ids.slice(0, 3).map((entry) => ground.files.unshareFile(path, entry)),
      ground.files.rewrapFile(`${path}.hard`, { keyId: otherKey }),
    ]);
    expect(await idsOf(path)).toEqual([otherKey, ids[3]]);
    expect(await opensWith(path, word("word 3"))).toBe(true);
    expect(await opens(path)).toBe(true);
  });

  test("go on after one that failed, and one that is aborted changes nothing", async () => {
    const path = await copied();
    const reason = new Error("no longer wanted");
    const controller = new AbortController();
    const results = Promise.allSettled([
      ground.files.unshareFile(path, "00"),
      ground.files.shareFile(path, { with: word("one"), signal: controller.signal }),
      ground.files.shareFile(path, { with: word("two") }),
    ]);
    controller.abort(reason);
    const [failed, aborted, shared] = await results;
    expect(failed).toMatchObject({ status: "rejected", reason: { code: "COFFER_NOT_FOUND" } });
    expect(aborted).toEqual({ status: "rejected", reason });
    expect(shared.status).toBe("fulfilled");
    expect(await idsOf(path)).toHaveLength(2);
    expect(await opensWith(path, word("two"))).toBe(true);
  });
});

describe("a file that is replaced while its keys are changed", () => {
  const CHANGES: Readonly<Record<string, (files: VaultFiles, path: string) => Promise<unknown>>> = {
    rewrapFile: (files, path) => files.rewrapFile(path, { keyId: otherKey }),
    shareFile: (files, path) => files.shareFile(path, { with: word("one") }),
    unshareFile: async (files, path) => files.unshareFile(path, (await idsOf(path))[1] as string),
  };

  test.each(Object.entries(CHANGES))("%s is not acknowledged", async (_name, change) => {
    const path = await copied();
    await ground.files.shareFile(path, { with: { keyId: otherKey } });
    const { source } = await sourceIn(await ground.scratch(), plaintext);
    const replaced = ground.on(
      onFirstWrite(() => ground.files.encryptFile(source, path, { overwrite: true })),
    );
    await expect(change(replaced, path)).rejects.toMatchObject({ code: "COFFER_SOURCE_CHANGED" });
    expect(await idsOf(path)).toHaveLength(1);
    expect(await opens(path)).toBe(true);
  });

  test.each([
    ["removed", (path: string) => unlink(path)],
    ["moved away", (path: string) => rename(path, `${path}.moved`)],
  ])("nor is one that is %s", async (_how, move) => {
    const path = await copied();
    await expect(
      ground.on(onFirstWrite(() => move(path))).shareFile(path, { with: word("one") }),
    ).rejects.toMatchObject({ code: "COFFER_SOURCE_CHANGED" });
  });
});

describe("fileInfo", () => {
  test("says what the file says, marked unauthenticated", async () => {
    const path = await copied();
    expect(await ground.files.fileInfo(path)).toMatchObject({
      authenticated: false,
      segmentBytes: P,
      createdAt: new Date(ground.vault.clock.nowMs),
      encryptionContext: { app: "Apollo" },
      encryptedBytes: (await bytesOf(path)).length,
      plaintextBytes: plaintext.length,
      isDamaged: false,
    });
  });
});

/** Calls whose k-th write takes some bytes and then fails, and everything after it. */
function dyingAt(at: { readonly write: number; readonly afterBytes: number }): Partial<typeof nodeCalls> {
  let writes = 0;
  const dead = (): Promise<never> => Promise.reject(Object.assign(new Error("killed"), { code: "EIO" }));
  return {
    open: async (...args) => {
      const handle = await nodeCalls.open(...args);
      return {
        ...handle,
        write: async (bytes, position) => {
          if (writes > at.write) return dead();
          writes += 1;
          if (writes <= at.write) return handle.write(bytes, position);
          if (at.afterBytes > 0) await handle.write(bytes.subarray(0, at.afterBytes), position);
          return dead();
        },
        sync: () => (writes > at.write ? dead() : handle.sync()),
      };
    },
  };
}

/** Calls that let something else happen just before the first write into a key area. */
function onFirstWrite(happen: () => Promise<unknown>): Partial<typeof nodeCalls> {
  let hasHappened = false;
  return {
    open: async (...args) => {
      const handle = await nodeCalls.open(...args);
      return {
        ...handle,
        write: async (bytes, position) => {
          if (!hasHappened) await happen();
          hasHappened = true;
          return handle.write(bytes, position);
        },
      };
    },
  };
}
