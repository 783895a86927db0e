/**
 * A process of its own for work on files, so that its memory, its threads and its event loop are its own.
 * It uses the package as anybody does, with a vault; only flushing can be turned off.
 * @module
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withFolder } from "./scratch-files.mjs";
import { copyVault } from "./scratch-vault.mjs";

const CHILD = fileURLToPath(new URL("file-process-child.mjs", import.meta.url));

/**
 * Gives a folder and what starts processes to `use`; ends them and removes the folder afterwards.
 * @param {(given: { folder: string, start: (options?: { threads?: number }) => Promise<FileProcess> }) => Promise<T>} use
 * @returns {Promise<T>}
 * @template T
 */
export async function withProcesses(use) {
  return withFolder(async (folder) => {
    const started = [];
    const start = async ({ threads } = {}) => {
      const directory = join(folder, `${started.length}.vault`);
      const recoveryCode = await copyVault(directory);
      const child = new FileProcess();
      started.push(child);
      await child.ask({ type: "open", directory, recoveryCode, threads });
      return child;
    };
    try {
      return await use({ folder, start });
    } finally {
      await Promise.all(started.map((child) => child.end()));
    }
  });
}

/** One process, doing one job at a time. */
class FileProcess {
  #child = fork(CHILD, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  #exit = once(this.#child, "exit");

  /**
   * Does a job of the child's `JOBS`, of `{ type, …}`. Its destination is a new file.
   * @returns {Promise<{ seconds: number, peakBytes: number, latestMs: number }>} how long it took; the most memory above
   *   what there was before; the longest that the event loop was late
   */
  async ask(job) {
    // To take away an old file is no part of the work.
    if (job.destination !== undefined) await rm(job.destination, { force: true });
    this.#child.send(job);
    const [answer] = await Promise.race([once(this.#child, "message"), this.#exit]);
    if (typeof answer !== "object") throw new Error(`the process for files ended with exit code ${answer}`);
    if (answer.failure !== undefined) throw new Error(answer.failure);
    return answer;
  }

  async end() {
    if (this.#child.connected) this.#child.disconnect();
    await this.#exit;
  }
}
