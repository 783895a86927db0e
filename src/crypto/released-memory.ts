/**
 * Gives memory back at once, where the garbage collector would do it much later. A cipher returns new memory at each
 * call: taken from the system page by page it costs more than the encryption itself, given back it serves the next call
 * and is still in the processor's cache.
 * @module
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";

/** Shorter ones are not worth it; Node keeps several of them in one piece of memory. */
const MIN_BYTES = 16_384;

let closedPort: MessagePort | undefined;

/**
 * Releases the memory of those arrays that have one of their own: they have length 0 afterwards. Only for arrays that
 * nobody else refers to and nothing reads any more.
 */
export function releaseMemory(arrays: readonly Uint8Array[]): void {
  const buffers: ArrayBuffer[] = [];
  for (const { buffer, byteLength } of arrays) {
    if (buffer instanceof ArrayBuffer && byteLength >= MIN_BYTES && buffer.byteLength === byteLength) {
      buffers.push(buffer);
    }
  }
  // What is transferred through a port that is closed goes nowhere: its memory is free.
  if (buffers.length > 0) portToNowhere().postMessage(undefined, buffers);
}

function portToNowhere(): MessagePort {
  if (closedPort === undefined) {
    const { port1, port2 } = new MessageChannel();
    port1.close();
    port2.close();
    closedPort = port1;
  }
  return closedPort;
}
