import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hex } from "../../src/bytes.ts";
import { decryptFileOn, encryptFileOn, fileInfo } from "../../src/envelope/passphrase-files.ts";
import { encodeKeyArea, type SlotEntry, slotEntry } from "../../src/formats/key-area.ts";
import { fileAreaKey } from "../../src/formats/key-schedule.ts";
import { encodeSlotHeader } from "../../src/formats/slot-header.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import { recovery } from "../../src/keystore/slots/recovery.ts";
import { encodeRecoveryCode } from "../../src/formats/recovery-code.ts";
import type { Unlocker } from "../../src/keystore/slots/way-in.ts";
import { openBeginning } from "../../src/envelope/beginning.ts";
import { type KeyAccess, slotAccess } from "../../src/envelope/key-access.ts";
import { type WayIn, wayInOf } from "../../src/keystore/slots/way-in.ts";
import { passphraseFields } from "../formats/header-sample.ts";
import { head, headBytes, dek, fileId } from "../formats/file-sample.ts";
import { concat } from "../../src/bytes.ts";
import { bytesOf, fileGround, holds, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const word = (text: string): Unlocker => passphraseWith(text, { cost: CHEAP, floor: CHEAP });

describe("encryptFile and decryptFile without a vault", () => {
  test("give back a file with the passphrase alone", async () => {
    const plaintext = pattern(2 * P + 9);
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    const encryptionContext = { to: "the other side" };
    await encryptFileOn(ground.host, source, encrypted, { unlock: word("one"), encryptionContext });
    expect((await fileInfo(encrypted)).entries).toMatchObject([{ kind: "passphrase" }]);
    await decryptFileOn(ground.host, encrypted, decrypted, { unlock: word("one") });
    expect(await holds(decrypted, plaintext)).toBe(true);
  });

  test("a wrong passphrase is COFFER_WRONG_SECRET, derived once though there are two areas", async () => {
    const directory = await ground.scratch();
    const { source, encrypted, decrypted } = await sourceIn(directory, pattern(10));
    await encryptFileOn(ground.host, source, encrypted, { unlock: word("one") });
    await expect(
      decryptFileOn(ground.host, encrypted, decrypted, { unlock: word("two") }),
    ).rejects.toMatchObject({ code: "COFFER_WRONG_SECRET" });
    expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  });

  test("a file of a vault says that it has no passphrase, and the reverse", async () => {
    const directory = await ground.scratch();
    const { source, encrypted, decrypted } = await sourceIn(directory, pattern(10));
    await ground.files.encryptFile(source, encrypted, {});
    await expect(
      decryptFileOn(ground.host, encrypted, decrypted, { unlock: word("one") }),
    ).rejects.toMatchObject({ code: "COFFER_INVALID_CIPHERTEXT", reason: "no-entry" });
    await encryptFileOn(ground.host, source, encrypted, { unlock: word("one"), overwrite: true });
    await expect(ground.files.decryptFile(encrypted, decrypted, {})).rejects.toMatchObject({
      code: "COFFER_INVALID_CIPHERTEXT",
      reason: "no-entry",
    });
  });

  test("an unlocker serves once, also where the call fails early", async () => {
    const { source, encrypted } = await sourceIn(await ground.scratch(), pattern(10));
    const unlock = word("one");
    await expect(
      encryptFileOn(ground.host, join(source, "none"), encrypted, { unlock }),
    ).rejects.toMatchObject({ code: "COFFER_IO" });
    await expect(encryptFileOn(ground.host, source, encrypted, { unlock })).rejects.toMatchObject({
      reason: "used-twice",
    });
  });

  test("a recovery code is of a vault and opens no file", async () => {
    const unlock = recovery(encodeRecoveryCode(new Uint8Array(4), new Uint8Array(32)));
    await expect(encryptFileOn(ground.host, "a", "b", { unlock })).rejects.toThrow(TypeError);
    await expect(encryptFileOn(ground.host, "a", "b", {} as never)).rejects.toThrow(TypeError);
  });

  test("what is not an option is refused", async () => {
    await expect(
      decryptFileOn(ground.host, "a", "b", { unlock: word("one"), keyId: "alias/x" } as never),
    ).rejects.toThrow("options.keyId: no such option");
  });
});

describe("costs that a file asks for [F-215]", () => {
  const slotOf = (number: number, memoryKiB: number, passes: number): SlotEntry =>
    slotEntry(
      new Uint8Array(32),
      fileId,
      encodeSlotHeader({
        id: new Uint8Array(16).fill(number),
        createdAtMs: 0,
        fields: { ...passphraseFields, memoryKiB, passes },
      }),
      dek,
    );
  const beginningWith = (...entries: SlotEntry[]): Uint8Array => {
    const karea = fileAreaKey(dek, fileId);
    const area = encodeKeyArea({ generation: 1, entries, areaBytes: head.areaBytes }, karea, headBytes);
    return concat(headBytes, area, area, new Uint8Array(74));
  };
  const open = async (bytes: Uint8Array): Promise<unknown> => {
    const access = slotAccess(
      wayInOf(passphraseWith("one", {}), "unlock"),
      () => 0,
      () => undefined,
      "unlock",
    );
    return openBeginning(bytes, { access, context: undefined, report: () => undefined });
  };

  test("are refused before any work: of one slot, and of several together", async () => {
    const startedMs = performance.now();
    const LIMIT = { code: "COFFER_KDF_LIMIT" };
    await expect(open(beginningWith(slotOf(1, 2 ** 21, 3)))).rejects.toMatchObject(LIMIT);
    await expect(open(beginningWith(slotOf(1, 8, 1)))).rejects.toMatchObject(LIMIT);
    const most = [slotOf(1, 2 ** 20, 40), slotOf(2, 2 ** 20, 40)];
    await expect(open(beginningWith(...most))).rejects.toMatchObject(LIMIT);
    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});

test("a slot's secret that is derived only after the end is wiped at once", async () => {
  const binding = { fileId, context: {} };
  const wayIn = wayInOf(word("one"), "unlock");
  const accessBy = (way: WayIn): KeyAccess =>
    slotAccess(
      way,
      () => 0,
      () => undefined,
      "unlock",
    );
  const { entry } = await accessBy(wayInOf(word("one"), "unlock")).create(binding);
  let secret: Uint8Array | undefined;
  const derive = wayIn.secretFor.bind(wayIn);
  const access = accessBy(wayIn);
  wayIn.secretFor = async (...args) => {
    secret = await derive(...args);
    access.end();
    return secret;
  };
  access.prepare([entry], binding);
  await expect(access.open(entry, binding)).rejects.toMatchObject({ reason: "used-twice" });
  expect(secret).toEqual(new Uint8Array(32));
});

test("no plaintext and no key lies in an encrypted file", async () => {
  const { source, encrypted } = await sourceIn(await ground.scratch(), Buffer.from("a secret sentence"));
  await encryptFileOn(ground.host, source, encrypted, { unlock: word("one") });
  expect(hex(await bytesOf(encrypted))).not.toContain(hex(Buffer.from("secret")));
});
