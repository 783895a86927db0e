/**
 * Opens a vault, works with it, locks it, and counts the secrets that are left in this process's memory. The secrets
 * come masked, and are compared masked, so that the search itself plants none.
 * @module
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import process from "node:process";

const [dist, taskFile] = process.argv.slice(2);
const { MASK, task } = JSON.parse(readFileSync(taskFile, "utf8"));
const { openVault, recovery, restoreVault } = await import(`${dist}index.js`);
const { passphraseWith } = await import(`${dist}keystore/slots/passphrase.js`);

const CHUNK_BYTES = 1 << 22;
const OVERLAP_BYTES = 64;
const chunk = new Uint8Array(new ArrayBuffer(CHUNK_BYTES + OVERLAP_BYTES));
const words = new Uint32Array(chunk.buffer);
const wordMask = MASK * 0x01010101;
const needles = Object.entries(task.needles).map(([name, masked]) => [name, Buffer.from(masked, "hex")]);
const cost = { memoryKiB: 8, passes: 1, lanes: 1 };

/** Returns a secret on memory of its own, for one use. */
function unmasked(masked) {
  const bytes = new Uint8Array(masked.length / 2);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = Number.parseInt(masked.slice(2 * i, 2 * i + 2), 16) ^ MASK;
  return bytes;
}

function used(masked, make) {
  const bytes = unmasked(masked);
  try {
    return make(bytes);
  } finally {
    bytes.fill(0);
  }
}

const cheap = (bytes) => passphraseWith(bytes, { cost, floor: cost });

/** Counts how often each needle is in memory that can be written. */
function search() {
  const counts = Object.fromEntries(needles.map(([name]) => [name, 0]));
  const memory = openSync("/proc/self/mem", "r");
  for (const line of readFileSync("/proc/self/maps", "latin1").split("\n")) {
    const region = /^([0-9a-f]+)-([0-9a-f]+) rw/u.exec(line);
    if (region === null || line.includes("[vvar]")) continue;
    const end = Number.parseInt(region[2], 16);
    for (let at = Number.parseInt(region[1], 16); at < end; at += CHUNK_BYTES) {
      let length;
      try {
        length = readSync(memory, chunk, 0, Math.min(end - at, chunk.length), at);
      } catch {
        continue;
      }
      for (let i = 0; i < length / 4; i++) words[i] ^= wordMask;
      const found = Buffer.from(chunk.buffer, 0, length);
      for (const [name, needle] of needles) {
        for (let hit = found.indexOf(needle); hit !== -1; hit = found.indexOf(needle, hit + 1)) {
          // What the overlap shows twice counts once.
          if (hit < CHUNK_BYTES) counts[name] += 1;
        }
      }
      chunk.fill(0);
    }
  }
  closeSync(memory);
  return counts;
}

const vault = await openVault(task.directory, {
  unlock: used(task.passphrase, cheap),
  onWarning: () => undefined,
});
const { ciphertextBlob } = await vault.kms.encrypt({ plaintext: "some text" });
for (let i = 0; i < 20; i++) await vault.kms.decrypt({ ciphertextBlob });
await vault.kms.createKey({ alias: "alias/made" });
await vault.kms.generateDataKey({ keySpec: "AES_256" });
await vault.slots.add(used(task.second, cheap));
// The last that is done: what it has left is not yet overwritten by others.
for (let i = 0; i < 20; i++) {
  const { plaintext } = await vault.kms.decrypt({ ciphertextBlob: Buffer.from(task.blob, "hex") });
  plaintext.fill(0);
}
const unlocked = search();
await vault.lock();
const locked = search();
await vault.unlock(used(task.wrong, cheap)).catch(() => undefined);
await vault.unlock(used(task.code, recovery));
await vault.kms.decrypt({ ciphertextBlob });
await vault.lock();
const again = search();
await vault.unlock(used(task.code, recovery));
await vault.backup(`${task.directory}.coa`);
await vault.rotateRootKey({ slots: [{ unlocker: used(task.third, cheap) }] });
await vault.kms.decrypt({ ciphertextBlob });
const rotated = search();
await vault.lock();
await restoreVault(`${task.directory}.coa`, `${task.directory}.restored`, {
  unlock: used(task.passphrase, cheap),
});
const restored = search();
await vault.close();
console.log(JSON.stringify({ unlocked, locked, again, rotated, restored }));
