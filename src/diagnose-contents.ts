/**
 * The part of a diagnosis that looks into the database: LevelDB runs in a process without keys, on a copy, and what
 * it hands over is checked here, with the keys where there are any.
 * @module
 */
import { basename, join } from "node:path";
import { counted, type DiagnosisProgress, type Findings, type VaultCounts } from "./diagnosis.ts";
import { isCofferError } from "./errors.ts";
import { type ParsedHeader, verifyHeaderMac } from "./formats/header.ts";
import { isFileTable, TABLES } from "./formats/records/tables.ts";
import type { ReferenceProblem } from "./keystore/check-references.ts";
import { RecordCheck, type RecordsCheck, type TableCheck } from "./keystore/check-records.ts";
import type { ExpectedObjects, FileReferenceProblem } from "./keystore/file-references.ts";
import type { VaultKeys } from "./keystore/vault-keys.ts";
import { CopiedDatabase } from "./storage/database-ground.ts";
import type { DirectoryContents } from "./storage/directory-inspection.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { isKeptFor } from "./storage/kept-database.ts";
import { openSalvagedStore } from "./storage/salvaged-store.ts";
import { countRottenBlocks } from "./storage/table-checksums.ts";
import {
  type DatabaseOutcome,
  readUntrustedDatabase,
  type UntrustedDatabaseOptions,
} from "./storage/untrusted-database.ts";
import { databaseDirectory } from "./storage/vault-directory.ts";

export interface ContentsOptions {
  readonly fs: FileSystem;
  /** Canonical. */
  readonly directory: string;
  readonly header: ParsedHeader;
  readonly contents: DirectoryContents;
  readonly findings: Findings;
  /** Lent. Without them records are counted only. */
  readonly keys: VaultKeys | undefined;
  readonly child: Pick<UntrustedDatabaseOptions, "script" | "timeLimitMs">;
  readonly onProgress: (progress: DiagnosisProgress) => void;
  readonly signal: AbortSignal | undefined;
}

/** What the records say, for a repair. */
export interface ContentsDiagnosis {
  /** True when LevelDB read the database and every record was compared, whatever came of it. */
  readonly isComplete: boolean;
  readonly counts: VaultCounts | undefined;
  /** True when a change writes records anew from their mirrors. */
  readonly hasMendableTables: boolean;
  /** Parts of LevelDB's tables that have rotted, whether a record is in them or not. */
  readonly rottenBlocks: number;
  /** LevelDB keys of records whose mirrors are not right. */
  readonly mirrorRepairs: readonly Uint8Array[];
  /** What the index of the file store says of objects; undefined unless the records were opened. */
  readonly objects: ExpectedObjects | undefined;
  /** True when records of the file tables are lost, altered or older ones. */
  readonly hasUnsoundIndex: boolean;
  /** True when something in the file store has lost its name or its record. */
  readonly hasLostFiles: boolean;
}

const NOTHING: ContentsDiagnosis = {
  isComplete: false,
  counts: undefined,
  hasMendableTables: false,
  rottenBlocks: 0,
  mirrorRepairs: [],
  objects: undefined,
  hasUnsoundIndex: false,
  hasLostFiles: false,
};

/** Looks at the database, and with keys at the header's MAC and every record. Writes to the system's temporary folder only. */
export async function diagnoseContents(options: ContentsOptions): Promise<ContentsDiagnosis> {
  const { header, contents, findings, keys } = options;
  if (keys !== undefined) {
    if (!verifyHeaderMac(header, keys.header)) {
      findings.add(
        "damage",
        "header",
        "The vault header was changed by somebody without the vault's keys. Keep the directory as it is, put the right header back, or restore a backup.",
        { topic: "mac" },
      );
      return NOTHING;
    }
    findings.add("ok", "header", "The vault header was written with the vault's own key.", { topic: "mac" });
  }
  // LevelDB would follow what is planted there, and opening refuses it.
  if (contents.irregularInDatabase.length > 0) return NOTHING;
  return diagnoseDatabase(options);
}

