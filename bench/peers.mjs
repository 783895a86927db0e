/**
 * Packages that Coffer is compared with. They are no dependency: they are installed into a folder of the bench's own,
 * which git ignores, and no bench needs them.
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const FOLDER = new URL(".cache/peers/", import.meta.url);
const PACKAGES = { "age-encryption": "0.3.1", "@aws-crypto/client-node": "5.0.2" };
const DEBIAN = ["age", "openssl", "gocryptfs"];

/** Installs the packages, without their scripts, and says which programs Debian has. */
export async function installPeers() {
  await mkdir(FOLDER, { recursive: true });
  const manifest = { private: true, dependencies: PACKAGES };
  await writeFile(new URL("package.json", FOLDER), `${JSON.stringify(manifest, undefined, 2)}\n`);
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  execFileSync(npm, ["install", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: fileURLToPath(FOLDER),
    stdio: "inherit",
  });
  process.stdout.write(`Programs to compare with, on Debian: apt-get install ${DEBIAN.join(" ")}\n`);
}

/** Returns the module of a package, or undefined when it is not installed. */
export async function peer(name) {
  let path;
  try {
    path = createRequire(new URL("package.json", FOLDER)).resolve(name);
  } catch {
    return undefined;
  }
  return import(pathToFileURL(path).href);
}
