/**
 * Worker of argon2id.ts: one Argon2id hash by `hash-wasm`, then the thread ends and its memory with it.
 * @module
 */
import { parentPort } from "node:worker_threads";
import { argon2id } from "hash-wasm";
import { wipe } from "../secret.ts";

/** What the worker is sent, once. It owns the password's memory, and wipes it. */
export interface Argon2Task {
  readonly password: Uint8Array<ArrayBuffer>;
  readonly salt: Uint8Array<ArrayBuffer>;
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
  readonly lengthBytes: number;
}

/** What it answers, once. */
export interface Argon2Answer {
  readonly tag?: Uint8Array;
  readonly failure?: string;
}

async function answer(task: Argon2Task): Promise<Argon2Answer> {
  try {
    const tag = await argon2id({
      password: task.password,
      salt: task.salt,
      memorySize: task.memoryKiB,
      iterations: task.passes,
      parallelism: task.lanes,
      hashLength: task.lengthBytes,
      outputType: "binary",
    });
    return { tag: new Uint8Array(tag) };
  } catch (error) {
    return { failure: String(error) };
  } finally {
    wipe(task.password);
  }
}

if (parentPort !== null) {
  const port = parentPort;
  port.on("message", (task: Argon2Task) => {
    void answer(task).then((result) => port.postMessage(result));
  });
}
