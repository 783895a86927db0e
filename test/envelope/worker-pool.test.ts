import { readFileSync } from "node:fs";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { VaultFiles } from "../../src/envelope/vault-files.ts";
import { RELEASE } from "../../src/envelope/worker-job.ts";
import { useFileWorker } from "../../src/envelope/worker-pool.ts";
import { report } from "../field/scale.ts";
import { onSmallDrive } from "../field/small-drive.ts";
import { distUrl, runModule } from "../storage/scratch.ts";
import { bytesOf, E, fileGround, holds, namesIn, P, pattern, sourceIn } from "./file-ground.ts";

const ground = fileGround();
const BUILT = new URL(distUrl("envelope/file-worker.cjs"));
/** Long enough for threads, of several stretches, with an end of its own. */
const plaintext = pattern(3 * 8_388_608 + 12_345);
let threaded: VaultFiles;

beforeAll(() => {
  // Fails with the path, where the package was not built.
  readFileSync(BUILT);
  threaded = new VaultFiles({ ...ground.host, mayUseWorkers: true });
});

beforeEach(() => {
  useFileWorker(BUILT);
  ground.notices.length = 0;
});

/** A worker made of this text. */
function workerOf(text: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}

describe("long files in several threads", () => {
  test("are the same as in one", async () => {
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    const told: number[] = [];
    await threaded.encryptFile(source, encrypted, { onProgress: ({ bytes }) => told.push(bytes) });
    await threaded.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, plaintext)).toBe(true);
    await ground.files.decryptFile(encrypted, decrypted, { overwrite: true });
    expect(await holds(decrypted, plaintext)).toBe(true);
    expect(ground.notices).toEqual([]);
    expect(told.at(-1)).toBe(plaintext.length);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
  });

  test("eight at once each come out right", async () => {
    const directory = await ground.scratch();
    const shorter = plaintext.subarray(0, 2 * 8_388_608 + 3);
    const { source } = await sourceIn(directory, shorter);
    const names = Array.from({ length: 8 }, (_, i) => join(directory, `${i}`));
    await Promise.all(names.map((name) => threaded.encryptFile(source, `${name}.cof`, {})));
    await Promise.all(names.map((name) => threaded.decryptFile(`${name}.cof`, name, {})));
    for (const name of names) expect(await holds(name, shorter)).toBe(true);
    expect(ground.notices).toEqual([]);
  });

  test("with a byte changed are refused with the segment named, and nothing is left", async () => {
    const directory = await ground.scratch();
    const { source, encrypted, decrypted } = await sourceIn(directory, plaintext);
    await threaded.encryptFile(source, encrypted, { segmentBytes: P });
    const bytes = await bytesOf(encrypted);
    const at = 512 + 4096 + 74 + 200 * E + 99;
    bytes[at] = (bytes[at] as number) ^ 1;
    await writeFile(encrypted, bytes);
    await expect(threaded.decryptFile(encrypted, decrypted, {})).rejects.toMatchObject({
      name: "InvalidCiphertextError",
      code: "COFFER_INVALID_CIPHERTEXT",
      details: { segment: 200 },
    });
    expect(await namesIn(directory)).toEqual(["a", "a.cof"]);
  });

  test("an abort ends all threads and leaves nothing", async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, plaintext);
    const reason = new Error("no longer wanted");
    for (const afterMs of [0, 2, 5]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), afterMs);
      await expect(threaded.encryptFile(source, encrypted, { signal: controller.signal })).rejects.toBe(
        reason,
      );
    }
    expect(await namesIn(directory)).toEqual(["a"]);
  });
});

test("an abort ends the work of the threads, not only the wait for it", async () => {
  const directory = await ground.scratch();
  const [source, encrypted] = [join(directory, "a"), join(directory, "a.cof")];
  await writeFile(source, "");
  await truncate(source, 2 ** 30);
  const controller = new AbortController();
  const told: number[] = [];
  const working = threaded.encryptFile(source, encrypted, {
    signal: controller.signal,
    onProgress: ({ bytes }) => {
      told.push(bytes);
      controller.abort(new Error("no longer wanted"));
    },
  });
  await expect(working).rejects.toThrow("no longer wanted");
  // A few more stretches were under way.
  expect(told.at(-1)).toBeLessThan(2 ** 29);
  expect(await namesIn(directory)).toEqual(["a"]);
});

