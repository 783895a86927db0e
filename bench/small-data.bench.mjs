/**
 * How much slower are encrypt, decrypt and generateDataKey than AES-256-GCM of node:crypto alone?
 * The baseline is one raw encryption and one raw decryption of the same bytes, with a key made beforehand.
 * @module
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { inRounds, repeated, sizeText, timeLine } from "./measure.mjs";
import { withVault } from "./scratch-vault.mjs";

const QUESTION = "small data";
const SIZES = [32, 1024, 6144];
const MAX_DATA_KEY_BYTES = 1024;
/** For 1 KiB; other sizes are shown beside it. */
const TARGET = { sizeBytes: 1024, of: "ratio", atMost: 3 };
const ALGORITHM = "aes-256-gcm";
const TAG = { authTagLength: 16 };

/** @returns {Promise<object[]>} */
export async function smallData({ rounds, callsPerRound }) {
  return withVault(1, async ({ vault: { kms } }) => {
    const lines = [];
    for (const size of SIZES) {
      const plaintext = randomBytes(size);
      const { ciphertextBlob } = await kms.encrypt({ plaintext });
      const calls = {
        encrypt: () => kms.encrypt({ plaintext }),
        decrypt: () => kms.decrypt({ ciphertextBlob }),
        generateDataKey: () => kms.generateDataKey({ numberOfBytes: size }),
      };
      for (const [name, call] of Object.entries(calls)) {
        if (name === "generateDataKey" && size > MAX_DATA_KEY_BYTES) continue;
        const { raw, own } = await inRounds(rounds, {
          raw: repeated(callsPerRound, rawGcm(plaintext)),
          own: repeated(callsPerRound, call),
        });
        const { sizeBytes, ...target } = TARGET;
        lines.push(
          timeLine({
            question: QUESTION,
            what: `${name}, ${sizeText(size)}`,
            took: own,
            baseline: "raw AES-GCM",
            baselineTook: raw,
            target: size === sizeBytes ? target : undefined,
            times: callsPerRound,
          }),
        );
      }
    }
    return lines;
  });
}

function rawGcm(plaintext) {
  const key = randomBytes(32);
  return () => {
    const nonce = randomBytes(12);
    const cipher = createCipheriv(ALGORITHM, key, nonce, TAG);
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const decipher = createDecipheriv(ALGORITHM, key, nonce, TAG);
    decipher.setAuthTag(cipher.getAuthTag());
    return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
  };
}
