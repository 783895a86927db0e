/**
 * One writer for a vault: the file `vault.lock` in its canonical directory, which says who holds it. LevelDB's own
 * lock comes second and stays the last word; its file LOCK is never opened here, since closing it would drop the
 * lock.
 *
 * A lock file appears whole, under its name, by a hard link. A stale one (its process has ended) is replaced so
 * that of many takers one wins: only who makes the file `vault.lock.next-<instance of the stale one>` may replace
 * that one, and looks once more before the rename. If such a taker died, its own claim is taken over by the same
 * rule.
 * @module
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { hex } from "../bytes.ts";
import { DamagedError, type ErrorDetails, VaultInUseError } from "../errors.ts";
import { unlinkIfPresent, writeTemporary } from "./atomic-file.ts";
import { type FileStats, type FileSystem, hasErrno } from "./file-system.ts";
import { ioError } from "./io-error.ts";
import {
  encodeLockRecord,
  isLiving,
  lockHost,
  type LockFile,
  type LockRecord,
  readLockFile,
} from "./lock-record.ts";
import { type ProcessProbe, processProbe } from "./process-probe.ts";

/** Name of the lock file in the vault's directory. */
export const VAULT_LOCK_NAME = "vault.lock";

/** Instances of this process whose lock file could not be removed: they hold nothing any more. */
const abandoned: Set<string> = /* @__PURE__ */ new Set();

const MAX_TAKEOVER_DEPTH = 8;
const MAX_ATTEMPTS = 20;
const RETRY_MS = 50;

export interface VaultLockOptions {
  /** Time for `since`, in milliseconds since 1970. @defaultValue Date.now */
  readonly clock?: () => number;
  /** @defaultValue this process on this computer */
  readonly probe?: ProcessProbe;
  readonly sleep?: (ms: number) => Promise<void>;
}

/** A held lock. */
export interface VaultLock {
  /** Canonical directory that is locked: open LevelDB by this path. */
  readonly directory: string;
  readonly record: LockRecord;
  /** True when a lock was left over: whoever held it did not close the vault. */
  readonly wasUnclean: boolean;
  /**
   * True while the lock file is ours; false once it was deleted or replaced, and for good after `release`. Costs one
   * `lstat`; call it before each commit. @throws CofferError `COFFER_IO` when that cannot be told.
   */
  isHeld(): Promise<boolean>;
  /**
   * Removes the lock file if it is ours. Idempotent. @throws CofferError `COFFER_IO`; then it is void for this
   * process all the same, and for others when this process ends or `release` is called again.
   */
  release(): Promise<void>;
}

/** What {@link inspectVaultLock} found. */
export type VaultLockState =
  | { readonly state: "free" }
  | { readonly state: "held"; readonly pid: number; readonly host: string; readonly since: number }
  | { readonly state: "stale"; readonly pid: number; readonly host: string; readonly since: number }
  /** A regular file that is no lock of ours: taken over like a stale one. */
  | { readonly state: "unreadable" }
  /** Not a regular file: refused. */
  | { readonly state: "planted" };

/**
 * Takes the lock of the vault in `directory`, which must exist. Never waits for its holder.
 * @throws CofferError `COFFER_VAULT_IN_USE` at once while its holder lives or is on another host (`details`: pid,
 *   host, since, sameProcess), `COFFER_DAMAGED` when the lock file is no regular file, `COFFER_IO`.
 */
export async function acquireVaultLock(
  fs: FileSystem,
  directory: string,
  options: VaultLockOptions = {},
): Promise<VaultLock> {
  const clock = options.clock ?? Date.now;
  const probe = options.probe ?? processProbe(fs, clock);
  try {
    const canonical = await fs.realpath(directory);
    const record: LockRecord = {
      pid: probe.pid,
      host: lockHost(probe.host),
      started: (await probe.startOf(probe.pid)) ?? "",
      instance: hex(randomBytes(16)),
      since: clock(),
    };
    const taking = new Taking(fs, probe, join(canonical, VAULT_LOCK_NAME), record, options.sleep);
    let isTaken = false;
    try {
      const wasUnclean = await taking.take();
      isTaken = true;
      return await hold(fs, probe, canonical, record, wasUnclean);
    } catch (error) {
      // It may be ours already, and nobody could release it.
      if (isTaken || !(error instanceof VaultInUseError)) abandoned.add(record.instance);
      throw error;
    }
  } catch (error) {
    throw ioError(error, "lock the vault", VAULT_LOCK_NAME);
  }
}

