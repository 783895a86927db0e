/**
 * The part of a diagnosis that needs no secret: header, slots, lock, modes, leftovers, place, native modules.
 * @module
 */
import { compare, hex } from "./bytes.ts";
import {
  type Argon2Cost,
  type Argon2Floor,
  argon2Implementation,
  assertArgon2Cost,
  assertMemoryAvailable,
} from "./crypto/argon2id.ts";
import { counted, type Findings, type FindingSeverity } from "./diagnosis.ts";
import { isCofferError, VaultNotFoundError } from "./errors.ts";
import type { ParsedHeader } from "./formats/header.ts";
import type { PassphraseFields, SlotFields } from "./formats/slot-header.ts";
import { type AccessFinding, inspectAccess } from "./storage/access.ts";
import { type DirectoryContents, inspectDirectory } from "./storage/directory-inspection.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { HEADER_COPY_NAMES, isVaultContent } from "./storage/header-copies.ts";
import { type HeaderCopy, inspectHeaderCopies } from "./storage/header-inspection.ts";
import { inspectVaultLock, type VaultLockState } from "./storage/vault-lock.ts";

/** What the files say, for the steps after this one. */
export interface FilesDiagnosis {
  /** The header that counts; undefined where opening would find none. Unauthenticated. */
  readonly header: ParsedHeader | undefined;
  /** False when opening and one change would rewrite a copy. */
  readonly areCopiesEqual: boolean;
  readonly lock: VaultLockState;
  readonly access: readonly AccessFinding[];
  readonly contents: DirectoryContents;
}

/**
 * Looks at everything that needs no key. Reads only.
 * @param directory canonical.
 * @throws VaultNotFoundError where there is no trace of a vault. @throws IoError.
 */
export async function diagnoseFiles(
  fs: FileSystem,
  directory: string,
  findings: Findings,
  kdfFloor?: Argon2Floor,
): Promise<FilesDiagnosis> {
  const copies = await inspectHeaderCopies(fs, directory);
  if (copies.every(({ condition }) => condition === "absent")) await assertTraces(fs, directory);
  const header = judgeHeader(copies, findings);
  const contents = await inspectDirectory(fs, directory, header?.database);
  const lock = await inspectVaultLock(fs, directory);
  const access = await inspectAccess(fs, directory);
  if (header !== undefined) judgeSlots(header, findings, kdfFloor);
  judgeLock(lock, findings);
  judgeAccess(access, findings);
  judgeContents(contents, findings);
  judgeLocation(fs, directory, findings);
  await judgeArgon2(findings);
  return { header, areCopiesEqual: findings.has("ok", "header"), lock, access, contents };
}

async function assertTraces(fs: FileSystem, directory: string): Promise<void> {
  if ((await fs.readDirectory(directory)).some(({ name }) => isVaultContent(name))) return;
  throw new VaultNotFoundError(
    "There is no vault in this directory. Check the path, or make one with createVault.",
  );
}

function judgeHeader(
  copies: readonly [HeaderCopy, HeaderCopy],
  findings: Findings,
): ParsedHeader | undefined {
  const [a, b] = copies;
  if (a.condition === "good" && b.condition === "good") return judgeTwo(a.header, b.header, findings);
  if (copies.some(({ condition }) => condition === "unsupported")) {
    findings.add(
      "warning",
      "header",
      "The vault header was written by a later version of Coffer. Use that version or a newer one.",
    );
    return undefined;
  }
  const good = copies.find((copy) => copy.condition === "good");
  for (const [index, copy] of copies.entries()) judgeCopy(index, copy, good !== undefined, findings);
  if (good !== undefined) return good.header;
  findings.add(
    "damage",
    "header",
    "No copy of the vault header is intact, and without one nothing opens. Keep the directory as it is, put header.0 or header.1 back from a copy of it, or restore a backup.",
  );
  return undefined;
}

function judgeTwo(a: ParsedHeader, b: ParsedHeader, findings: Findings): ParsedHeader | undefined {
  if (a.generation !== b.generation) {
    const older = a.generation < b.generation ? 0 : 1;
    findings.add(
      "warning",
      "header",
      `Copy ${older} of the vault header is older than the other: an interrupted change, or an old file that was put back. The newer one counts; a repair, or the next change, makes them equal.`,
      { topic: `copy ${older}`, names: [HEADER_COPY_NAMES[older]] },
    );
    return older === 0 ? b : a;
  }
  if (compare(a.bytes, b.bytes) !== 0) {
    findings.add(
      "damage",
      "header",
      "The two copies of the vault header are both intact but differ: files of two vaults, or of two moments, were mixed. Put the right ones back, or restore a backup.",
    );
    return undefined;
  }
  findings.add(
    "ok",
    "header",
    `Both copies of the vault header are intact and equal (generation ${a.generation}).`,
    { topic: "copies" },
  );
  return a;
}

