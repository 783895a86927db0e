/**
 * An application that a bundler has made into one file, and that is packed into an archive: its long files are worked on
 * by threads where it says where their file is, and without threads where nobody can find it.
 * @module
 */
import { copyFile, symlink, writeFile } from "node:fs/promises";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { createPackageWithOptions, extractFile, listPackage } from "@electron/asar";
import { rolldown } from "rolldown";
import { beforeAll, describe, expect, test } from "vitest";
import { distUrl, scratchDirectories } from "../storage/scratch.ts";
import { holds, pattern } from "./file-ground.ts";

const scratch = scratchDirectories();
const run = promisify(execFile);
const plaintext = pattern(17 * 1_048_576 + 5);
const dist = (path: string): string => JSON.stringify(fileURLToPath(distUrl(path)));

/** Encrypts and decrypts a file, and prints each notice. */
const APP = `
  import { useFileWorker } from ${dist("index.js")};
  import { decryptFileOn, encryptFileOn } from ${dist("envelope/passphrase-files.js")};
  import { passphraseWith } from ${dist("keystore/slots/passphrase.js")};
  import { nodeFileSystem } from ${dist("storage/file-system.js")};

  const [directory, workerUrl] = process.argv.slice(2);
  if (workerUrl !== undefined) useFileWorker(new URL(workerUrl));
  const cheap = { memoryKiB: 8, passes: 1, lanes: 1 };
  const ground = { fs: nodeFileSystem, clock: Date.now, report: ({ message }) => console.log(message), mayUseWorkers: true };
  const unlock = () => passphraseWith("x", { cost: cheap, floor: cheap });
  await encryptFileOn(ground, directory + "/a", directory + "/a.cof", { unlock: unlock() });
  await decryptFileOn(ground, directory + "/a.cof", directory + "/b", { unlock: unlock() });
  console.log("done");
`;
const WARNING = "Worker threads could not be started";

let folder: string;

async function bundle(input: string, file: string): Promise<void> {
  const build = await rolldown({
    input,
    platform: "node",
    external: ["level", "argon2"],
    logLevel: "silent",
  });
  await build.write({ file, format: "esm", codeSplitting: false });
  await build.close();
}

beforeAll(async () => {
  folder = await scratch();
  await writeFile(join(folder, "app-source.mjs"), APP);
  await bundle(join(folder, "app-source.mjs"), join(folder, "app.mjs"));
  await copyFile(fileURLToPath(distUrl("envelope/file-worker.cjs")), join(folder, "worker.cjs"));
});

/** Runs the application, looks that its work is right, and returns what it reported. */
async function reportsOf(app: string, workerUrl?: URL): Promise<string[]> {
  const directory = await scratch();
  await writeFile(join(directory, "a"), plaintext);
  const { stdout } = await run(
    process.execPath,
    [app, directory, ...(workerUrl === undefined ? [] : [workerUrl.href])],
    { timeout: 30_000 },
  );
  const lines = stdout.trim().split("\n");
  expect(lines.pop()).toBe("done");
  expect(await holds(join(directory, "b"), plaintext)).toBe(true);
  return lines;
}

/** A folder of its own with the bundle, and with the native packages, which no bundle can hold. */
async function installed(): Promise<string> {
  const place = await scratch();
  await copyFile(join(folder, "app.mjs"), join(place, "app.mjs"));
  await symlink(fileURLToPath(new URL("../../node_modules", import.meta.url)), join(place, "node_modules"));
  return place;
}

describe("a bundled application", () => {
  test("whose worker is nowhere does its work without, and says so", async () => {
    const reports = await reportsOf(join(await installed(), "app.mjs"));
    expect(reports).toHaveLength(2);
    for (const report of reports) expect(report).toContain(WARNING);
  });

  test("finds a worker of the usual name beside it", async () => {
    const place = await installed();
    await copyFile(join(folder, "worker.cjs"), join(place, "file-worker.cjs"));
    expect(await reportsOf(join(place, "app.mjs"))).toEqual([]);
  });

  test("takes the worker from where useFileWorker says", async () => {
    const place = await installed();
    expect(await reportsOf(join(place, "app.mjs"), pathToFileURL(join(folder, "worker.cjs")))).toEqual([]);
  });
});

test("an asar archive keeps the worker's file outside, where threads can start from it", async () => {
  const content = await scratch();
  await copyFile(join(folder, "app.mjs"), join(content, "app.mjs"));
  await copyFile(join(folder, "worker.cjs"), join(content, "worker.cjs"));
  const out = await scratch();
  const archive = join(out, "app.asar");
  await createPackageWithOptions(content, archive, { unpack: "worker.cjs" });
  expect(listPackage(archive, { isPack: false }).toSorted()).toEqual(["/app.mjs", "/worker.cjs"]);
  // Only Electron runs what is inside: here the application is taken out, and the worker stays.
  const app = join(await installed(), "app.mjs");
  await writeFile(app, extractFile(archive, "app.mjs"));
  expect(await reportsOf(app, pathToFileURL(join(`${archive}.unpacked`, "worker.cjs")))).toEqual([]);
  // A path into the archive leads nowhere for a thread that knows no archives.
  const reports = await reportsOf(app, pathToFileURL(join(archive, "worker.cjs")));
  expect(reports[0]).toContain(WARNING);
});
