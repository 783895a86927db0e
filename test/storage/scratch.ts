/**
 * Scratch directories of tests, and whole processes on the built package.
 * @module
 */
import { execFile, spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { chmod, lstat, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";

/** Returns a function that makes fresh directories, all removed after the file's tests. Paths are canonical. */
export function scratchDirectories(parent: string = tmpdir()): () => Promise<string> {
  const made: string[] = [];
  afterAll(async () => {
    for (const path of made) await rm(path, { recursive: true, force: true });
  });
  return async () => {
    const path = await realpath(await mkdtemp(join(parent, "coffer-test-")));
    await chmod(path, 0o700);
    made.push(path);
    return path;
  };
}

/** As {@link scratchDirectories}, on a drive: the others lie in memory where the system offers that. */
export function driveScratchDirectories(): () => Promise<string> {
  return scratchDirectories(process.env["COFFER_TEST_DRIVE"] ?? tmpdir());
}

/** Permission bits, as `0o600`. */
export async function modeOf(path: string): Promise<string> {
  return `0o${((await lstat(path)).mode & 0o777).toString(8)}`;
}

/** Modes of all files in a directory, each once. */
export async function modesIn(path: string): Promise<string[]> {
  const modes = new Set<string>();
  for (const name of await readdir(path)) modes.add(await modeOf(join(path, name)));
  return [...modes];
}

/** Address of a built file, for import in a child process or worker. */
export function distUrl(path: string): string {
  return new URL(`../../dist/${path}`, import.meta.url).href;
}

/** Runs a module text in a fresh Node process and returns what it printed. */
export async function runModule(source: string, args: readonly string[] = []): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", source, "--", ...args],
    {
      timeout: 30_000,
    },
  );
  return stdout.trim();
}

/** Starts a module text in a fresh Node process and waits for its first line. */
export async function startModule(
  source: string,
  args: readonly string[] = [],
): Promise<{ child: ChildProcessWithoutNullStreams; line: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", source, "--", ...args]);
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.on("exit", () => reject(new Error(`the process ended: ${text}${errors}`)));
  });
  return { child, line };
}

/** Ends a process at once and waits until the system has forgotten it. */
export async function kill(child: ChildProcessWithoutNullStreams): Promise<void> {
  const gone = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  child.kill("SIGKILL");
  await gone;
}