async function diagnoseDatabase(options: ContentsOptions): Promise<ContentsDiagnosis> {
  const { fs, directory, header, contents, findings } = options;
  const database = databaseDirectory(directory, header.database);
  const name = basename(database);
  // The next open puts kept files back first: it is them that count.
  const isKept =
    contents.kept.includes(`${name}.keep`) &&
    (await isKeptFor(fs, database, header.bytes).catch(() => false));
  const counting = isKept ? `${name}.keep` : name;
  const copy = new CopiedDatabase(fs, join(directory, counting));
  try {
    const { outcome, result, count } = await readCopy(options, copy);
    judgeOutcome(outcome, findings);
    if (outcome.outcome === "read") {
      const rottenBlocks = await countRottenBlocks(fs, join(directory, counting));
      if (rottenBlocks > 0)
        findings.add("warning", "database", rottenTables(rottenBlocks), { topic: "checksums" });
      const diagnosis = { ...judgeRecords(options, result, count), rottenBlocks };
      if (result !== undefined && !isUsable(result)) await tellSalvage(options);
      return diagnosis;
    }
    if (outcome.outcome !== "not-started" && outcome.step !== "load") await tellSalvage(options);
    return NOTHING;
  } catch (error) {
    if (!isCofferError(error, "COFFER_DAMAGED")) throw error;
    findings.add(
      "damage",
      "database",
      "The vault's database is missing. Put its folder back from a copy of the vault, or restore a backup.",
      { topic: "leveldb" },
    );
    return NOTHING;
  } finally {
    await copy.end();
  }
}

/** True when opening accepts the records, if only with the help of their mirrors. */
function isUsable({ state, tables, foreign }: RecordsCheck): boolean {
  if (typeof state !== "object" || foreign > 0) return false;
  return tables.every(({ table, isSound, isMendable }) => isSound || isMendable || isFileTable(table));
}

/** Counts what openVault with salvage would give out, in the way in which it does: LevelDB has no part in it. */
async function tellSalvage({ fs, directory, header, findings, keys }: ContentsOptions): Promise<void> {
  if (keys === undefined) return;
  const check = new RecordCheck(keys);
  try {
    const store = await openSalvagedStore(fs, databaseDirectory(directory, header.database), keys);
    try {
      for await (const [key, value] of store.entries()) check.add(key, value);
    } finally {
      await store.close();
    }
    const { readable, total } = check.result();
    findings.add(
      "note",
      "records",
      `openVault with salvage gives out ${readable} of ${total} records; some may be older than the last.`,
      { topic: "salvage" },
    );
  } finally {
    check.end();
  }
}

interface DatabaseRead {
  readonly outcome: DatabaseOutcome;
  /** Undefined without keys. */
  readonly result: RecordsCheck | undefined;
  readonly count: { readonly records: number; readonly hasState: boolean };
}

async function readCopy(
  { keys, child, onProgress, signal }: ContentsOptions,
  copy: CopiedDatabase,
): Promise<DatabaseRead> {
  const check = keys === undefined ? undefined : new RecordCheck(keys);
  let records = 0;
  let hasState = false;
  try {
    const outcome = await readUntrustedDatabase(await copy.prepare(), {
      ...child,
      signal,
      take: (entries) => {
        for (const [key, value] of entries) {
          check?.add(key, value);
          if (key.length === 1 && key[0] === TABLES.state) hasState = true;
        }
        records += entries.length;
        onProgress({ step: "database", records });
      },
    });
    return { outcome, result: check?.result(), count: { records, hasState } };
  } finally {
    check?.end();
  }
}

function judgeOutcome(outcome: DatabaseOutcome, findings: Findings): void {
  const about = { topic: "leveldb" };
  if (outcome.outcome === "not-started") {
    const message =
      "This runtime starts no other process, so the database was not looked at. Run coffer doctor from a terminal.";
    return findings.add("warning", "database", message, about);
  }
  if (outcome.outcome !== "read" && outcome.step === "load") {
    const message =
      "The native LevelDB does not load, and no vault opens without it. Reinstall the package level.";
    return findings.add("damage", "native-modules", message, about);
  }
  findings.add("ok", "native-modules", "The native LevelDB loads.", about);
  if (outcome.outcome === "read") {
    return findings.add("ok", "database", "LevelDB opens and reads the database.", about);
  }
  if (outcome.outcome === "refused") {
    const doing =
      outcome.step === "read" ? "cannot read a part of the database" : "refuses to open the database";
    return findings.add(
      "damage",
      "database",
      `LevelDB ${doing}: files of it are missing or altered. Keep the directory as it is and restore a backup, or take what openVault with salvage gives out.`,
      about,
    );
  }
  const how =
    outcome.outcome === "crashed"
      ? `LevelDB crashed on this database (${outcome.end})`
      : "LevelDB does not come to an end with this database";
  findings.add(
    "damage",
    "database",
    `${how}: a file of it is altered, by rot or on purpose. Opening it would end the program: restore a backup, or take what openVault with salvage gives out.`,
    about,
  );
}

