/**
 * Small drives for tests: a tmpfs in a mount namespace of the child's own, which vanishes with it.
 * @module
 */
import { execFileSync } from "node:child_process";

/**
 * Returns a command that mounts a drive of 12 MiB at `path`, an empty folder, for itself and becomes its arguments;
 * undefined where neither root nor a user namespace may do that.
 */
export function onSmallDrive(path: string): string[] | undefined {
  const mount = 'mount -t tmpfs -o size=12m,mode=700 tmpfs "$0" && exec "$@"';
  const options = process.getuid?.() === 0 ? ["-m"] : ["-r", "-m"];
  const within = ["unshare", ...options, "sh", "-c", mount, path];
  try {
    execFileSync("unshare", [...within.slice(1), "true"], { stdio: "ignore" });
    return within;
  } catch {
    return undefined;
  }
}
