/**
 * The second story: a file of 256 MiB is encrypted, decrypted and compared; a byte of it is changed, and it is refused.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";

const MEBIBYTE = 1_048_576;
const FILE_MEBIBYTES = 256;
const TAMPERED_AT = 200_000_000;

/**
 * Works in `folder`, and removes each large file as soon as it is of no more use.
 * @param {{ vault: import("coffer").Vault, keyId: string, folder: string }} given and how to tell: `step`, `say`
 */
export async function encryptLargeFile({ vault, keyId, folder, step, say }) {
  const [film, sealed, back] = ["film.mp4", "film.mp4.cof", "film-back.mp4"].map((name) =>
    join(folder, name),
  );
  await step(`makes a file of ${FILE_MEBIBYTES} MiB: film.mp4`, async () => makeFilm(film));
  const memory = watchMemory();
  const encrypting = await timed(async () =>
    step("encrypts it, durable when done: film.mp4.cof", async () =>
      vault.encryptFile(film, sealed, { keyId }),
    ),
  );
  const decrypting = await timed(async () =>
    step("decrypts that into another file: film-back.mp4", async () => vault.decryptFile(sealed, back)),
  );
  const memoryMebibytes = memory.end();
  await step("compares the two, byte by byte: equal", async () => assertEqualFiles(film, back));
  await step("reads 4 KiB from the middle, without decrypting the rest", async () =>
    readMiddle(vault, sealed, film),
  );
  await rm(back);
  await step("changes one bit of the encrypted file", async () => flipBit(sealed, TAMPERED_AT));
  await step("is refused when it is to decrypt that, and no file is left behind", async () => {
    await assert.rejects(vault.decryptFile(sealed, back), { code: "COFFER_INVALID_CIPHERTEXT" });
    assert.equal(existsSync(back), false);
  });
  const { size } = await stat(sealed);
  say(
    `\nEncrypted at ${rate(encrypting)} and decrypted at ${rate(decrypting)} on this machine as it is now,`,
  );
  say(`each from file to file and flushed to the disk, with ${memoryMebibytes} MiB more memory than before.`);
  say(`The encrypted file is ${percent(size)} % longer.`);
}

/** Random blocks, each a little different, so that making them takes no time. */
async function makeFilm(path) {
  const block = randomBytes(MEBIBYTE);
  const file = await open(path, "wx");
  try {
    for (let i = 0; i < FILE_MEBIBYTES; i += 1) {
      block.writeUInt32LE(i);
      await file.write(block);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readMiddle(vault, sealed, film) {
  const position = (FILE_MEBIBYTES / 2) * MEBIBYTE - 1000;
  const expected = Buffer.alloc(4096);
  const file = await open(film);
  try {
    await file.read(expected, 0, expected.length, position);
  } finally {
    await file.close();
  }
  const reader = await vault.openFile(sealed);
  try {
    assert.deepEqual(Buffer.from(await reader.read(position, expected.length)), expected);
  } finally {
    await reader.close();
  }
}

async function assertEqualFiles(...paths) {
  const files = await Promise.all(paths.map((path) => open(path)));
  const [one, other] = files.map(() => Buffer.alloc(MEBIBYTE));
  try {
    for (let position = 0; ; position += MEBIBYTE) {
      const [first, second] = await Promise.all([
        files[0].read(one, 0, MEBIBYTE, position),
        files[1].read(other, 0, MEBIBYTE, position),
      ]);
      assert.equal(first.bytesRead, second.bytesRead);
      if (first.bytesRead === 0) return;
      assert.ok(one.equals(other), `the files differ after byte ${position}`);
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function flipBit(path, position) {
  const file = await open(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    byte[0] ^= 1;
    await file.write(byte, 0, 1, position);
  } finally {
    await file.close();
  }
}

/** Returns milliseconds. */
async function timed(work) {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

/** How much more memory the process takes, at most, until `end`, in MiB. */
function watchMemory() {
  const before = process.memoryUsage.rss();
  let most = before;
  const look = () => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 5);
  return {
    end() {
      look();
      clearInterval(timer);
      return Math.round((most - before) / MEBIBYTE);
    },
  };
}

function rate(milliseconds) {
  return `${Math.round((FILE_MEBIBYTES * MEBIBYTE) / 1000 / milliseconds).toLocaleString("en")} MB/s`;
}

function percent(size) {
  return ((size / (FILE_MEBIBYTES * MEBIBYTE) - 1) * 100).toFixed(2);
}