function judgeRecords(
  { header, findings }: ContentsOptions,
  result: RecordsCheck | undefined,
  { records, hasState }: DatabaseRead["count"],
): ContentsDiagnosis {
  if (result === undefined) {
    if (!hasState) findings.add("damage", "database", LOST_STATE, { topic: "state" });
    const message = `The database holds ${counted(records, "record", "records")}. Whether all is right shows only with a way in.`;
    findings.add("note", "records", message, { topic: "counted" });
    return NOTHING;
  }
  const { state, tables, mirrors, foreign, references } = result;
  if (state === "absent") findings.add("damage", "database", LOST_STATE, { topic: "state" });
  else if (state === "unreadable") {
    findings.add(
      "damage",
      "database",
      "The database's state record does not open: it was altered, or the database is another vault's. Put the right files back, or restore a backup.",
      { topic: "state" },
    );
  } else judgeAge(state, header, findings);
  if (typeof state === "object") for (const table of tables) judgeTable(table, findings);
  judgeMirrors(result, findings);
  if (foreign > 0) {
    findings.add(
      "damage",
      "records",
      `The database holds ${counted(foreign, "record", "records")} of tables that this format does not have. Somebody put that there; restore a backup.`,
      { topic: "foreign" },
    );
  }
  for (const [problem, count] of references ?? []) {
    findings.add("damage", "records", REFERENCES[problem](count), { topic: problem });
  }
  if (references?.size === 0 && foreign === 0) {
    findings.add(
      "ok",
      "records",
      `All ${records} records open, are the ones that were written last, and fit each other.`,
      {
        topic: "checked",
      },
    );
  }
  const found = (table: number): number => tables.find((check) => check.table === table)?.found ?? 0;
  return {
    isComplete: true,
    counts: {
      keys: found(TABLES.keys),
      keyVersions: found(TABLES.versions),
      aliases: found(TABLES.aliases),
      tags: found(TABLES.tags),
      records,
    },
    rottenBlocks: 0,
    hasMendableTables: tables.some(({ isMendable }) => isMendable),
    mirrorRepairs: mirrors.recordKeys,
    objects: result.objects,
    hasUnsoundIndex: tables.some(({ table, isSound }) => isFileTable(table) && !isSound),
    hasLostFiles: LOST_FILES.some((problem) => references?.has(problem) === true),
  };
}

function rottenTables(blocks: number): string {
  return `${blocks} blocks of the database's tables are not what LevelDB wrote. What that did to records is said apart; the disk may be failing: make a backup. A repair writes the tables anew where every record is right or can be mended.`;
}

const LOST_STATE =
  "The database has lost its state record, or everything: LevelDB opens some damaged databases as empty ones. Keep the directory as it is and restore a backup; openVault with salvage gives out what is left.";

function judgeAge(
  state: { readonly sequence: number; readonly witness: number },
  header: ParsedHeader,
  findings: Findings,
): void {
  const ways =
    "Put the newer files back, or restore a backup; until then openVault answers COFFER_ROLLED_BACK, and with salvage gives out the older records.";
  if (state.sequence < header.sequence) {
    findings.add(
      "damage",
      "database",
      `The database is older than the vault header (batch ${state.sequence}, and the header knows of ${header.sequence}): an older copy was put back, or changes were lost. ${ways}`,
      { topic: "age" },
    );
  } else if (state.witness > header.generation) {
    findings.add(
      "damage",
      "header",
      `The vault header is older than the database (generation ${header.generation}, and the database knows of ${state.witness}): an older copy was put back. ${ways}`,
      { topic: "age" },
    );
  } else {
    findings.add("ok", "database", `Header and database belong together (batch ${state.sequence}).`, {
      topic: "age",
    });
  }
}

const TABLE_NAMES: Readonly<Record<number, string>> = {
  [TABLES.keys]: "keys",
  [TABLES.versions]: "key versions",
  [TABLES.aliases]: "aliases",
  [TABLES.tags]: "tags",
  [TABLES.due]: "planned changes",
  [TABLES.grants]: "grants",
  [TABLES.accessKeys]: "access keys",
  [TABLES.imports]: "imports",
  [TABLES.settings]: "settings",
  [TABLES.tombstones]: "deleted keys",
  [TABLES.entries]: "file names",
  [TABLES.contents]: "file contents",
  [TABLES.garbage]: "removed files",
  [TABLES.audit]: "audit pages",
  [TABLES.usage]: "last uses",
};