function judgeCopy(index: number, copy: HeaderCopy, isOtherGood: boolean, findings: Findings): void {
  if (copy.condition === "good" || copy.condition === "unsupported") return;
  const what = {
    absent: "is absent",
    damaged: `is damaged${copy.condition === "damaged" ? ` (${copy.field})` : ""}`,
    planted: "is not a regular file of the right size; somebody may have put it there",
  }[copy.condition];
  const advice = isOtherGood
    ? "The other copy is intact; a repair, or the next change, writes this one anew."
    : "Put it back from a copy of the vault.";
  findings.add("damage", "header", `Copy ${index} of the vault header ${what}. ${advice}`, {
    topic: `copy ${index}`,
    names: [HEADER_COPY_NAMES[index] ?? ""],
  });
}

function judgeSlots({ slots, vaultId }: ParsedHeader, findings: Findings, kdfFloor?: Argon2Floor): void {
  const kinds = slots.map(
    ({ header }) =>
      `${header.fields.kind} ${hex(header.id).slice(0, 8)}, made ${isoTime(header.createdAtMs)}`,
  );
  findings.add(
    "ok",
    "slots",
    `Vault ${hex(vaultId)} has ${counted(slots.length, "way in", "ways in")}: ${kinds.join("; ")}.`,
    { topic: "list" },
  );
  if (slots.length === 1) {
    findings.add(
      "note",
      "slots",
      "There is one way in only: without it everything is lost. Add a second one and keep it elsewhere.",
    );
  }
  if (slots.some(({ header }) => header.fields.kind === "unknown")) {
    findings.add(
      "note",
      "slots",
      "A way in is of a kind that this version does not know. It is kept as it is; a newer version uses it.",
    );
  }
  for (const { header } of slots) {
    for (const fields of passphrasesOf(header.fields)) {
      judgeCost(hex(header.id).slice(0, 8), fields, findings, kdfFloor);
    }
  }
}

function passphrasesOf(fields: SlotFields): readonly PassphraseFields[] {
  if (fields.kind === "passphrase") return [fields];
  return fields.kind === "combined"
    ? [fields.first, fields.second].filter((part) => part.kind === "passphrase")
    : [];
}

function judgeCost(slot: string, fields: PassphraseFields, findings: Findings, kdfFloor?: Argon2Floor): void {
  const { memoryKiB, passes, lanes } = fields;
  const cost: Argon2Cost = { memoryKiB, passes, lanes };
  const [severity, advice] = costProblem(cost, kdfFloor);
  findings.add(
    severity,
    "kdf",
    `A guess at the passphrase of slot ${slot} costs Argon2id with ${mebibytes(memoryKiB)} of memory, ${counted(passes, "pass", "passes")} and ${counted(lanes, "lane", "lanes")}.${advice}`,
    { topic: slot },
  );
}

function costProblem(cost: Argon2Cost, kdfFloor?: Argon2Floor): [FindingSeverity, string] {
  try {
    assertArgon2Cost(cost, kdfFloor);
    assertMemoryAvailable(cost);
    return ["ok", ""];
  } catch (error) {
    if (isCofferError(error, "COFFER_KDF_LIMIT")) {
      return [
        "warning",
        " That is outside what this version accepts, so the slot is refused: use another way in, and make this one anew.",
      ];
    }
    if (!isCofferError(error, "COFFER_OUT_OF_MEMORY")) throw error;
    return [
      "warning",
      " This machine has not that much memory free now: close other programs before opening.",
    ];
  }
}

function judgeLock(lock: VaultLockState, findings: Findings): void {
  const about = { topic: "lock" };
  switch (lock.state) {
    case "free":
      return findings.add("ok", "lock", "Nobody has the vault open.", about);
    case "held":
      return findings.add(
        "note",
        "lock",
        `Process ${lock.pid} on ${lock.host} has the vault open since ${isoTime(lock.since)}. Its contents are checked once it is closed there.`,
        about,
      );
    case "stale":
      return findings.add(
        "note",
        "lock",
        `Process ${lock.pid} on ${lock.host} had the vault open since ${isoTime(lock.since)} and ended without closing it. The next open takes the lock over.`,
        about,
      );
    case "unreadable":
      return findings.add(
        "warning",
        "lock",
        "The vault's lock file is not one of ours. The next open takes it over; see that no other program uses this directory.",
        about,
      );
    case "planted":
      return findings.add(
        "damage",
        "lock",
        "The vault's lock file is not a regular file, and opening refuses it. Find out who put it there, and remove it.",
        about,
      );
  }
}

