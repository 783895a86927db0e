/**
 * A thread of the token helper that ends the process when its parent is gone. A module's call may hold the main thread
 * for as long as it likes, and nobody would be left to end it.
 * @module
 */
import { kill, pid, ppid } from "node:process";
import process from "node:process";

const INTERVAL_MS = 250;
const parent: number = ppid;

setInterval(() => {
  if (process.ppid !== parent || !isAlive(parent)) kill(pid, "SIGKILL");
}, INTERVAL_MS);

function isAlive(process: number): boolean {
  try {
    kill(process, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
