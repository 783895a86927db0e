/**
 * Reads all that a run of the tests prints, that of their worker processes too, and fails the run when a planted
 * secret is in it. Runs in the main process of vitest, as its global setup.
 * @module
 */
import { LONGEST_FORM, showsCanary } from "./canary.ts";

/** Starts to watch both streams, and returns the function that ends it. */
export function setup(): () => void {
  const watched = [watch(process.stdout), watch(process.stderr)];
  return () => {
    const hasLeaked = watched.map((end) => end()).includes(true);
    if (!hasLeaked) return;
    process.exitCode = 1;
    process.stderr.write(
      "\nA planted secret was printed; see test/canary.ts for the shapes that are looked for.\n",
    );
  };
}

/** Returns the function that ends the watch, and says whether a planted secret came by. */
function watch(stream: NodeJS.WriteStream): () => boolean {
  const original = stream.write.bind(stream);
  const write = original as (...args: unknown[]) => boolean;
  let tail = "";
  let hasLeaked = false;
  stream.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    const text = tail + (chunk instanceof Uint8Array ? Buffer.from(chunk).toString("latin1") : String(chunk));
    hasLeaked ||= showsCanary(text);
    tail = text.slice(-LONGEST_FORM);
    return write(chunk, ...rest);
  };
  return () => {
    stream.write = original;
    return hasLeaked;
  };
}