const MENDABLE_ADVICE = "Their mirrors are right: a repair, or the next change, writes them anew.";
const LOST_ADVICE =
  "Nothing else holds them: keep the directory as it is and restore a backup, or take what openVault with salvage gives out.";
const INDEX_ADVICE =
  "Nothing else holds them: keep the directory as it is and restore a backup. A repair gives them up and goes on with the rest, the older ones among it; contents that lost their name come to lost+found.";

/** What a repair of the file store puts in order. */
const LOST_FILES: readonly FileReferenceProblem[] = [
  "entry-without-content",
  "entry-out-of-reach",
  "content-without-entry",
];

function judgeTable(
  { table, found, stated, unreadable, isSound, isMendable }: TableCheck,
  findings: Findings,
): void {
  if (isSound) return;
  const name = TABLE_NAMES[table] ?? `table ${table}`;
  const problems: string[] = [];
  if (stated !== undefined && found !== stated)
    problems.push(`${counted(found, "record is", "records are")} there instead of ${stated}`);
  if (unreadable > 0) problems.push(`${unreadable} of them do not open, altered or moved`);
  if (problems.length === 0)
    problems.push("records are not the ones that were written last, but older or other ones");
  const advice = isFileTable(table) ? INDEX_ADVICE : isMendable ? MENDABLE_ADVICE : LOST_ADVICE;
  findings.add("damage", "records", `Of the ${name}, ${problems.join(", and ")}. ${advice}`, {
    topic: `table ${table}`,
  });
}

function judgeMirrors(
  { mirrors: { missing, different, extra }, tables, state }: RecordsCheck,
  findings: Findings,
): void {
  if (typeof state !== "object") return;
  const about = { topic: "mirrors" };
  const problems = [
    ...(missing > 0 ? [`${missing} missing`] : []),
    ...(different > 0 ? [`${different} altered or older`] : []),
    ...(extra > 0 ? [`${extra} of records that are gone`] : []),
  ];
  if (problems.length > 0) {
    findings.add(
      "damage",
      "mirrors",
      `Second copies of key records are not right: ${problems.join(", ")}. The records themselves are; a repair writes the copies anew.`,
      about,
    );
  } else if (tables.every(({ table, isSound }) => isSound || isFileTable(table))) {
    findings.add("ok", "mirrors", "Every key record has its second copy.", about);
  }
}

const FAULT =
  "The records are the ones that were written, so this is a fault of a program, not of the disk: report it, and export what you need.";

const FILE_FAULT =
  "Names were lost, or a program is at fault. A repair gives what is left of them a name, the old one or one in lost+found.";

const REFERENCES: Readonly<Record<ReferenceProblem | FileReferenceProblem, (count: number) => string>> = {
  "alias-without-key": (count) => `${count} aliases point to a key that is not there. ${FAULT}`,
  "version-without-key": (count) => `${count} key versions belong to a key that is not there. ${FAULT}`,
  "tag-without-key": (count) => `${count} tags belong to a key that is not there. ${FAULT}`,
  "due-without-key": (count) => `${count} planned changes are of a key that is not there. ${FAULT}`,
  "due-not-as-planned": (count) => `${count} planned changes are not what their key says. ${FAULT}`,
  "plan-without-due": (count) => `${count} changes that keys await would not happen. ${FAULT}`,
  "key-without-version": (count) => `${count} keys lack their current version. ${FAULT}`,
  "material-sealed-otherwise": (count) => `The material of ${count} key versions does not open. ${FAULT}`,
  "deleted-key-present": (count) => `${count} keys are noted as deleted and still there. ${FAULT}`,
  "entry-without-content": (count) =>
    `${count} file names lead to a content that has no record. ${FILE_FAULT}`,
  "entry-of-other-length": (count) => `${count} file names tell another length than their content. ${FAULT}`,
  "entry-out-of-reach": (count) =>
    `${count} names of the file store lie in a directory that no name leads to. ${FILE_FAULT}`,
  "content-without-entry": (count) => `${count} contents of the file store have no name. ${FILE_FAULT}`,
  "content-with-two-names": (count) =>
    `${count} names of the file store lead to what another name leads to. ${FAULT}`,
  "garbage-in-use": (count) => `${count} things that are to be removed still have a name. ${FAULT}`,
  "setting-missing": () => `The vault's own settings are not there. ${FAULT}`,
};
