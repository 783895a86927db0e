/**
 * The process that untrusted-database.ts starts: opens a copy of a database and hands out its raw records. It holds
 * no key, so that a table made to take LevelDB over finds nothing, and one that aborts it ends nobody else.
 * @module
 */
import { openLevelStore } from "./level-store.ts";
import type { Store } from "./store.ts";

/** What the process is told first. Every later message, of any content, asks for the next batch. */
export interface DatabaseTask {
  /** The copy: LevelDB rewrites it. */
  readonly directory: string;
}

/** What a refusal came from. */
export type DatabaseStep = "load" | "open" | "read";

/** What the process answers, one message at a time. */
export type DatabaseAnswer =
  /** The native module is there. */
  | { readonly kind: "loaded" }
  | { readonly kind: "entries"; readonly entries: readonly (readonly [key: Uint8Array, value: Uint8Array])[] }
  | { readonly kind: "end" }
  | { readonly kind: "refused"; readonly step: DatabaseStep };

/** A record of ours is shorter than both, so nothing of one is ever cut off. */
const MAX_KEY_BYTES = 256;
const MAX_VALUE_BYTES = 32_768;
const MAX_BATCH_ENTRIES = 256;
const MAX_BATCH_BYTES = 262_144;

async function serve(port: NodeJS.Process, { directory }: DatabaseTask): Promise<void> {
  let step: DatabaseStep = "load";
  let store: Store | undefined;
  try {
    await import("level");
    send(port, { kind: "loaded" });
    step = "open";
    store = await openLevelStore(directory, { create: false });
    step = "read";
    await sendEntries(port, store);
    send(port, { kind: "end" });
  } catch {
    // LevelDB's messages hold paths, and say nothing that a user could act on.
    send(port, { kind: "refused", step });
  } finally {
    await store?.close().catch(() => undefined);
    port.disconnect();
  }
}

async function sendEntries(port: NodeJS.Process, store: Store): Promise<void> {
  let batch: [Uint8Array, Uint8Array][] = [];
  let lengthBytes = 0;
  for await (const [key, value] of store.entries()) {
    batch.push([key.slice(0, MAX_KEY_BYTES), value.slice(0, MAX_VALUE_BYTES)]);
    lengthBytes += key.length + value.length;
    if (batch.length < MAX_BATCH_ENTRIES && lengthBytes < MAX_BATCH_BYTES) continue;
    await sendBatch(port, batch);
    batch = [];
    lengthBytes = 0;
  }
  if (batch.length > 0) await sendBatch(port, batch);
}

/** Waits until the parent has taken the batch: neither process holds more than one. */
async function sendBatch(
  port: NodeJS.Process,
  entries: readonly (readonly [Uint8Array, Uint8Array])[],
): Promise<void> {
  const taken = new Promise((resolve) => port.once("message", resolve));
  send(port, { kind: "entries", entries });
  await taken;
}

function send(port: NodeJS.Process, answer: DatabaseAnswer): void {
  port.send?.(answer);
}

if (process.send !== undefined) {
  // Without its parent nobody wants the answer.
  process.once("disconnect", () => process.exit());
  process.once("message", (task) => void serve(process, task as DatabaseTask));
}
