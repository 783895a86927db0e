/**
 * The token helper: a process that lives for one task, so that a vendor's module can hang, crash or keep a card logged
 * in without taking the application along, and so that the PIN goes with it. Started by helper-process.ts.
 * Reads nothing from its arguments, and ends when its parent does.
 * @module
 */
import process from "node:process";
import { Worker } from "node:worker_threads";
import type { HelperPort } from "./helper-context.ts";
import type { HelperMessage, HelperRequest } from "./helper-protocol.ts";
import { serveTask } from "./serve-task.ts";

/** Electron's line to a utility process. */
interface ParentPort {
  on(event: "message", listener: (event: { readonly data: unknown }) => void): void;
  postMessage(message: unknown): void;
}

/** The parent's line: a channel of Node, or Electron's port. */
function parentPort(): HelperPort | undefined {
  const port = (process as { parentPort?: ParentPort }).parentPort;
  const received: unknown[] = [];
  let waiting: ((message: unknown) => void) | undefined;
  const take = (message: unknown): void => {
    if (waiting === undefined) received.push(message);
    else waiting(message);
    waiting = undefined;
  };
  const receive = (): Promise<unknown> =>
    received.length > 0
      ? Promise.resolve(received.shift())
      : new Promise((resolve) => {
          waiting = resolve;
        });
  if (port !== undefined) {
    port.on("message", ({ data }) => take(data));
    return {
      receive,
      send: (message: HelperMessage) =>
        new Promise((resolve) => {
          port.postMessage(message);
          setImmediate(resolve);
        }),
    };
  }
  if (process.send === undefined) return undefined;
  process.on("message", take);
  return {
    receive,
    send: (message: HelperMessage) =>
      new Promise((resolve) => {
        // A parent that is gone wants no answer.
        process.send?.(message, undefined, undefined, () => resolve());
      }),
  };
}

function watchParent(): void {
  try {
    const worker = new Worker(new URL("./parent-watch-worker.js", import.meta.url), {
      execArgv: [],
      workerData: process.ppid,
    });
    worker.on("error", () => undefined);
    worker.unref();
  } catch {
    // Where there are no threads, the channel's end is all there is.
  }
}

const port = parentPort();
if (port !== undefined) {
  watchParent();
  // Without its parent nobody wants the answer.
  process.once("disconnect", () => process.exit());
  void port.receive().then(async (request) => {
    await serveTask(port, request as HelperRequest);
    if (process.connected) process.disconnect();
  });
}
