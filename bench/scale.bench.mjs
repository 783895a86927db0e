/**
 * What do 100,000 keys and 100,000 aliases cost: made in batches, listed, resolved, used, opened, and in memory?
 * Alone in its process, and with `--expose-gc` for honest memory: `node --expose-gc bench/scale.bench.mjs [COUNT]`.
 * @module
 */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { createVault, openVault, passphrase, recovery } from "coffer";

const CALLS_AT_ONCE = 2000;
const SAMPLE = 2000;
const MIB = 2 ** 20;

/**
 * @param {{ scaleKeys: number }} counts keys, and as many aliases
 * @returns {Promise<object[]>}
 */
export async function scale({ scaleKeys: count }) {
  const folder = await mkdtemp(join(tmpdir(), "coffer-bench-"));
  const directory = join(folder, "my.vault");
  const lines = [];
  const line = (what, { milliseconds, cpuMilliseconds }, calls = 1) =>
    lines.push({
      what,
      microseconds: (milliseconds * 1000) / calls,
      cpuMicroseconds: (cpuMilliseconds * 1000) / calls,
    });
  try {
    let now = Date.now();
    const clock = () => now;
    const { vault, recoveryCode } = await createVault(directory, {
      unlock: passphrase("for the bench"),
      clock,
    });
    const before = await usedBytes();
    line("a key with an alias, made with others at once", await timed(() => makeKeys(vault, count)), count);
    await vault.close();

    let opened;
    line(
      `open, ${count.toLocaleString("en")} keys and aliases`,
      await timed(async () => {
        opened = await openVault(directory, { unlock: recovery(recoveryCode), clock });
      }),
    );
    const { kms } = opened;
    const afterOpen = await usedBytes();
    const keys = [];
    line("listKeys, a page of 1,000", await timed(() => everyPage(kms, keys)), Math.ceil(count / 1000));
    const aliases = [];
    line("listAliases, a page of 100", await timed(() => everyAlias(kms, aliases)), Math.ceil(count / 100));
    if (keys.length !== count + 1 || aliases.length !== count + 1)
      throw new Error("the listing is not whole");
    const step = Math.max(1, Math.floor(count / SAMPLE));
    const sample = aliases.filter((_, index) => index % step === 0);
    const perCall = async (what, call) =>
      line(
        what,
        await timed(async () => {
          for (const alias of sample) await call(alias);
        }),
        sample.length,
      );
    await perCall("describeKey by alias, each another key", (alias) => kms.describeKey({ keyId: alias }));
    await perCall("encrypt 32 B by alias, each another key", (alias) =>
      kms.encrypt({ keyId: alias, plaintext: new Uint8Array(32) }),
    );
    line(
      "a misspelt alias, with the nearest names",
      await timed(() => kms.describeKey({ keyId: "alias/item/12345x" }).catch(() => undefined)),
    );
    line("createKey, alone", await timed(() => kms.createKey({ alias: "alias/one-more" })));
    const victim = keys[keys.length >> 1];
    line("listAliases of one key, all pages", await timed(() => everyAlias(kms, [], victim)));
    await kms.setDeletionProtection({ keyId: victim, enableDeletionProtection: false });
    await kms.scheduleKeyDeletion({ keyId: victim, pendingWindowInDays: 7 });
    now += 8 * 86_400_000;
    line("the deletion of one key, its bytes gone from the files", await timed(() => kms.describeKey()));
    // Larger than the caches, so that they are full.
    keys.length = 0;
    aliases.length = 0;
    sample.length = 0;
    const afterUse = await usedBytes();
    // A key, its version and its alias; mirrors are not kept in memory.
    const records = 3 * count;
    lines.push({ what: "memory after open, bytes a key and alias", bytes: (afterOpen - before) / count });
    lines.push({
      what: "memory after open, bytes a record",
      bytes: (afterOpen - before) / records,
    });
    lines.push({ what: "caches and all after use, MiB", bytes: (afterUse - afterOpen) / MIB });
    lines.push({ what: "files, bytes a key and alias", bytes: (await sizeOf(directory)) / count });
    await opened.close();
    return lines;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeKeys({ kms }, count) {
  for (let made = 0; made < count; made += CALLS_AT_ONCE) {
    const size = Math.min(CALLS_AT_ONCE, count - made);
    await Promise.all(
      Array.from({ length: size }, (_, index) => kms.createKey({ alias: `alias/item/${made + index}` })),
    );
  }
}

async function everyPage(kms, found) {
  let marker;
  do {
    const page = await kms.listKeys({ limit: 1000, marker });
    found.push(...page.keys.map(({ keyId }) => keyId));
    marker = page.nextMarker;
  } while (marker !== undefined);
}

async function everyAlias(kms, found, keyId) {
  let marker;
  do {
    const page = await kms.listAliases({ limit: 100, marker, keyId });
    found.push(...page.aliases.map(({ aliasName }) => aliasName));
    marker = page.nextMarker;
  } while (marker !== undefined);
}

/** Takes the time, and the processor's, which a busy machine changes less. */
async function timed(work) {
  const startedMs = performance.now();
  const started = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(started);
  return { milliseconds: performance.now() - startedMs, cpuMilliseconds: (user + system) / 1000 };
}

/** Heap and buffers, after a collection where Node was told to allow it. */
async function usedBytes() {
  for (let turn = 0; turn < 4; turn += 1) {
    globalThis.gc?.();
    await new Promise((resume) => setTimeout(resume, 50));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function sizeOf(directory) {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const lines = await scale({ scaleKeys: Number(process.argv[2] ?? 100_000) });
  for (const { what, microseconds, cpuMicroseconds, bytes } of lines) {
    const cells =
      bytes === undefined
        ? [microseconds, cpuMicroseconds].map((value) => `${(value / 1000).toFixed(3)} ms`)
        : [bytes.toFixed(1)];
    process.stdout.write(`${what.padEnd(56)}${cells.map((cell) => cell.padStart(16)).join("")}\n`);
  }
}