test("an abort of a file that waits for the threads does not wait for the one before it", async () => {
  const directory = await ground.scratch();
  const { source, encrypted } = await sourceIn(directory, plaintext);
  await writeFile(join(directory, "long"), "");
  await truncate(join(directory, "long"), 2 ** 31);
  const [before, waiting] = [new AbortController(), new AbortController()];
  let isBeforeDone = false;
  const first = threaded
    .encryptFile(join(directory, "long"), join(directory, "long.cof"), {
      signal: before.signal,
      // By then the threads are at work.
      onProgress: () => waiting.abort(new Error("second")),
    })
    .catch((error: unknown) => error)
    .finally(() => (isBeforeDone = true));
  const second = threaded.encryptFile(source, encrypted, { signal: waiting.signal });
  await expect(second).rejects.toThrow("second");
  expect(isBeforeDone).toBe(false);
  before.abort(new Error("first"));
  expect(await first).toMatchObject({ message: "first" });
  expect(await namesIn(directory)).toEqual(["a", "long"]);
});

describe("threads that fail", () => {
  test("that cannot be started are done without, and a warning says so", async () => {
    useFileWorker(new URL("file:///nowhere/file-worker.js"));
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    await threaded.encryptFile(source, encrypted, {});
    expect(ground.notices).toMatchObject([{ type: "warning" }]);
    await ground.files.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, plaintext)).toBe(true);
  });

  test.each([
    ["another release", "{ type: 'ready', release: '0.0.9' }"],
    ["a release that did not say so", "{ type: 'ready' }"],
  ])("that are of %s are done without", async (_, ready) => {
    useFileWorker(
      workerOf(`import { parentPort } from "node:worker_threads";
        parentPort.on("message", ({ id }) => parentPort.postMessage({ type: "done", id }));
        parentPort.postMessage(${ready});`),
    );
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    await threaded.encryptFile(source, encrypted, {});
    expect(ground.notices).toMatchObject([{ type: "warning" }]);
    await ground.files.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, plaintext)).toBe(true);
  });

  test("tell the release that the package has", () => {
    const manifest: unknown = JSON.parse(
      readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
    );
    expect(manifest).toMatchObject({ version: RELEASE });
  });

  test("that start and never say so are given up, and done without", async () => {
    useFileWorker(workerOf("setInterval(() => undefined, 1000);"));
    const { source, encrypted, decrypted } = await sourceIn(await ground.scratch(), plaintext);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const working = threaded.encryptFile(source, encrypted, {});
      const deadlineMs = performance.now() + 20_000;
      while (ground.notices.length === 0 && performance.now() < deadlineMs) {
        await vi.advanceTimersByTimeAsync(1000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await working;
    } finally {
      vi.useRealTimers();
    }
    expect(ground.notices).toMatchObject([{ type: "warning" }]);
    await ground.files.decryptFile(encrypted, decrypted, {});
    expect(await holds(decrypted, plaintext)).toBe(true);
  });

  test.each([
    ["end", "process.exit(0)"],
    ["throw", "throw new Error('broken')"],
  ])("that %s in the middle of the work reject the call and leave nothing", async (_, end) => {
    useFileWorker(
      workerOf(`import { parentPort } from "node:worker_threads";
        parentPort.on("message", () => { ${end} });
        parentPort.postMessage({ type: "ready", release: "${RELEASE}" });`),
    );
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, plaintext);
    await expect(threaded.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_IO",
      reason: "worker-ended",
    });
    expect(await namesIn(directory)).toEqual(["a"]);
  });

  test("that say they are done when they are not are not believed", async () => {
    useFileWorker(
      workerOf(`import { parentPort } from "node:worker_threads";
        parentPort.on("message", ({ id }) => parentPort.postMessage({ type: "done", id }));
        parentPort.postMessage({ type: "ready", release: "${RELEASE}" });`),
    );
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, plaintext);
    await expect(threaded.encryptFile(source, encrypted, {})).rejects.toMatchObject({
      code: "COFFER_IO",
      reason: "worker-ended",
    });
    expect(await namesIn(directory)).toEqual(["a"]);
  });

  test("the place of the worker is a URL", () => {
    expect(() => useFileWorker("x" as never)).toThrow(TypeError);
  });
});

