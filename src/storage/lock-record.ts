/**
 * What a lock file says: JSON of one {@link LockRecord}, at most {@link MAX_LOCK_BYTES} long. Anybody who can write
 * to the folder can write it, so it is read as hostile: bounded, every field checked, nothing followed.
 * @module
 */
import { createHash } from "node:crypto";
import { fromUtf8, hex, utf8 } from "../bytes.ts";
import { type FileSystem, hasErrno, UnexpectedFileError } from "./file-system.ts";
import type { ProcessProbe } from "./process-probe.ts";

export const MAX_LOCK_BYTES = 4096;

/** Start times in seconds are worked out from the clock, which may be set a little meanwhile. */
const START_SLACK_S = 5;

/** Who holds a vault. */
export interface LockRecord {
  readonly pid: number;
  readonly host: string;
  /** Start time of that process, as `ProcessProbe.startOf` gives it. */
  readonly started: string;
  /** 32 hexadecimal digits, random for each acquisition. */
  readonly instance: string;
  /** Milliseconds since 1970 when it was acquired. */
  readonly since: number;
}

/** What lies at the place of a lock file. `instance` tells one content from another, readable or not. */
export type LockFile =
  | { readonly kind: "absent" }
  | { readonly kind: "record"; readonly instance: string; readonly record: LockRecord }
  | { readonly kind: "garbage"; readonly instance: string }
  | { readonly kind: "planted" };

/** Reads a lock file. `planted`: it is no regular file. @throws errors of the port, but for those of absence. */
export async function readLockFile(fs: FileSystem, path: string): Promise<LockFile> {
  let bytes: Uint8Array;
  try {
    bytes = await fs.readFile(path, { maxBytes: MAX_LOCK_BYTES });
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return { kind: "absent" };
    if (!(error instanceof UnexpectedFileError)) throw error;
    return error.reason === "too-large"
      ? { kind: "garbage", instance: "00".repeat(16) }
      : { kind: "planted" };
  }
  const record = decodeLockRecord(bytes);
  if (record !== undefined) return { kind: "record", instance: record.instance, record };
  return { kind: "garbage", instance: hex(createHash("sha256").update(bytes).digest().subarray(0, 16)) };
}

export function encodeLockRecord({
  pid,
  host,
  started,
  instance,
  since,
}: LockRecord): Uint8Array<ArrayBuffer> {
  return utf8(`${JSON.stringify({ pid, host, started, instance, since })}\n`);
}

/** @returns undefined for anything but a record. */
export function decodeLockRecord(bytes: Uint8Array): LockRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, host, started, instance, since } = value as Record<string, unknown>;
  if (typeof pid !== "number" || !Number.isInteger(pid) || pid < 1 || pid > 2 ** 31 - 1) return undefined;
  // What is shown to people later holds no control or direction characters.
  if (typeof host !== "string" || !/^[\w.-]{1,255}$/u.test(host)) return undefined;
  if (typeof started !== "string" || !/^[0-9a-f/-]{0,80}$/u.test(started)) return undefined;
  if (typeof instance !== "string" || !/^[0-9a-f]{32}$/u.test(instance)) return undefined;
  if (typeof since !== "number" || !Number.isSafeInteger(since) || since < 0 || since > 8.64e15)
    return undefined;
  return { pid, host, started, instance, since };
}

/** Turns a host name into what a record may hold. */
export function lockHost(host: string): string {
  return host.replaceAll(/[^\w.-]/gu, "_").slice(0, 255) || "_";
}

/** True unless the process is known to have ended: one on another host counts as living. */
export async function isLiving(record: LockRecord, probe: ProcessProbe): Promise<boolean> {
  if (record.host !== lockHost(probe.host)) return true;
  const started = await probe.startOf(record.pid);
  if (started === undefined) return false;
  if (started !== "" && record.started !== "") {
    const seconds = /^\d{1,12}$/u;
    if (!seconds.test(started) || !seconds.test(record.started)) return started === record.started;
    return Math.abs(Number(started) - Number(record.started)) <= START_SLACK_S;
  }
  // Clocks are set meanwhile, and boot times are rounded: only a clear distance counts.
  return record.since >= probe.bootedAtMs - 60_000;
}
