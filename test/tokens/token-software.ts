/**
 * What the tests of tokens need beyond npm's packages: SoftHSM and NSS as real modules, a C compiler for the stub
 * module, and `pkcs11js` compiled. Brought here at the first use: as root by apt-get, else unpacked into `.cache/`.
 * A test that needs them never passes, and is never skipped, without them.
 * @module
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { root } from "../source-files.ts";

const run = promisify(execFile);

/** Where things are that the system does not have, and what is built. */
const CACHE = join(root, ".cache/tokens");
const UNPACKED = join(CACHE, "debian");
const BINDING = join(root, "node_modules/pkcs11js");
const BUILT_BINDING = join(BINDING, "build/Release/pkcs11.node");
const STUB_SOURCE = new URL("stub-module.c", import.meta.url);
/** Debian's names of a machine's libraries. */
const TRIPLETS: Readonly<Record<string, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };
const TRIPLET: string = TRIPLETS[process.arch] ?? `${process.arch}-linux-gnu`;

/** Places of a file in a system's root, of Debian and its like first. */
const PLACES = {
  softHsm: [
    "usr/lib/softhsm/libsofthsm2.so",
    `usr/lib/${TRIPLET}/softhsm/libsofthsm2.so`,
    "usr/lib64/pkcs11/libsofthsm2.so",
    "usr/lib64/softhsm/libsofthsm2.so",
  ],
  nss: [
    `usr/lib/${TRIPLET}/libsoftokn3.so`,
    `usr/lib/${TRIPLET}/nss/libsoftokn3.so`,
    "usr/lib64/libsoftokn3.so",
    "usr/lib/libsoftokn3.so",
  ],
  certutil: ["usr/bin/certutil"],
} as const;
const PACKAGES = ["softhsm2", "libnss3", "libnss3-tools"];
/** What those stand on, with a file by which it is known to be there. */
const LIBRARIES: readonly (readonly [name: string, file: string])[] = [
  ["libnspr4", "libnspr4.so"],
  ["libsqlite3-0", "libsqlite3.so.0"],
  ["libssl3", "libssl.so.3"],
];
const COMPILERS = ["gcc", "g++", "make", "python3"];

/** Files of the real modules, and what a process that loads them must have in its environment. */
export interface TokenSoftware {
  readonly softHsm: string;
  readonly nss: string;
  readonly certutil: string;
  readonly env: Readonly<Record<string, string>>;
}

let provided: Promise<TokenSoftware> | undefined;

/** Returns the modules, with `pkcs11js` compiled; brings what is missing. Some milliseconds where all is there. */
export function tokenSoftware(): Promise<TokenSoftware> {
  return (provided ??= provide());
}

async function provide(): Promise<TokenSoftware> {
  let software = located();
  if (software === undefined || !existsSync(BUILT_BINDING)) {
    await oneAtATime(async () => {
      if (located() === undefined) await bringModules();
      if (!existsSync(BUILT_BINDING)) await buildBinding();
    });
    software = located();
  }
  if (software === undefined) throw new Error(`SoftHSM and NSS are still missing. ${instruction()}`);
  return software;
}

/** Returns the stub module's file, compiled from its source; each test takes a copy. */
export async function builtStubModule(): Promise<string> {
  const source = await readFile(STUB_SOURCE);
  const name = createHash("sha256").update(source).update(process.arch).digest("hex").slice(0, 16);
  const module = join(CACHE, `stub-module-${name}.so`);
  if (existsSync(module)) return module;
  await oneAtATime(async () => {
    if (existsSync(module)) return;
    await bringCompilers();
    const made = `${module}.${process.pid}`;
    const options = [
      "-std=gnu11",
      "-O1",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-fPIC",
      "-shared",
      "-fvisibility=hidden",
    ];
    await run("cc", [...options, "-o", made, STUB_SOURCE.pathname, "-ldl"]);
    await rename(made, module);
  });
  return module;
}

/** The real modules, of the system or unpacked; undefined while one is missing. */
function located(): TokenSoftware | undefined {
  const found = Object.entries(PLACES).map(([name, places]) => [
    name,
    ["/", UNPACKED]
      .flatMap((base) => places.map((place) => join(base, place)))
      .find((path) => existsSync(path)),
  ]);
  const { softHsm, nss, certutil } = Object.fromEntries(found) as Record<string, string | undefined>;
  if (softHsm === undefined || nss === undefined || certutil === undefined) return undefined;
  const isUnpacked = [softHsm, nss, certutil].some((path) => path.startsWith(UNPACKED));
  const libraries = join(UNPACKED, "usr/lib", TRIPLET);
  return { softHsm, nss, certutil, env: isUnpacked ? { LD_LIBRARY_PATH: libraries } : {} };
}

