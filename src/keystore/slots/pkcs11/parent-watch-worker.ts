/**
 * A thread of the token helper that ends the process when its parent is gone. A module's call may hold the main thread
 * for as long as it likes, and nobody would be left to end it.
 * @module
 */
import process from "node:process";
import { workerData } from "node:worker_threads";

const INTERVAL_MS = 250;
/** As the main thread saw it: this one may begin after the parent's end. */
const parent = workerData as number;

setInterval(() => {
  if (process.ppid !== parent || !isAlive(parent)) process.kill(process.pid, "SIGKILL");
}, INTERVAL_MS);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
