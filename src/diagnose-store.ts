/**
 * The part of a diagnosis that looks at the file store's objects: whether those that the index names are there, are
 * not others and have their length, and what lies there besides. No content is decrypted: `store.verify` does that.
 * Source: docs/format.md#store-verification [F-239], [F-242].
 * @module
 */
import { fromHex, hex } from "./bytes.ts";
import { counted, type Findings } from "./diagnosis.ts";
import type { SourceFile } from "./envelope/source-file.ts";
import { isCofferError } from "./errors.ts";
import type { ContentRecord } from "./formats/records/tables.ts";
import type { ExpectedObject, ExpectedObjects } from "./keystore/file-references.ts";
import type { FileSystem } from "./storage/file-system.ts";
import { concurrently } from "./store/concurrently.ts";
import { judgeObject } from "./store/object-check.ts";
import { Objects } from "./store/objects.ts";

export interface StoreOptions {
  readonly fs: FileSystem;
  /** Canonical. */
  readonly directory: string;
  readonly findings: Findings;
  /** What the index says; undefined where it was not read. */
  readonly expected: ExpectedObjects | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What the objects say, for a repair. */
export interface StoreDiagnosis {
  /** True when there are objects that no record names. */
  readonly hasOrphans: boolean;
}

/** Objects that are looked at at once: more than the threads that a runtime has for them gain nothing. */
const AT_ONCE = 4;

/** Looks at all objects. Reads only. @throws IoError. */
export async function diagnoseStore(options: StoreOptions): Promise<StoreDiagnosis> {
  const { fs, directory, findings, expected, signal } = options;
  const objects = new Objects(fs, directory);
  const present = new Set<string>();
  const others: string[] = [];
  try {
    others.push(...(await objects.incoming()).others.map((path) => objects.nameOf(path)));
    for await (const stored of objects.stored()) {
      signal?.throwIfAborted();
      for (const { id } of stored.objects) present.add(hex(id));
      others.push(...stored.others.map((path) => objects.nameOf(path)));
    }
  } catch (error) {
    if (!isCofferError(error, "COFFER_IO") || error.reason !== "not-a-folder") throw error;
    // What such a folder leads to is not the vault's, and not looked at.
    findings.add("damage", "store", error.message, { topic: "folders" });
    return { hasOrphans: false };
  }
  if (others.length > 0) {
    findings.add("note", "foreign-files", FOREIGN, { topic: "objects", names: others });
  }
  if (expected === undefined) {
    if (present.size === 0) return { hasOrphans: false };
    const message = `The file store holds ${counted(present.size, "object", "objects")}. Whether all is right shows only with a way in.`;
    findings.add("note", "store", message, { topic: "counted" });
    return { hasOrphans: false };
  }
  const wrong = await judgeExpected(objects, expected.contents, options);
  const orphans = [...present].filter((id) => !expected.contents.has(id) && !expected.garbage.has(id));
  judgeOrphans(orphans, findings, objects);
  if (wrong + orphans.length === 0 && expected.contents.size > 0) {
    const message = `The index of the file store names ${counted(expected.contents.size, "object", "objects")}: each is there, is the one that was written, and has its length. Whether every byte is right is told by store.verify.`;
    findings.add("ok", "store", message, { topic: "objects" });
  }
  return { hasOrphans: orphans.length > 0 };
}

/** @returns how many are not as they should be. */
async function judgeExpected(
  objects: Objects,
  contents: ReadonlyMap<string, ExpectedObject>,
  { findings, signal }: StoreOptions,
): Promise<number> {
  const missing: string[] = [];
  const other: string[] = [];
  await concurrently(contents, AT_ONCE, async ([name, { length, headerTag }]) => {
    signal?.throwIfAborted();
    const id = fromHex(name);
    const path = objects.nameOf(objects.pathOf(id));
    try {
      const source = await objects.open(id);
      if (source === undefined) missing.push(path);
      else if (!(await isRight(source, { id, length, headerTag: fromHex(headerTag) }))) other.push(path);
    } catch (error) {
      // One that cannot be read must not hide the others.
      if (!isCofferError(error)) throw error;
      other.push(path);
    }
  });
  if (missing.length > 0) {
    const message = `${counted(missing.length, "stored file has", "stored files have")} no content: it was removed, or left out of a copy or a backup. Put the objects folder back from a copy, or restore a backup that holds the files.`;
    findings.add("damage", "store", message, { topic: "missing", names: missing.toSorted() });
  }
  if (other.length > 0) {
    const message = `${counted(other.length, "stored file does", "stored files do")} not have the content that was written: it is another one, was cut or altered, or cannot be read. Run store.verify, which names each and what is left of it, then restore from a backup.`;
    findings.add("damage", "store", message, { topic: "other", names: other.toSorted() });
  }
  return missing.length + other.length;
}

/** Closes the object. */
async function isRight(source: SourceFile, content: ContentRecord): Promise<boolean> {
  try {
    return (await judgeObject(source, content)) === "meant";
  } finally {
    await source.handle.close().catch(() => undefined);
  }
}

function judgeOrphans(orphans: readonly string[], findings: Findings, objects: Objects): void {
  if (orphans.length === 0) return;
  const names = orphans.toSorted().map((id) => objects.nameOf(objects.pathOf(fromHex(id))));
  const message = `${counted(orphans.length, "object of the file store has no record: it is the trace", "objects of the file store have no record: they are the traces")} of what was lost. A repair gives those that open a name in lost+found; nothing is removed.`;
  findings.add("damage", "store", message, { topic: "orphans", names });
}

const FOREIGN =
  "Things that are not Coffer's lie in the folders of the file store. Nothing reads them; move them elsewhere.";
