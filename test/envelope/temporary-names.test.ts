import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { decryptFile, encryptFileOn } from "../../src/envelope/passphrase-files.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import type { Unlocker } from "../../src/keystore/slots/way-in.ts";
import { storeGround } from "../store/store-ground.ts";
import { fileGround, holds, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const PROGRAM = fileURLToPath(new URL("../field/decrypt-child.mjs", import.meta.url));
const SECRET = "a passphrase";
const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const ground = fileGround();
const children: ChildProcess[] = [];

const unlock = (): Unlocker => passphraseWith(SECRET, { cost: CHEAP, floor: CHEAP });

/** A process that has written all of a destination, which has no name yet. */
interface Writing {
  readonly temporary: string;
  readonly kill: () => Promise<void>;
}

async function writing(encrypted: string, folder: string, name: string): Promise<Writing> {
  const before = await namesIn(folder);
  const child = fork(PROGRAM, [encrypted, join(folder, name), SECRET], { stdio: "ignore", execArgv: [] });
  children.push(child);
  const gone = once(child, "exit");
  for (;;) {
    const temporary = (await namesIn(folder)).find((each) => !before.includes(each) && each.endsWith(".tmp"));
    if (temporary !== undefined) {
      return {
        temporary,
        kill: async () => {
          child.kill("SIGKILL");
          await gone;
        },
      };
    }
    if (child.exitCode !== null) throw new Error("the child has ended");
    await delay(20);
  }
}

async function encryptedFile(): Promise<{ folder: string; encrypted: string; plaintext: Uint8Array }> {
  const plaintext = pattern(P);
  const { source, encrypted } = await sourceIn(await ground.scratch(), plaintext);
  await encryptFileOn(ground.host, source, encrypted, { unlock: unlock() });
  return { folder: await ground.scratch(), encrypted, plaintext };
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

describe.runIf(process.platform === "linux")("what a killed decryptFile has left", () => {
  test("goes with the next one to the same place, and with no other; a living one's stays", async () => {
    const { folder, encrypted, plaintext } = await encryptedFile();
    const { temporary, kill } = await writing(encrypted, folder, "b");
    const to = (name: string): Promise<unknown> =>
      decryptFile(encrypted, join(folder, name), { unlock: unlock(), overwrite: true });
    await to("b");
    expect(await namesIn(folder)).toEqual(["b", temporary]);
    await kill();
    await to("c");
    await to("b.d");
    expect(await namesIn(folder)).toEqual(["b", temporary, "b.d", "c"].toSorted());
    await to("b");
    expect(await namesIn(folder)).toEqual(["b", "b.d", "c"]);
    expect(await holds(join(folder, "b"), plaintext)).toBe(true);
  });

  test("stays where it may be somebody else's: other rights, another computer, no mark", async () => {
    const { folder, encrypted } = await encryptedFile();
    const { temporary, kill } = await writing(encrypted, folder, "b");
    await kill();
    const elsewhere = temporary.replace(/\.[0-9a-f]{12}-/u, ".000000000000-");
    const unmarked = `b.${"0".repeat(16)}.tmp`;
    expect(elsewhere).not.toBe(temporary);
    await copyFile(join(folder, temporary), join(folder, elsewhere));
    await copyFile(join(folder, temporary), join(folder, unmarked));
    await chmod(join(folder, temporary), 0o640);
    await decryptFile(encrypted, join(folder, "b"), { unlock: unlock() });
    expect(await namesIn(folder)).toEqual(["b", elsewhere, temporary, unmarked].toSorted());
  });

  test("goes with an export to the same place", async () => {
    const { encrypted } = await encryptedFile();
    const { vault, folder: own } = await storeGround();
    await vault.store.write("d/file", pattern(10));
    await vault.store.write("d/other", pattern(10));
    const out = join(own, "out");
    await mkdir(out);
    const { temporary, kill } = await writing(encrypted, out, "file");
    await kill();
    await vault.store.exportTo("d/other", out);
    expect(await namesIn(out)).toEqual([temporary, "other"]);
    await vault.store.exportTo("d/file", out);
    expect(await namesIn(out)).toEqual(["file", "other"]);
  });
});
