/**
 * Tells whether the process named in a lock file still lives.
 *
 * On Linux the start time of a process (with the boot id, since start times count from boot) tells it from another
 * that got its number later. Elsewhere there is no way without starting programs, and this rule holds: a living
 * number is the same process, unless the lock was taken before this computer started, or the number is our own and
 * we started at another time.
 * @module
 */
import { hostname, uptime } from "node:os";
import { type FileSystem, hasErrno } from "./file-system.ts";

/** What of this computer and process the vault lock looks at. Tests put other values in its place. */
export interface ProcessProbe {
  readonly pid: number;
  readonly host: string;
  /** Milliseconds since 1970 when this computer started. */
  readonly bootedAtMs: number;
  /**
   * When the process started, as text to compare: `<boot id>/<ticks>` on Linux; elsewhere seconds since 1970 of our
   * own process and `""` for others. Undefined when there is no such process.
   */
  startOf(pid: number): Promise<string | undefined>;
}

const MAX_PROC_BYTES = 65_536;

/** Looks at this computer through `fs`. */
export function processProbe(fs: FileSystem, now: () => number = Date.now): ProcessProbe {
  return {
    pid: process.pid,
    host: hostname(),
    bootedAtMs: now() - uptime() * 1000,
    startOf: async (pid) => {
      if (!isAlive(pid)) return undefined;
      if (fs.platform === "linux") return linuxStart(fs, pid);
      return pid === process.pid ? String(Math.round(now() / 1000 - process.uptime())) : "";
    },
  };
}

// EPERM: it lives and belongs to somebody else.
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !hasErrno(error, "ESRCH");
  }
}

async function linuxStart(fs: FileSystem, pid: number): Promise<string | undefined> {
  try {
    const read = async (path: string): Promise<string> =>
      Buffer.from(await fs.readFile(path, { maxBytes: MAX_PROC_BYTES })).toString("latin1");
    const stat = await read(`/proc/${pid}/stat`);
    // The second field is the program's name in parentheses and may hold anything; the start time is field 22.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has ended: it holds no file, it only waits for its parent to notice.
    if (fields[0] === "Z" || fields[0] === "X") return undefined;
    const bootId = (await read("/proc/sys/kernel/random/boot_id")).trim();
    return `${bootId}/${fields[19] ?? ""}`;
  } catch (error) {
    // Gone between the two looks; or /proc is not there, and the number alone must do.
    return isAlive(pid) && !hasErrno(error, "ESRCH") ? "" : undefined;
  }
}
