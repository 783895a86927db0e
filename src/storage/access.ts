/**
 * Who else can reach a vault's files: what opening warns of, and strict mode refuses.
 * @module
 */
import { dirname, join } from "node:path";
import { type FileStats, type FileSystem, hasErrno } from "./file-system.ts";
import { ioError } from "./io-error.ts";

/** One thing that lets others read, change or exchange the vault. */
export interface AccessFinding {
  /** Name within the vault, `.` for its directory, `..` for the directory around it. */
  readonly name: string;
  /**
   * - `open-to-others`: the mode lets group or world in;
   * - `foreign-owner`: it belongs to another user, who can change its mode at any time;
   * - `exchangeable`: others can rename the vault and put another in its place;
   * - `not-regular`: neither file nor directory, planted perhaps.
   */
  readonly problem: "open-to-others" | "foreign-owner" | "exchangeable" | "not-regular";
}

const OTHERS = 0o077;
const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * Looks at the vault's canonical directory, at what lies directly in it and at the directory around it; nothing on
 * win32, which has no modes. Within directories closed to others deeper modes do not matter.
 * @param user id of this process's user. @defaultValue process.geteuid()
 * @throws CofferError `COFFER_IO`.
 */
export async function inspectAccess(
  fs: FileSystem,
  directory: string,
  user: number | undefined = process.geteuid?.(),
): Promise<AccessFinding[]> {
  if (fs.platform === "win32" || user === undefined) return [];
  const findings: AccessFinding[] = [];
  const isForeign = ({ owner }: FileStats): boolean => owner !== user && owner !== 0;
  try {
    const parent = await fs.stat(dirname(directory));
    if (isForeign(parent)) findings.push({ name: "..", problem: "foreign-owner" });
    // With the sticky bit only owners rename, so /tmp is fine.
    if ((parent.mode & OTHERS_WRITE) !== 0 && (parent.mode & STICKY) === 0) {
      findings.push({ name: "..", problem: "exchangeable" });
    }
    const names = [".", ...(await fs.readDirectory(directory)).map(({ name }) => name)];
    for (const name of names) {
      const stats = await lstatIfPresent(fs, join(directory, name));
      // Another program that takes the lock, or gives it up, makes and removes files meanwhile.
      if (stats === undefined) continue;
      if (stats.kind !== "file" && stats.kind !== "directory") {
        findings.push({ name, problem: "not-regular" });
        continue;
      }
      if (stats.owner !== user) findings.push({ name, problem: "foreign-owner" });
      if ((stats.mode & OTHERS) !== 0) findings.push({ name, problem: "open-to-others" });
    }
  } catch (error) {
    throw ioError(error, "look at the vault's permissions", directory);
  }
  return findings;
}

async function lstatIfPresent(fs: FileSystem, path: string): Promise<FileStats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
