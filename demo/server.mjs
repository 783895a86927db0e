/**
 * The second process of the demo: a server that has its private key in memory only.
 * `node server.mjs VAULT KEY_CIPHER CERTIFICATE`, the passphrase on standard input. Answers one request and ends.
 * Prints one JSON object a line: how long each step took, then the port.
 * @module
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { openVault, passphrase } from "coffer";

const GIVE_UP_AFTER_MS = 30_000;

const [vaultPath, cipherPath, certificatePath] = process.argv.slice(2);
const server = await startServer(await decryptKey());
tell({ port: server.address().port });
await answerOnce(server);

/** Opens the vault, decrypts the key, and closes the vault again. */
async function decryptKey() {
  const secret = await readPassphrase();
  const vault = await timed("opens the vault with the passphrase", async () => {
    return openVault(vaultPath, { unlock: passphrase(secret) });
  });
  secret.fill(0);
  try {
    const ciphertextBlob = await readFile(cipherPath);
    return await timed("decrypts the private key, in memory", async () => {
      const { plaintext } = await vault.kms.decrypt({ ciphertextBlob });
      return plaintext;
    });
  } finally {
    await vault.close();
  }
}

async function readPassphrase() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const secret = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  return secret;
}

async function startServer(key) {
  const cert = await readFile(certificatePath);
  return timed("starts an HTTPS server with it", async () => {
    const started = createServer({ key, cert });
    key.fill(0);
    started.listen(0, "127.0.0.1");
    await once(started, "listening");
    return started;
  });
}

async function answerOnce(started) {
  const giveUp = setTimeout(() => process.exit(1), GIVE_UP_AFTER_MS);
  const [, response] = await once(started, "request");
  response.setHeader("connection", "close");
  response.end("Apollo is up.\n");
  await once(response, "close");
  clearTimeout(giveUp);
  started.close();
}

async function timed(step, work) {
  const startedMs = performance.now();
  const result = await work();
  tell({ step, tookMs: performance.now() - startedMs });
  return result;
}

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}
