/**
 * Names of files that are being written. They say by which process, so that what a killed one has left, perhaps
 * plaintext, is told from what a living one writes, and is removed by the next that writes to the same place.
 *
 * That can be told on Linux alone: a process is dead for certain where its number is free or taken by one that started
 * at another time, under the same kernel (its boot id) and among the same processes (the namespaces of a container).
 * Everything else counts as living.
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { hex } from "../bytes.ts";
import {
  FILE_MODE,
  type FileStats,
  type FileSystem,
  hasErrno,
  nodeFileSystem,
} from "../storage/file-system.ts";
import { processProbe } from "../storage/process-probe.ts";

/** At most four bytes each, and file systems take 255 in a name. */
const BEGINNING_CHARACTERS = 48;

/** Beginning of the destination's name, ground, process, its start in ticks since boot, random part. */
const OF_A_PROCESS =
  /^(?<beginning>.*)\.(?<ground>[0-9a-f]{12})-(?<pid>\d{1,7})-(?<ticks>\d{1,12})\.[0-9a-f]{16}\.tmp$/su;

/** `<boot id>/<ticks>`, as a probe tells the start of a process on Linux. */
const START = /^(?<boot>[0-9a-f-]{36})\/(?<ticks>\d{1,12})$/u;

/** Number and start mean something only among processes that see each other. */
const NAMESPACE = "/proc/self/ns/pid";
/** Moves the starts of processes; kernels before 5.6 have none. */
const TIME_NAMESPACE = "/proc/self/ns/time";

/** A look reads all of a folder: into one with more entries than this, many files go one by one. */
const MANY_ENTRIES = 1000;
const LOOK_AGAIN_MS = 60_000;
const MAX_FOLDERS = 256;
/** When folders with many entries were looked into, by the monotonic clock. */
const lookedInto = new Map<string, number>();

interface OwnProcess {
  readonly ground: string;
  readonly ticks: string;
}

let own: Promise<OwnProcess | undefined> | undefined;

/** Returns a new path beside the destination. */
export async function temporaryPathFor(path: string): Promise<string> {
  const self = await ownProcess();
  const mark = self === undefined ? "" : `.${self.ground}-${process.pid}-${self.ticks}`;
  return join(dirname(path), `${beginningOf(path)}${mark}.${hex(randomBytes(8))}.tmp`);
}

/** What killed processes of this user have left. Looks into each folder once. */
export class StaleTemporaries {
  readonly #fs: FileSystem;
  readonly #found = new Map<string, Promise<readonly StaleName[]>>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** Removes what was left for this destination. Never rejects: nothing that is asked for depends on it. */
  async remove(path: string): Promise<void> {
    const folder = dirname(path);
    let finding = this.#found.get(folder);
    if (finding === undefined) {
      finding = this.#find(folder).catch(() => []);
      this.#found.set(folder, finding);
    }
    for (const { name, beginning } of await finding) {
      if (beginning === beginningOf(path)) await this.#removeOwn(join(folder, name)).catch(() => undefined);
    }
  }

  async #find(folder: string): Promise<readonly StaleName[]> {
    const self = await ownProcess();
    if (self === undefined) return [];
    if (performance.now() - (lookedInto.get(folder) ?? -LOOK_AGAIN_MS) < LOOK_AGAIN_MS) return [];
    const entries = await this.#fs.readDirectory(folder);
    if (entries.length > MANY_ENTRIES) {
      if (lookedInto.size >= MAX_FOLDERS) lookedInto.clear();
      lookedInto.set(folder, performance.now());
    }
    const probe = processProbe(nodeFileSystem);
    const stale: StaleName[] = [];
    for (const { name, kind } of entries) {
      const parts = kind === "file" ? OF_A_PROCESS.exec(name)?.groups : undefined;
      if (parts === undefined || parts["ground"] !== self.ground) continue;
      const started = await probe.startOf(Number(parts["pid"]));
      const ticks = started === undefined ? undefined : START.exec(started)?.groups?.["ticks"];
      const isDead = started === undefined || (ticks !== undefined && ticks !== parts["ticks"]);
      if (isDead) stale.push({ name, beginning: parts["beginning"] ?? "" });
    }
    return stale;
  }

  async #removeOwn(path: string): Promise<void> {
    const { kind, mode, owner } = await this.#fs.lstat(path);
    if (kind === "file" && mode === FILE_MODE && owner === process.geteuid?.()) await this.#fs.unlink(path);
  }
}

interface StaleName {
  readonly name: string;
  /** Of the destination's name. */
  readonly beginning: string;
}

/** A name of full length has no room for more. */
function beginningOf(path: string): string {
  return Array.from(basename(path)).slice(0, BEGINNING_CHARACTERS).join("");
}

function ownProcess(): Promise<OwnProcess | undefined> {
  own ??= lookAtOwnProcess().catch(() => undefined);
  return own;
}

/** @returns undefined where processes cannot be told from each other. */
async function lookAtOwnProcess(): Promise<OwnProcess | undefined> {
  if (nodeFileSystem.platform !== "linux" || process.pid > 9_999_999) return undefined;
  const start = START.exec((await processProbe(nodeFileSystem).startOf(process.pid)) ?? "")?.groups;
  if (start === undefined) return undefined;
  const among = identityOf(await nodeFileSystem.stat(NAMESPACE));
  const time = await nodeFileSystem.stat(TIME_NAMESPACE).then(identityOf, (error: unknown) => {
    if (hasErrno(error, "ENOENT")) return "";
    throw error;
  });
  const ground = createHash("sha256").update(`${start["boot"]}/${among}/${time}`).digest("hex");
  return { ground: ground.slice(0, 12), ticks: start["ticks"] ?? "" };
}

function identityOf({ device, inode }: FileStats): string {
  return `${device}:${inode}`;
}
