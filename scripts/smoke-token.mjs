/**
 * Makes a token for `smoke.mjs` in a folder: SoftHSM with the key of the golden vault that opens by a token. Prints, as
 * JSON for COFFER_SMOKE_TOKEN, what `pkcs11()` is given. `node scripts/smoke-token.mjs FOLDER`; COFFER_SOFTHSM names
 * SoftHSM's module where it is in no usual place. Needs `pkcs11js`, compiled: the tests of tokens do that.
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Where the tests of tokens unpack it on a machine without it. */
const unpacked = join(root, ".cache/tokens/debian");
const place = "usr/lib/softhsm/libsofthsm2.so";
const module = [process.env.COFFER_SOFTHSM ?? `/${place}`, join(unpacked, place)].find((path) =>
  existsSync(path),
);
if (module === undefined) throw new Error("SoftHSM is missing: apt-get install softhsm2");

const folder = resolve(process.argv[2] ?? "smoke-token");
mkdirSync(join(folder, "tokens"), { recursive: true });
const config = join(folder, "softhsm2.conf");
writeFileSync(config, `directories.tokendir = ${join(folder, "tokens")}\nobjectstore.backend = file\n`);
const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
const env = {
  SOFTHSM2_CONF: config,
  ...(module.startsWith(unpacked) && { LD_LIBRARY_PATH: join(unpacked, "usr/lib", triplet) }),
};
const pin = "smoke-of-tokens";
const sidecar = JSON.parse(readFileSync(join(root, "fixtures/vaults/v1/pkcs11.json"), "utf8"));
const keys = [{ kind: "ec256", id: "03", pkcs8: sidecar.unlock.privateKey }];
execFileSync(
  process.execPath,
  [
    join(root, "test/keystore/slots/pkcs11/make-token.mjs"),
    JSON.stringify({ module, init: { label: "smoke", pin }, pin, keys }),
  ],
  { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] },
);
process.stdout.write(`${JSON.stringify({ module, env, pin, tokenLabel: "smoke" })}\n`);