test("a full drive is COFFER_IO, and leaves no part of the file and the old destination as it was", async () => {
  const directory = await ground.scratch();
  const drive = join(directory, "drive");
  await mkdir(drive, { mode: 0o700 });
  const within = onSmallDrive(drive);
  if (within === undefined) {
    report("full drive, files", { notRun: "neither root nor a user namespace may mount a small drive here" });
    return;
  }
  const { source } = await sourceIn(directory, plaintext);
  const text = `
    const { encryptFileOn } = await import(${JSON.stringify(distUrl("envelope/passphrase-files.js"))});
    const { passphraseWith } = await import(${JSON.stringify(distUrl("keystore/slots/passphrase.js"))});
    const { nodeFileSystem } = await import(${JSON.stringify(distUrl("storage/file-system.js"))});
    const { readdirSync, readFileSync, writeFileSync } = await import("node:fs");
    const [source, drive] = process.argv.slice(-2);
    const cheap = { memoryKiB: 8, passes: 1, lanes: 1 };
    const ground = { fs: nodeFileSystem, clock: Date.now, report: (n) => console.log(n.message), mayUseWorkers: true };
    writeFileSync(drive + "/old", "old");
    for (const name of ["new", "old"]) {
      const unlock = passphraseWith("x", { cost: cheap, floor: cheap });
      await encryptFileOn(ground, source, drive + "/" + name, { unlock, overwrite: true })
        .then(() => console.log("done"), ({ code, details }) => console.log(code, details.errno));
      console.log(readdirSync(drive).join(), readFileSync(drive + "/old", "utf8"));
    }
  `;
  const [command = "", ...args] = within;
  const { stdout } = await promisify(execFile)(
    command,
    [...args, process.execPath, "--input-type=module", "-e", text, "--", source, drive],
    { timeout: 30_000 },
  );
  expect(stdout.trim().split("\n")).toEqual(["COFFER_IO ENOSPC", "old old", "COFFER_IO ENOSPC", "old old"]);
});

test("idle threads do not keep a process alive, and working ones do", async () => {
  const directory = await ground.scratch();
  const { source, encrypted } = await sourceIn(directory, plaintext);
  const text = `
    const { encryptFileOn } = await import(${JSON.stringify(distUrl("envelope/passphrase-files.js"))});
    const { passphraseWith } = await import(${JSON.stringify(distUrl("keystore/slots/passphrase.js"))});
    const { nodeFileSystem } = await import(${JSON.stringify(distUrl("storage/file-system.js"))});
    const cheap = { memoryKiB: 8, passes: 1, lanes: 1 };
    const ground = { fs: nodeFileSystem, clock: Date.now, report: (n) => console.log(n.message), mayUseWorkers: true };
    const unlock = passphraseWith("x", { cost: cheap, floor: cheap });
    // Not awaited: the process must stay for the work alone.
    encryptFileOn(ground, ...process.argv.slice(-2), { unlock }).then(() => console.log("done", process.uptime()));
    process.on("exit", () => console.log("exit", process.uptime()));
  `;
  const lines = (await runModule(text, [source, encrypted])).split("\n").map((line) => line.split(" "));
  expect(lines.map(([word]) => word)).toEqual(["done", "exit"]);
  expect(Number(lines[1]?.[1]) - Number(lines[0]?.[1])).toBeLessThan(0.5);
});

test.runIf(process.platform === "linux")(
  "threads start with the first long file, and end when there is nothing to do",
  async () => {
    const directory = await ground.scratch();
    const { source, encrypted } = await sourceIn(directory, plaintext);
    await writeFile(`${source}.short`, "short");
    const text = `
      const { encryptFileOn } = await import(${JSON.stringify(distUrl("envelope/passphrase-files.js"))});
      const { passphraseWith } = await import(${JSON.stringify(distUrl("keystore/slots/passphrase.js"))});
      const { nodeFileSystem } = await import(${JSON.stringify(distUrl("storage/file-system.js"))});
      const { readdirSync } = await import("node:fs");
      const { availableParallelism } = await import("node:os");
      const cheap = { memoryKiB: 8, passes: 1, lanes: 1 };
      const ground = { fs: nodeFileSystem, clock: Date.now, report: (n) => console.log(n.message), mayUseWorkers: true };
      const [source, encrypted] = process.argv.slice(-2);
      const encrypt = (from, to) => encryptFileOn(ground, from, to, { unlock: passphraseWith("x", { cost: cheap, floor: cheap }) });
      const threads = () => readdirSync("/proc/self/task").length;
      await encrypt(source + ".short", encrypted + ".short");
      const before = threads();
      await encrypt(source, encrypted);
      console.log(threads() - before - Math.min(8, availableParallelism()));
      const deadline = Date.now() + 20_000;
      while (threads() > before && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
      console.log(threads() - before);
    `;
    expect((await runModule(text, [source, encrypted])).split("\n")).toEqual(["0", "0"]);
  },
);