/**
 * Says who holds a vault, without taking its lock. What it says is not authenticated.
 * @throws CofferError `COFFER_IO`.
 */
export async function inspectVaultLock(
  fs: FileSystem,
  directory: string,
  options: Pick<VaultLockOptions, "probe"> = {},
): Promise<VaultLockState> {
  let found: LockFile;
  try {
    found = await readLockFile(fs, join(directory, VAULT_LOCK_NAME));
  } catch (error) {
    throw ioError(error, "look at the vault's lock", VAULT_LOCK_NAME);
  }
  if (found.kind === "absent") return { state: "free" };
  if (found.kind === "garbage") return { state: "unreadable" };
  if (found.kind === "planted") return { state: "planted" };
  const { pid, host, since } = found.record;
  const state = (await isLiving(found.record, options.probe ?? processProbe(fs))) ? "held" : "stale";
  return { state, pid, host, since };
}

/** One acquisition on its way. */
class Taking {
  readonly #fs: FileSystem;
  readonly #probe: ProcessProbe;
  readonly #path: string;
  readonly #record: LockRecord;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(
    fs: FileSystem,
    probe: ProcessProbe,
    path: string,
    record: LockRecord,
    sleep: ((ms: number) => Promise<void>) | undefined,
  ) {
    this.#fs = fs;
    this.#probe = probe;
    this.#path = path;
    this.#record = record;
    this.#sleep = sleep ?? ((ms): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms)));
  }

  /** @returns whether a stale lock was taken over. */
  async take(): Promise<boolean> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      if (await this.#publish(this.#path)) return false;
      const stale = await this.#stale(this.#path);
      if (stale !== undefined && (await this.#replace(this.#path, stale, 0))) return true;
      // The lock changed while we looked: look again.
    }
    throw new VaultInUseError(
      "The vault's lock keeps changing hands. Try again when the other programs are done.",
    );
  }

  // Creates the file with its whole content. False when the name is taken.
  async #publish(path: string): Promise<boolean> {
    const temporary = `${this.#path}.${this.#record.instance}`;
    try {
      await writeTemporary(this.#fs, temporary, encodeLockRecord(this.#record), { leftover: "remove" });
      await this.#fs.link(temporary, path);
      return true;
    } catch (error) {
      // ENOENT: whoever got the lock meanwhile has swept our file away.
      if (hasErrno(error, "EEXIST", "ENOENT")) return false;
      if (!hasErrno(error, "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EINVAL")) throw error;
    } finally {
      await this.#fs.unlink(temporary).catch(() => undefined);
    }
    return this.#publishInPlace(path);
  }

  // Where there are no hard links. A reader may meet the file half-written: #stale waits for that.
  async #publishInPlace(path: string): Promise<boolean> {
    try {
      await writeTemporary(this.#fs, path, encodeLockRecord(this.#record));
      return true;
    } catch (error) {
      if (hasErrno((error as Error).cause, "EEXIST")) return false;
      throw error;
    }
  }

  // The instance of a stale lock; undefined when the lock has gone. Throws when it is held.
  async #stale(path: string): Promise<string | undefined> {
    for (let look = 0; ; look++) {
      const found = await readLockFile(this.#fs, path);
      if (found.kind === "absent") return undefined;
      if (found.kind === "planted") throw plantedError();
      if (found.kind === "record") {
        const isHeld = !abandoned.has(found.instance) && (await isLiving(found.record, this.#probe));
        if (isHeld) throw inUseError(found.record, this.#probe);
        return found.instance;
      }
      if (look === 4) return found.instance;
      await this.#sleep(RETRY_MS);
    }
  }

  // Replaces a stale file by ours. False when it has changed since.
  async #replace(path: string, stale: string, depth: number): Promise<boolean> {
    if (depth === MAX_TAKEOVER_DEPTH) return false;
    const claim = `${this.#path}.next-${stale}`;
    if (!(await this.#publish(claim))) {
      const abandoned = await this.#stale(claim);
      if (abandoned === undefined || !(await this.#replace(claim, abandoned, depth + 1))) return false;
    }
    const found = await readLockFile(this.#fs, path);
    if ((found.kind === "record" || found.kind === "garbage") && found.instance === stale) {
      await this.#fs.rename(claim, path);
      return true;
    }
    await unlinkIfPresent(this.#fs, claim);
    return false;
  }
}

async function hold(
  fs: FileSystem,
  probe: ProcessProbe,
  directory: string,
  record: LockRecord,
  wasUnclean: boolean,
): Promise<VaultLock> {
  const path = join(directory, VAULT_LOCK_NAME);
  let seen = await fs.lstat(path);
  let isReleased = false;
  let releasing: Promise<void> | undefined;

  async function isHeld(): Promise<boolean> {
    if (isReleased) return false;
    try {
      const now = await fs.lstat(path);
      if (isSame(now, seen)) return true;
      // Touched: a backup program may link or chmod it. The content decides.
      if (!(await isOurs())) return false;
      seen = now;
      return true;
    } catch (error) {
      if (hasErrno(error, "ENOENT", "ENOTDIR")) return false;
      throw ioError(error, "look at the vault's lock", path);
    }
  }

  async function isOurs(): Promise<boolean> {
    const found = await readLockFile(fs, path);
    return found.kind === "record" && found.instance === record.instance;
  }

  async function release(): Promise<void> {
    isReleased = true;
    abandoned.delete(record.instance);
    try {
      if ((await isOurs()) && (await unlinkIfPresent(fs, path))) return;
      abandoned.add(record.instance);
    } catch (error) {
      // Another call tries again; until then, who takes the lock in this process passes over this one.
      abandoned.add(record.instance);
      releasing = undefined;
      throw ioError(error, "release the vault's lock", path);
    }
  }

  if (!(await isOurs())) {
    throw new VaultInUseError(
      "The vault's lock was replaced in the moment it was taken. Find out by whom, and try again.",
    );
  }
  await sweep(fs, probe, directory).catch(() => undefined);
  return {
    directory,
    record,
    wasUnclean,
    isHeld,
    release: () => {
      releasing ??= release();
      return releasing;
    },
  };
}

// Removes what takers that died left behind. Claims on locks before ours are void, so this is in nobody's way.
async function sweep(fs: FileSystem, probe: ProcessProbe, directory: string): Promise<void> {
  for (const { name, kind } of await fs.readDirectory(directory)) {
    const isClaim = /^vault\.lock\.next-[0-9a-f]{32}$/u.test(name);
    if (kind !== "file" || !(isClaim || /^vault\.lock\.[0-9a-f]{32}$/u.test(name))) continue;
    const path = join(directory, name);
    const found = await readLockFile(fs, path);
    const isDead =
      found.kind === "record" ? !(await isLiving(found.record, probe)) : found.kind === "garbage" && !isClaim;
    if (isDead) await unlinkIfPresent(fs, path);
  }
}

function isSame(a: FileStats, b: FileStats): boolean {
  return a.inode === b.inode && a.device === b.device && a.changedAtNs === b.changedAtNs && a.size === b.size;
}

function inUseError(record: LockRecord, probe: ProcessProbe): VaultInUseError {
  const { pid, host, since } = record;
  const sameHost = host === lockHost(probe.host);
  const sameProcess = sameHost && pid === probe.pid;
  const who = sameProcess
    ? "this process"
    : sameHost
      ? `process ${pid} on this computer`
      : `process ${pid} on ${host}`;
  const advice = sameHost
    ? "Close it there, or use the vault through that program."
    : "Close it there. If that computer is gone for good, remove the file vault.lock in the vault's folder.";
  const details: ErrorDetails = { pid, host, since, sameProcess };
  const message = `The vault is in use by ${who} since ${new Date(since).toISOString()}. ${advice}`;
  return new VaultInUseError(message, { details });
}

function plantedError(): DamagedError {
  const message = "The vault's lock file is not a regular file. Find out who put it there, and remove it.";
  return new DamagedError(message, { details: { part: "lock" } });
}
