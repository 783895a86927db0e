/**
 * What the benches of the file store share: works at once, plain folders with the same flushes, and a folder that
 * gocryptfs encrypts, where it can be mounted.
 * @module
 */
import { lstat, mkdir, open, readdir, readFile, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { isInstalled, run, withFolder } from "./scratch-files.mjs";

/** As many as an import of the store does. */
export const AT_ONCE = 16;

/** Does a work for each item, `atOnce` at a time. */
export async function each(items, atOnce, work) {
  const next = items[Symbol.iterator]();
  const worker = async () => {
    for (let item = next.next(); !item.done; item = next.next()) await work(item.value);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}

/** Returns the seconds that a work takes. */
export async function seconds(work) {
  const startedMs = performance.now();
  await work();
  return (performance.now() - startedMs) / 1000;
}

/** Files of a folder, each change flushed as the store does it: the file, and its folder. */
export class PlainFiles {
  #folder;

  constructor(folder) {
    this.#folder = folder;
  }

  async make() {
    await mkdir(this.#folder, { recursive: true });
    return this;
  }

  /** Beside, flushed, renamed, and the folder flushed: whole or not there, as in the store. */
  async write(name, bytes) {
    const path = join(this.#folder, name);
    const handle = await open(`${path}.tmp`, "wx", 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${path}.tmp`, path);
    await flushFolder(dirname(path));
  }

  read(name) {
    return readFile(join(this.#folder, name));
  }

  /** Names, lengths and times: what the store's listing gives. Returns how many there are. */
  async list() {
    const names = await readdir(this.#folder);
    await each(names, AT_ONCE, (name) => lstat(join(this.#folder, name)));
    return names.length;
  }

  async remove(name) {
    await unlink(join(this.#folder, name));
    await flushFolder(this.#folder);
  }
}

/** A directory of the store, with the same calls. */
export class StoredFiles {
  #store;
  #directory;

  constructor(store, directory) {
    this.#store = store;
    this.#directory = directory;
  }

  write(name, bytes) {
    return this.#store.write(`${this.#directory}/${name}`, bytes);
  }

  read(name) {
    return this.#store.read(`${this.#directory}/${name}`);
  }

  async list() {
    let count = 0;
    for await (const { size } of this.#store.list(this.#directory)) if (size >= 0) count += 1;
    return count;
  }

  remove(name) {
    return this.#store.remove(`${this.#directory}/${name}`);
  }
}

/**
 * Gives a mounted folder of gocryptfs to `use`, or undefined where it is not installed or cannot be mounted: that is
 * said on standard error.
 */
export async function withGocryptfs({ isWanted }, use) {
  if (!isWanted || !isInstalled("gocryptfs")) return use(undefined);
  return withFolder(async (folder) => {
    const [cipher, mounted] = [join(folder, "cipher"), join(folder, "mounted")];
    await mkdir(cipher);
    await mkdir(mounted);
    // The cost of its passphrase is not what is measured.
    const pass = ["-q", "-extpass", "echo", "-extpass", "for-the-bench"];
    try {
      await run("gocryptfs", "-init", "-scryptn", "10", ...pass, cipher);
      await run("gocryptfs", ...pass, cipher, mounted);
    } catch (error) {
      process.stderr.write(`gocryptfs cannot be mounted here, and is left out: ${error.message}\n`);
      return use(undefined);
    }
    try {
      return await use(mounted);
    } finally {
      await run(isInstalled("fusermount3") ? "fusermount3" : "fusermount", "-u", mounted);
    }
  });
}

async function flushFolder(path) {
  const handle = await open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
