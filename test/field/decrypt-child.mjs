/**
 * Decrypts a file, and stops for ever when all plaintext is written and has no name yet.
 * @module
 */
import { decryptFile } from "../../dist/index.js";
import { passphraseWith } from "../../dist/keystore/slots/passphrase.js";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const [source, destination, secret] = process.argv.slice(2);

await decryptFile(source, destination, {
  unlock: passphraseWith(secret, { cost: CHEAP, floor: CHEAP }),
  onProgress: ({ bytes, totalBytes }) => {
    if (bytes === totalBytes) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
});
