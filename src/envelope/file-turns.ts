/**
 * Changes of one file in this process, one after the other, by whatever path they come.
 * @module
 */
import type { FileStats } from "../storage/file-system.ts";

/** The end of the last change that was asked for, by file; only while there is one. */
const lastOf = new Map<string, Promise<void>>();

/** Waits until all changes of this file that were asked for earlier have ended, then makes this one. */
export async function inFileTurn<T>(
  { device, inode }: Pick<FileStats, "device" | "inode">,
  change: () => Promise<T>,
): Promise<T> {
  const name = `${device}:${inode}`;
  const earlier = lastOf.get(name);
  const result = earlier === undefined ? change() : earlier.then(change);
  const end = result.then(
    () => undefined,
    () => undefined,
  );
  lastOf.set(name, end);
  try {
    return await result;
  } finally {
    if (lastOf.get(name) === end) lastOf.delete(name);
  }
}