const ACCESS: Readonly<Record<AccessFinding["problem"], [FindingSeverity, string]>> = {
  "open-to-others": [
    "warning",
    "lets other users in: set mode 0700 for a directory, 0600 for a file, or repair",
  ],
  "foreign-owner": ["warning", "belongs to another user, who can change it at any time: make it yours"],
  exchangeable: [
    "warning",
    "lets other users exchange the vault: put it into a directory that only you can write",
  ],
  "not-regular": ["damage", "is neither a file nor a directory: find out who put it there, and remove it"],
};

function judgeAccess(access: readonly AccessFinding[], findings: Findings): void {
  for (const { name, problem } of access) {
    const place =
      name === "."
        ? "The vault's directory"
        : name === ".."
          ? "The directory around the vault"
          : "A thing in it";
    const [severity, what] = ACCESS[problem];
    findings.add(severity, "modes", `${place} ${what}.`, { topic: `${name} ${problem}`, names: [name] });
  }
  if (access.length === 0) findings.add("ok", "modes", "No other user can reach the vault's files.");
}

function judgeContents(contents: DirectoryContents, findings: Findings): void {
  const { temporary, kept, otherDatabases, incoming, deadSiblings, foreign, irregularInDatabase } = contents;
  const note = (
    part: "temporary-files" | "foreign-files",
    names: readonly string[],
    message: string,
  ): void => {
    if (names.length > 0) findings.add("note", part, message, { topic: message, names });
  };
  note(
    "temporary-files",
    temporary,
    "Temporary files of an interrupted change are there. They are not needed; a repair, or the next open, removes them.",
  );
  note(
    "temporary-files",
    kept,
    "An open that did not end has left the database's files as they were before it. A repair, or the next open, puts them in order.",
  );
  note(
    "temporary-files",
    otherDatabases,
    "Databases that the vault header does not name are there, left by an interrupted change of the root key. A repair, or the next open, removes them.",
  );
  note(
    "temporary-files",
    incoming,
    "Files on their way into the file store were interrupted. Opening the file store sorts them out.",
  );
  note(
    "temporary-files",
    deadSiblings,
    "Beside the vault lie vaults that were never finished. A repair removes them.",
  );
  note(
    "foreign-files",
    foreign,
    "Things that are not Coffer's lie in the vault's directory. Nothing reads them; move them elsewhere.",
  );
  if (irregularInDatabase.length > 0) {
    findings.add(
      "damage",
      "database",
      "The database's folder holds something that is not a regular file, and opening refuses it. Find out who put it there, and remove it.",
      { topic: "irregular", names: irregularInDatabase },
    );
  }
}

/** Names that programs give to what they copy elsewhere, and where desktops show what lies on another machine. */
const SYNCED =
  /(?:^|[/\\])(?:dropbox|onedrive|google ?drive|my drive|icloud ?drive|mobile documents|nextcloud|owncloud|pcloud ?drive|megasync|box sync|syncthing)(?: ?[-(][^/\\]*)?(?:[/\\]|$)/iu;
const REMOTE = /^\/(?:net|afs|run\/user\/\d+\/gvfs)\//u;

function judgeLocation({ platform }: FileSystem, directory: string, findings: Findings): void {
  if (SYNCED.test(directory)) {
    findings.add(
      "warning",
      "location",
      "The vault seems to lie in a folder that a program copies to other machines. It must not: files of two moments get mixed. Move it out, and put backups there instead.",
    );
  }
  if (platform === "win32" ? directory.startsWith("\\\\") : REMOTE.test(directory)) {
    findings.add(
      "warning",
      "location",
      "The vault seems to lie on another machine. Locks and flushes do not hold there; keep the vault on a disk of this one.",
    );
  }
}

async function judgeArgon2(findings: Findings): Promise<void> {
  const about = { topic: "argon2" };
  try {
    if ((await argon2Implementation()) === "argon2") {
      return findings.add("ok", "native-modules", "The native Argon2 loads and answers correctly.", about);
    }
    findings.add(
      "warning",
      "native-modules",
      "The native Argon2 does not load; the WebAssembly one works, two to three times slower. Reinstall the package argon2.",
      about,
    );
  } catch (error) {
    if (!isCofferError(error, "COFFER_NATIVE_MODULE_MISSING")) throw error;
    findings.add("warning", "native-modules", error.message, about);
  }
}

/** Header times are unauthenticated, and may be no time at all. */
function isoTime(ms: number): string {
  return ms <= 8.64e15 ? new Date(ms).toISOString() : "at an impossible time";
}

function mebibytes(kibibytes: number): string {
  return kibibytes % 1024 === 0 ? `${kibibytes / 1024} MiB` : `${kibibytes} KiB`;
}
