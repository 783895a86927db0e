/**
 * Runs the built command line as a user would: a process of its own, also in a terminal of its own.
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const MAIN = fileURLToPath(new URL("../../../dist/adapters/cli/main.js", import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  /** The working directory. */
  readonly cwd: string;
  /** What standard input holds. */
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
}

/** Secrets of the tests: none of them may be in what a command prints. */
const canaries = new Set<string>();

/** Adds a secret that no later output may hold. */
export function expectNeverPrinted(...secrets: readonly string[]): void {
  for (const secret of secrets) canaries.add(secret);
}

/** Runs a command to its end. */
export async function coffer(
  args: readonly string[],
  { cwd, input = "", env = {} }: RunOptions,
): Promise<Finished> {
  assertBuilt();
  // A session of its own has no terminal, whoever runs the tests.
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: { ...cleanEnvironment(), ...env },
    detached: true,
  });
  // A command that refuses early does not read its input.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([
    collected(child.stdout),
    collected(child.stderr),
    new Promise<number | null>((resolve) => child.on("close", resolve)),
  ]);
  assertNoCanary(`${stdout.toString("latin1")}${stdout.toString()}${stderr.toString()}`);
  return { code, stdout, stderr: stderr.toString() };
}

/** Runs a command that must be done, and returns its JSON. */
export async function cofferJson(
  args: readonly string[],
  options: RunOptions,
): Promise<Record<string, never>> {
  const { code, stdout, stderr } = await coffer([...args, "--json"], options);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return JSON.parse(stdout.toString()) as Record<string, never>;
}

/** Runs a command that must be refused, and returns its error. */
export async function cofferError(
  args: readonly string[],
  options: RunOptions,
): Promise<{ readonly code: string; readonly message: string }> {
  const { code, stdout, stderr } = await coffer([...args, "--json"], options);
  expect(stdout.toString()).toBe("");
  expect(code).toBe(1);
  return (JSON.parse(stderr) as { error: { code: string; message: string } }).error;
}

/** A vault in `cwd/v` and the file that holds its recovery code, which opens it without a KDF. */
export async function makeVault(
  cwd: string,
  secret: string,
): Promise<{ readonly recovery: readonly string[] }> {
  await writeFile(join(cwd, "passphrase"), secret, { mode: 0o600 });
  const { recoveryCode } = await cofferJson(["init", "v", "--passphrase-file", "passphrase"], { cwd });
  await writeFile(join(cwd, "code"), `${String(recoveryCode)}\n`, { mode: 0o600 });
  expectNeverPrinted(secret, String(recoveryCode), String(recoveryCode).replaceAll("-", ""));
  return { recovery: ["-V", "v", "--recovery-code-file", "code"] };
}

/** A command in a terminal: what is shown, and keys to press. */
export interface TerminalRun {
  /** Resolves once the screen has shown `text` after what was waited for before. */
  readonly shows: (text: string) => Promise<void>;
  readonly type: (keys: string) => void;
  /** What the screen has shown until now. */
  readonly screen: () => string;
  /** Exit code and everything that was shown. */
  readonly ended: Promise<{ readonly code: number | null; readonly screen: string }>;
}

/**
 * Runs a shell line in a pseudo-terminal; in it, `$coffer` is the command line.
 * Linux alone: the option letters of `script` differ elsewhere.
 */
export function inTerminal(line: string, cwd: string): TerminalRun {
  assertBuilt();
  assertScript();
  const command = line.replaceAll("$coffer", `'${process.execPath}' '${MAIN}'`);
  const env = { ...cleanEnvironment(), SHELL: "/bin/sh", TERM: "xterm" };
  const child = spawn("script", ["-qefc", command, "/dev/null"], { cwd, env });
  let screen = "";
  let seen = 0;
  const watchers = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    screen += chunk.toString();
    for (const watch of watchers) watch();
  });
  const ended = new Promise<{ code: number | null; screen: string }>((resolve) =>
    child.on("close", (code) => resolve({ code, screen })),
  );
  const shows = async (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const watch = (): void => {
        const at = screen.indexOf(text, seen);
        if (at === -1) return;
        seen = at + text.length;
        watchers.delete(watch);
        resolve();
      };
      watchers.add(watch);
      watch();
      void ended.then(() => reject(new Error(`ended without showing ${text}: ${screen}`)));
    });
  return { shows, type: (keys) => void child.stdin.write(keys), screen: () => screen, ended };
}

function assertBuilt(): void {
  if (!existsSync(MAIN)) throw new Error("the command line is not built; run npm run build");
}

function assertScript(): void {
  // Null where there is no such command at all.
  const { stdout } = spawnSync("script", ["--version"], { encoding: "utf8" }) as { stdout: string | null };
  if (!(stdout ?? "").includes("util-linux")) {
    throw new Error("these tests need the script command of util-linux (package bsdutils or util-linux)");
  }
}

function assertNoCanary(text: string): void {
  for (const canary of canaries) if (text.includes(canary)) throw new Error("a secret was printed");
}

function cleanEnvironment(): Record<string, string | undefined> {
  return { ...process.env, COFFER_VAULT: undefined, ACCESSIBLE: undefined, NODE_OPTIONS: undefined };
}

async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
