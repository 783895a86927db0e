/**
 * Sees to it that what was removed from the index is gone from the database's files too: soon after, when nothing
 * else is done, or at the latest when the vault is closed. A lock in between changes nothing of that: what is noted are
 * LevelDB keys and the beginnings of sealed values, as they lie on the disk. Source: docs/format.md#store-garbage [F-241].
 * @module
 */
import { hex } from "../bytes.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";

/** How long nothing may have been removed before the files are rewritten, in milliseconds. */
const IDLE_MS = 5000;
/** More are removed with the whole table, and not looked for one by one. */
const MAX_NOTED = 4096;

export class RemovedTraces {
  #database: VaultDatabase | undefined;
  /** Patterns by hexadecimal LevelDB key, of plans that are not committed yet, or never will be. */
  #planned = new Map<string, Uint8Array>();
  #prefixes: Uint8Array[] = [];
  #patterns: Uint8Array[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<boolean> = Promise.resolve(true);

  /** Takes note of what is removed from a database from now on. What was noted of one before it stays noted. */
  watch(database: VaultDatabase): void {
    const planned = new Map<string, Uint8Array>();
    this.#database = database;
    this.#planned = planned;
    database.observe((changedKeys) => {
      if (planned.size === 0) return;
      for (const key of changedKeys ?? []) {
        const pattern = planned.get(hex(key));
        if (pattern === undefined) continue;
        planned.delete(hex(key));
        this.#removed(key, pattern);
      }
    });
  }

  /** Takes note of a record that a plan is about to remove or replace. It counts once that is durable. */
  note(key: Uint8Array): void {
    const pattern = this.#database?.traceOf(key);
    // What was put in this very moment has left none.
    if (pattern === undefined) return;
    if (this.#planned.size >= MAX_NOTED) this.#planned.clear();
    this.#planned.set(hex(key), pattern);
  }

  #removed(key: Uint8Array, pattern: Uint8Array): void {
    if (this.#patterns.length < MAX_NOTED) this.#patterns.push(pattern);
    if (this.#prefixes.length < MAX_NOTED) this.#prefixes.push(key);
    else this.#prefixes = [key.subarray(0, 1)];
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.remove().catch(() => undefined), IDLE_MS);
    this.#timer.unref();
  }

  /** Rewrites the files of what was noted. @returns whether it is gone from them. @throws IoError. */
  remove(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#running = this.#running.catch(() => false).then(() => this.#remove());
    return this.#running;
  }

  async #remove(): Promise<boolean> {
    const [prefixes, patterns] = [this.#prefixes, this.#patterns];
    if (prefixes.length === 0 || this.#database === undefined) return true;
    [this.#prefixes, this.#patterns] = [[], []];
    let isGone = false;
    try {
      isGone = await this.#database.removeTraces({ prefixes, patterns });
      return isGone;
    } finally {
      // A reader of the index keeps old values; the next time there may be none.
      if (!isGone) {
        this.#prefixes.push(...prefixes);
        this.#patterns.push(...patterns.slice(0, MAX_NOTED - this.#patterns.length));
      }
    }
  }
}