async function bringModules(): Promise<void> {
  if (!existsSync("/usr/bin/apt-get")) throw new Error(`SoftHSM and NSS are missing. ${instruction()}`);
  if (process.getuid?.() === 0) return install(PACKAGES);
  say(`unpacking ${PACKAGES.join(", ")} into .cache/`);
  try {
    await unpack();
  } catch (cause) {
    throw new Error(`SoftHSM and NSS could not be unpacked. ${instruction()}`, { cause });
  }
}

/** By Debian's packages, with root's rights. */
async function install(packages: readonly string[]): Promise<void> {
  say(`running apt-get install ${packages.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options = ["install", "-y", "-qq", "--no-install-recommends", ...packages];
  try {
    await run("apt-get", options, { env });
  } catch {
    try {
      await run("apt-get", ["update", "-qq"], { env });
      await run("apt-get", options, { env });
    } catch (cause) {
      throw new Error(`"apt-get ${options.join(" ")}" failed. ${instruction()}`, { cause });
    }
  }
}

/** The same packages without root's rights: into a folder of this project, with lists of packages of its own. */
async function unpack(): Promise<void> {
  const work = await mkdtemp(join(CACHE, "unpack-"));
  try {
    const lists = join(work, "lists");
    const archives = join(work, "archives");
    for (const folder of [lists, archives]) await mkdir(join(folder, "partial"), { recursive: true });
    const own = ["-qq", "-o", `Dir::State::lists=${lists}`, "-o", `Dir::Cache=${archives}`];
    await run("apt-get", [...own, "update"]);
    const missing = LIBRARIES.filter(([, file]) => !existsSync(`/usr/lib/${TRIPLET}/${file}`)).map(
      ([name]) => name,
    );
    // softhsm2 itself holds the tools alone.
    const packages = [...PACKAGES, "libsofthsm2", ...missing];
    const downloads = await mkdtemp(join(work, "debs-"));
    await run("apt-get", [...own, "download", ...packages], { cwd: downloads });
    const { stdout } = await run("ls", [downloads]);
    const system = join(work, "system");
    for (const file of stdout.trim().split("\n"))
      await run("dpkg-deb", ["-x", join(downloads, file), system]);
    await rm(UNPACKED, { recursive: true, force: true });
    await rename(system, UNPACKED);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** In a folder of its own, and then put into place as a whole: another process may look for it meanwhile. */
async function buildBinding(): Promise<void> {
  if (!existsSync(BINDING))
    throw new Error('The package pkcs11js is missing: run "npm ci", then test again.');
  await bringCompilers();
  say("compiling pkcs11js");
  const work = await mkdtemp(join(CACHE, "pkcs11js-"));
  try {
    await cp(BINDING, join(work, "node_modules/pkcs11js"), { recursive: true });
    await writeFile(join(work, "package.json"), '{ "private": true }');
    const options = ["rebuild", "pkcs11js", "--prefix", work, "--ignore-scripts=false", ...headersOfNode()];
    try {
      await run("npm", options, { cwd: work, shell: process.platform === "win32" });
    } catch (cause) {
      throw new Error(`"npm rebuild pkcs11js" failed: ${lastLines(cause)}\n${instruction()}`, { cause });
    }
    await rm(join(BINDING, "build"), { recursive: true, force: true });
    await rename(join(work, "node_modules/pkcs11js/build"), join(BINDING, "build"));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Node's own headers where they came with it; else npm's setting, or node-gyp's download. */
function headersOfNode(): string[] {
  const installed = dirname(dirname(process.execPath));
  return existsSync(join(installed, "include/node/node_api.h")) ? [`--nodedir=${installed}`] : [];
}

async function bringCompilers(): Promise<void> {
  const missing = await Promise.all(COMPILERS.map(async (name) => ((await answers(name)) ? [] : [name])));
  const packages = missing.flat();
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
    throw new Error(
      `The tests of tokens compile C and C++, and ${packages.join(", ")} is missing. ${instruction(packages)}`,
    );
  }
  await install([...packages, "libc6-dev"]);
}

async function answers(program: string): Promise<boolean> {
  try {
    await run(program, ["--version"]);
    return true;
  } catch {
    return false;
  }
}

function instruction(packages: readonly string[] = [...PACKAGES, ...COMPILERS]): string {
  return `Run "apt-get install ${packages.join(" ")}" as root, or install the same by other means, then test again.`;
}

/** Test files run in processes of their own, and two runs may overlap: the system lets go of the lock by itself. */
async function oneAtATime(work: () => Promise<void>): Promise<void> {
  if (process.platform !== "linux")
    throw new Error(`The tests of tokens run on Linux alone. ${instruction()}`);
  await mkdir(CACHE, { recursive: true });
  const holder = spawn("flock", [join(CACHE, "lock"), "sh", "-c", "echo held; exec cat"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(holder, "close");
  await Promise.race([once(holder.stdout, "data"), ended]);
  try {
    await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}

function lastLines(error: unknown): string {
  const { stderr = "" } = error as { stderr?: string };
  return stderr.trim().split("\n").slice(-8).join("\n");
}

function say(what: string): void {
  process.stdout.write(`tests of tokens: ${what}\n`);
}
