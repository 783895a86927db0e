/**
 * Runs a program of this folder under strace. A test that needs it never passes without it.
 * @module
 */
import { execFile, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Makes sure that strace is there: root installs it, anybody else is told how to. */
export function ensureStrace(): void {
  if (isThere()) return;
  const install = "apt-get install -y strace";
  if (process.getuid?.() !== 0)
    throw new Error(`strace is missing: run "${install}" as root, then test again`);
  process.stdout.write(`strace is missing: running "${install}"\n`);
  execFileSync("apt-get", ["install", "-y", "-qq", "strace"], { stdio: ["ignore", "ignore", "pipe"] });
  if (!isThere()) throw new Error(`strace is still missing after "${install}"`);
}

function isThere(): boolean {
  try {
    execFileSync("strace", ["-V"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** How a traced program ended. */
export interface TracedRun {
  readonly stdout: string;
  readonly stderr: string;
  /** 0 when it went well. */
  readonly code: number;
}

/** Runs a program with these options of strace. */
export async function traced(
  options: readonly string[],
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<TracedRun> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  try {
    const { stdout, stderr } = await promisify(execFile)(
      "strace",
      ["-f", "-qq", ...options, process.execPath, path, ...args],
      { timeout: 50_000, env: { ...process.env, ...environment } },
    );
    return { stdout, stderr, code: 0 };
  } catch (error) {
    const { stdout = "", stderr = "", code = 1 } = error as Partial<TracedRun>;
    return { stdout, stderr, code: typeof code === "number" ? code : 1 };
  }
}
