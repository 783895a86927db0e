/**
 * Worker of strength-hint.ts: rates one passphrase, then the thread ends and its memory with it. The estimator takes
 * nothing but a string and makes many of it, which nobody can wipe: here they go with the thread's heap.
 * @module
 */
import { parentPort } from "node:worker_threads";
import { ZxcvbnFactory } from "@zxcvbn-ts/core";
import { adjacencyGraphs, dictionary as common } from "@zxcvbn-ts/language-common";
import { dictionary as english } from "@zxcvbn-ts/language-en";

/** Its work grows with the square of the length, and a part is guessed no later than the whole. */
const MAX_CHARACTERS = 100;

if (parentPort !== null) {
  const port = parentPort;
  const estimator = new ZxcvbnFactory({
    dictionary: { ...common, ...english },
    graphs: adjacencyGraphs,
    maxLength: MAX_CHARACTERS,
  });
  port.once("message", (passphrase: Uint8Array) => {
    const text = new TextDecoder().decode(passphrase);
    passphrase.fill(0);
    port.postMessage(estimator.check(text).guessesLog10);
  });
}
