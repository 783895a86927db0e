/**
 * The two stories of the cloud KMS documents, offline: a server's private key is encrypted under a customer master key,
 * and the server decrypts it in memory when it starts; and a large file is encrypted under a data key of its own. Then a
 * folder goes into the vault's file store and comes back.
 * Everything is made, used and removed in a temporary directory. Ends with exit code 1 when anything is not as it says.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createVault, openVault, passphrase, recovery } from "coffer";
import { makeCertificate } from "./certificate.mjs";
import { encryptLargeFile } from "./large-file.mjs";
import { findPieces, piecesOf } from "./find-pieces.mjs";
import { storeFolder } from "./stored-files.mjs";

const ALIAS = "alias/Apollo/WorkKey";
const FETCH_TIMEOUT_MS = 10_000;

const folder = await mkdtemp(join(tmpdir(), "coffer-demo-"));
const at = (...names) => join(folder, ...names);
try {
  await tell();
} catch (error) {
  process.stderr.write(`\nThe demo did not go as it should: ${error.stack ?? error}\n`);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function tell() {
  say(`Everything happens in ${folder}.\n`);
  // Stands for what a person types. Bytes, because a string could not be wiped.
  const typed = Buffer.from(randomBytes(24).toString("base64url"));

  say("First process: somebody sets up a server.");
  const made = await step("makes an RSA key and a certificate: certs/key.pem, certs/cert.pem", async () => {
    const certificate = await makeCertificate();
    await mkdir(at("certs"));
    await mkdir(at("tmp"));
    await writeFile(at("certs", "key.pem"), certificate.keyPem, { mode: 0o600 });
    await writeFile(at("certs", "cert.pem"), certificate.certificatePem);
    return certificate;
  });
  const pieces = piecesOf([...made.secrets, typed]);
  await step("finds the key in certs/key.pem and nowhere else, as it should be now", async () => {
    const { found } = await findPieces(folder, pieces);
    assert.deepEqual(found.map(shown), ["certs/key.pem"]);
  });
  const recoveryCode = await encryptKey(typed);
  await step("removes certs/key.pem", async () => rm(at("certs", "key.pem")));

  say("\nSecond process: the server starts. It gets the passphrase through a pipe.");
  const server = startServer(typed);
  typed.fill(0);
  try {
    const port = await server.port();
    say("\nFirst process, while the server runs:");
    await findNothing(pieces);
    await step("fetches a page, trusting that one certificate only", async () => {
      const { status, body, fingerprint } = await fetchOnce(port, made.certificatePem);
      assert.deepEqual({ status, body }, { status: 200, body: "Apollo is up.\n" });
      assert.equal(fingerprint, new X509Certificate(made.certificatePem).fingerprint256);
    });
    await step("waits for the server to end", async () => assert.equal(await server.exitCode(), 0));
    await findNothing(pieces);
  } finally {
    server.kill();
  }
  say("\nThe private key was never in a file again.");

  say("\nThird: a large file, under a data key of its own that lies in the file, sealed by the master key.");
  const vault = await step("opens the vault with the recovery code", async () =>
    openVault(at("my.vault"), { unlock: recovery(recoveryCode) }),
  );
  try {
    await encryptLargeFile({ vault, keyId: ALIAS, folder, step, say });
    say("\nFourth: a folder of files, in the vault itself.");
    await storeFolder({ vault, folder, step, say });
  } finally {
    await vault.close();
  }
}

async function findNothing(pieces) {
  await step("searches every file for pieces of the key and the passphrase: none", async () => {
    assert.equal(existsSync(at("certs", "key.pem")), false);
    const { files, found } = await findPieces(folder, pieces);
    assert.deepEqual(found.map(shown), []);
    assert.ok(files >= 5, `only ${files} files were searched`);
  });
}

/** Makes the vault and a key in it, and encrypts the server's key. Returns the vault's recovery code. */
async function encryptKey(typed) {
  const { vault, recoveryCode } = await step("makes a vault with a passphrase: my.vault", async () =>
    createVault(at("my.vault"), { unlock: passphrase(typed) }),
  );
  try {
    const { keyMetadata } = await step(`creates a customer master key: ${ALIAS}`, async () =>
      vault.kms.createKey({ alias: ALIAS, description: "TLS keys of Apollo" }),
    );
    await step("encrypts certs/key.pem with it: certs/key.pem.cipher", async () => {
      const plaintext = await readFile(at("certs", "key.pem"));
      const { ciphertextBlob, keyId } = await vault.kms.encrypt({ keyId: ALIAS, plaintext });
      plaintext.fill(0);
      assert.equal(keyId, keyMetadata.keyId);
      await writeFile(at("certs", "key.pem.cipher"), ciphertextBlob);
    });
    return recoveryCode;
  } finally {
    await step("closes the vault", async () => vault.close());
  }
}

/** Starts the second process. The passphrase goes through a pipe: arguments and environment show in process lists. */
function startServer(typed) {
  const program = fileURLToPath(new URL("server.mjs", import.meta.url));
  const args = [program, at("my.vault"), at("certs", "key.pem.cipher"), at("certs", "cert.pem")];
  // What the server might put into temporary files is searched with the rest.
  const temporary = { TMPDIR: at("tmp"), TEMP: at("tmp"), TMP: at("tmp") };
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...temporary },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exit = once(child, "exit").then(([code]) => code);
  child.stdin.on("error", () => undefined); // An early end of the child shows in its exit code.
  child.stdin.end(Buffer.from(typed));
  return {
    async port() {
      for await (const line of createInterface({ input: child.stdout })) {
        const message = JSON.parse(line);
        if (message.port !== undefined) return message.port;
        sayStep(message.step, message.tookMs);
      }
      throw new Error(`the second process ended with exit code ${await exit} before it served`);
    },
    exitCode: () => exit,
    kill: () => child.kill(),
  };
}

function fetchOnce(port, ca) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, ca, agent: false, timeout: FETCH_TIMEOUT_MS };
    const request = get(options, async (response) => {
      try {
        const fingerprint = response.socket.getPeerCertificate().fingerprint256;
        let body = "";
        for await (const chunk of response) body += chunk;
        resolve({ status: response.statusCode, body, fingerprint });
      } catch (error) {
        reject(error);
      }
    });
    request.on("timeout", () => request.destroy(new Error("the server did not answer in time")));
    request.on("error", reject);
  });
}

async function step(text, work) {
  const startedMs = performance.now();
  const result = await work();
  sayStep(text, performance.now() - startedMs);
  return result;
}

function sayStep(text, tookMs) {
  say(`  ${text.padEnd(76)} ${tookMs.toFixed(0).padStart(6)} ms`);
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function shown(path) {
  return relative(folder, path).replaceAll("\\", "/");
}
