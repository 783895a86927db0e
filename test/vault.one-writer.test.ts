// Children and workers run the built package: `npm run build` comes first.
import { readFile, symlink, unlink, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import type { CofferError } from "../src/errors.ts";
import { passphraseWith } from "../src/keystore/slots/passphrase.ts";
import type { Unlocker } from "../src/keystore/slots/way-in.ts";
import { encodeLockRecord, lockHost } from "../src/storage/lock-record.ts";
import { nodeFileSystem } from "../src/storage/file-system.ts";
import { processProbe } from "../src/storage/process-probe.ts";
import { createVault, describeVault, openVault, type Vault } from "../src/vault.ts";
import type { VaultNotice } from "../src/vault-events.ts";
import { differenceOf, readTree } from "./field/trees.mjs";
import { distUrl, scratchDirectories, kill, runModule, startModule } from "./storage/scratch.ts";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const way = (): Unlocker => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
const scratch = scratchDirectories();

async function newVault(): Promise<{ vault: Vault; directory: string }> {
  const directory = join(await scratch(), "vault");
  return { vault: (await createVault(directory, { unlock: way() })).vault, directory };
}

async function refusal(opening: Promise<Vault>): Promise<CofferError> {
  return opening.then(
    () => {
      throw new Error("the vault was opened a second time");
    },
    (error: unknown) => error as CofferError,
  );
}

const imports = `
  import { openVault } from ${JSON.stringify(distUrl("vault.js"))};
  import { passphraseWith } from ${JSON.stringify(distUrl("keystore/slots/passphrase.js"))};
  const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
  const way = () => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
`;
const open = `${imports}
  const started = performance.now();
  const vault = await openVault(process.argv[1], { unlock: way() }).catch((error) => error);
  const took = performance.now() - started;
`;
/** Opens once, says how that went, and ends. */
const tryOnce = `${open}
  console.log(JSON.stringify({ code: vault.code ?? "open", message: vault.message, details: vault.details, took }));
  await vault.close?.();
`;
/** Opens, says how that went, and stays until it is killed. */
const openAndStay = `${open}
  console.log(JSON.stringify({ code: vault.code ?? "open", message: vault.message, details: vault.details, took }));
  process.stdin.resume();
`;

interface Attempt {
  readonly code: string;
  readonly details?: { readonly pid: number; readonly host: string; readonly since: number };
  readonly took: number;
}

async function holderOf(directory: string): Promise<{ pid: number | undefined; since: number | undefined }> {
  const description = await describeVault(directory);
  const holder = description.exists ? description.inUseBy : undefined;
  return { pid: holder?.pid, since: holder?.since.getTime() };
}

async function attempt(directory: string): Promise<Attempt> {
  return JSON.parse(await runModule(tryOnce, [directory])) as Attempt;
}

describe("a second open of a vault", () => {
  test("is refused at once to the same process, by a relative, absolute, linked or roundabout path", async () => {
    const { vault, directory } = await newVault();
    const link = join(await scratch(), "link");
    await symlink(directory, link);
    const before = readTree(directory);
    for (const path of [
      directory,
      relative(process.cwd(), directory),
      link,
      `${directory}/`,
      join(directory, "..", basename(directory)),
    ]) {
      const started = performance.now();
      const error = await refusal(openVault(path, { unlock: way() }));
      expect(performance.now() - started).toBeLessThan(1000);
      expect(error).toMatchObject({ code: "COFFER_VAULT_IN_USE", retryable: true });
      expect(error.details).toMatchObject({ pid: process.pid, sameProcess: true });
      expect(new Date(error.details["since"] as number).getFullYear()).toBeGreaterThan(2000);
    }
    expect(differenceOf(before, readTree(directory))).toBeUndefined();
    await vault.kms.createKey({ alias: "alias/still-writes" });
    await vault.close();
    await (await openVault(link, { unlock: way() })).close();
  });

  test("is refused while the first is locked", async () => {
    const { vault, directory } = await newVault();
    await vault.lock();
    expect(await refusal(openVault(directory, { unlock: way() }))).toMatchObject({
      code: "COFFER_VAULT_IN_USE",
    });
    expect(await attempt(directory)).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    await vault.unlock(way());
    await vault.close();
  });

  test("is refused to a worker thread", async () => {
    const { vault, directory } = await newVault();
    const source = `
      import { parentPort, workerData } from "node:worker_threads";
      ${imports}
      const vault = await openVault(workerData, { unlock: way() }).catch((error) => error);
      parentPort.postMessage([vault.code, vault.details?.sameProcess]);
    `;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
      workerData: directory,
    });
    const answer = await new Promise((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
    expect(answer).toEqual(["COFFER_VAULT_IN_USE", true]);
    await vault.close();
  });

  test("is refused to another process, which is told who holds it and since when", async () => {
    const { vault, directory } = await newVault();
    const { since } = await holderOf(directory);
    const answer = await attempt(directory);
    expect(answer).toMatchObject({
      code: "COFFER_VAULT_IN_USE",
      details: { pid: process.pid, since },
    });
    expect(answer.took).toBeLessThan(1000);
    await vault.close();
    expect(await attempt(directory)).toMatchObject({ code: "open" });
  });

  test.each([
    ["nobody had it open", false],
    ["a killed process had it open", true],
  ])("succeeds for exactly one of eight processes at once, after %s", async (_what, isStale) => {
    const { vault, directory } = await newVault();
    await vault.close();
    if (isStale) await kill((await startModule(openAndStay, [directory])).child);
    const started = await Promise.all(Array.from({ length: 8 }, () => startModule(openAndStay, [directory])));
    const answers = started.map(({ line }) => JSON.parse(line) as Attempt);
    expect(answers.map(({ code }) => code).toSorted(), JSON.stringify(answers)).toEqual([
      ...Array.from({ length: 7 }, () => "COFFER_VAULT_IN_USE"),
      "open",
    ]);
    const winner = started[answers.findIndex(({ code }) => code === "open")];
    expect((await holderOf(directory)).pid).toBe(winner?.child.pid);
    await Promise.all(started.map(({ child }) => kill(child)));
    const notices: VaultNotice[] = [];
    const last = await openVault(directory, { unlock: way(), onWarning: (notice) => notices.push(notice) });
    expect(notices).toEqual([]);
    await last.close();
  });
});

describe("what others do to the locks meanwhile", () => {
  test.each(["read", "deleted"])(
    "LevelDB's LOCK is %s: others stay out, and the holder goes on",
    async (what) => {
      const { vault, directory } = await newVault();
      const path = join(directory, "db-1", "LOCK");
      await (what === "read" ? readFile(path) : unlink(path));
      expect(await attempt(directory)).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
      await vault.kms.createKey({ alias: "alias/after" });
      await vault.close();
      const again = await openVault(directory, { unlock: way() });
      await again.kms.describeKey({ keyId: "alias/after" });
      await again.close();
    },
  );

  test("vault.lock is deleted: LevelDB's own lock keeps others out, and the holder changes nothing more", async () => {
    const { vault, directory } = await newVault();
    await vault.kms.createKey({ alias: "alias/before" });
    await unlink(join(directory, "vault.lock"));
    expect(await attempt(directory)).toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    const before = readTree(directory);
    await expect(vault.kms.createKey({ alias: "alias/after" })).rejects.toMatchObject({
      code: "COFFER_VAULT_IN_USE",
    });
    expect(differenceOf(before, readTree(directory))).toBeUndefined();
    await vault.kms.describeKey({ keyId: "alias/before" });
    await vault.close();
    const again = await openVault(directory, { unlock: way() });
    await expect(again.kms.describeKey({ keyId: "alias/after" })).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
    await again.close();
  });

  test("vault.lock is replaced by another's: the holder changes nothing more, and leaves that one alone", async () => {
    const { vault, directory } = await newVault();
    const path = join(directory, "vault.lock");
    const record = { pid: 1, host: "elsewhere", started: "1", instance: "ab".repeat(16), since: 5 };
    await writeFile(path, encodeLockRecord(record));
    await expect(vault.kms.createKey({})).rejects.toMatchObject({ code: "COFFER_VAULT_IN_USE" });
    await vault.close();
    expect(await readFile(path)).toEqual(Buffer.from(encodeLockRecord(record)));
  });
});

describe("a lock that was left behind", () => {
  test("by a killed process is taken over at once", async () => {
    const { vault, directory } = await newVault();
    await vault.close();
    const { child, line } = await startModule(openAndStay, [directory]);
    expect(JSON.parse(line)).toMatchObject({ code: "open" });
    await kill(child);
    const again = await openVault(directory, { unlock: way() });
    await again.kms.createKey({ alias: "alias/after" });
    await again.close();
  });

  test("whose process number belongs to another process by now is taken over too", async () => {
    const { vault, directory } = await newVault();
    await vault.close();
    const probe = processProbe(nodeFileSystem);
    const started = await probe.startOf(process.pid);
    const stale = {
      pid: process.pid,
      host: lockHost(probe.host),
      started: `${started ?? ""}1`,
      instance: "ab".repeat(16),
      since: 1,
    };
    await writeFile(join(directory, "vault.lock"), encodeLockRecord(stale), { mode: 0o600 });
    const again = await openVault(directory, { unlock: way() });
    expect(await holderOf(directory)).not.toMatchObject({ since: 1 });
    await again.close();
  });

  test("by a process on another computer is not taken over, and the error says what to do", async () => {
    const { vault, directory } = await newVault();
    await vault.close();
    const record = { pid: 1, host: "elsewhere", started: "1", instance: "ab".repeat(16), since: 5 };
    await writeFile(join(directory, "vault.lock"), encodeLockRecord(record), { mode: 0o600 });
    const error = await refusal(openVault(directory, { unlock: way() }));
    expect(error).toMatchObject({
      code: "COFFER_VAULT_IN_USE",
      details: { pid: 1, host: "elsewhere", since: 5 },
    });
    expect(error.message).toContain("vault.lock");
  });
});
