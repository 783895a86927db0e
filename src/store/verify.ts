/**
 * The check of the whole store: the index against its sums, every name against its content, every content to its last
 * byte, and the objects that no name leads to. Source: docs/format.md#store-verification [F-239], [F-242].
 * @module
 */
import { fromHex, hex } from "../bytes.ts";
import { type ProgressListener, Progress } from "../envelope/progress.ts";
import { wipe } from "../secret.ts";
import { isCofferError } from "../errors.ts";
import { TABLES } from "../formats/records/tables.ts";
import { ROOT_ID } from "./catalog.ts";
import { concurrently } from "./concurrently.ts";
import { entriesOf, type WalkedEntry } from "./listing.ts";
import type { StoredFile } from "./read-content.ts";
import { damagedRange } from "./salvage-stream.ts";
import type { DamagedRange, StoreCallOptions } from "./store-options.ts";
import type { StoreSession } from "./store-session.ts";

/** How a stored file or the index is not what it was. */
export type StoreProblem =
  /** Records of the index were altered, lost, added, or put back to older ones. */
  | {
      readonly problem: "index";
      readonly found: number;
      readonly expected: number;
      readonly unreadable: number;
    }
  /** Blocks of the database are not what was written: names may be passed by when they are looked up. */
  | { readonly problem: "rot"; readonly blocks: number }
  /** Names of one directory do not open; all others are checked. */
  | { readonly problem: "names"; readonly path: string; readonly count: number }
  /** The content is not there. */
  | { readonly problem: "missing"; readonly path: string }
  /** Parts of the content do not verify, or all of it. Without any part, bytes were added to it that mean nothing. */
  | { readonly problem: "damaged"; readonly path: string; readonly ranges: readonly DamagedRange[] }
  /** One of the content's two key areas is damaged; the other opens it. `reencrypt` writes both anew. */
  | { readonly problem: "key-area"; readonly path: string }
  /** The content could not be read: the drive reports an error, or something else was put into its place. */
  | { readonly problem: "unreadable"; readonly path: string; readonly errno: string }
  /** The CMK that the content is under does not serve: disabled, deleted, or waiting for deletion. */
  | { readonly problem: "key"; readonly path: string; readonly code: string }
  /** An object that no name leads to: the trace of a lost record. */
  | { readonly problem: "orphan"; readonly content: string }
  /** Something in the store's folders that is not the store's. Its name within the vault's directory. */
  | { readonly problem: "foreign"; readonly name: string };

export interface StoreVerifyOptions extends StoreCallOptions {
  /** False checks that every content is there and of the right length, without reading all of it. @defaultValue true */
  readonly contents?: boolean | undefined;
  /** Told plaintext bytes that were checked. */
  readonly onProgress?: ProgressListener | undefined;
  /** Told each problem when it is found. */
  readonly onProblem?: ((problem: StoreProblem) => void) | undefined;
}

/** What a check has found. */
export interface StoreVerification {
  readonly files: number;
  readonly directories: number;
  /** Plaintext bytes of the files. */
  readonly bytes: number;
  /** Empty for a store that is sound. */
  readonly problems: readonly StoreProblem[];
}

/** Files that are checked at once. */
const AT_ONCE = 4;
const READ_BYTES = 1_048_576;

export interface Verifying {
  readonly signal: AbortSignal;
  /** @param onKeyArea told when one of two key areas is damaged. */
  readonly open: (entry: WalkedEntry["record"], onKeyArea: () => void) => Promise<StoredFile>;
  /** Opens what can be read of a content. */
  readonly openDamaged: (entry: WalkedEntry["record"], onKeyArea: () => void) => Promise<StoredFile>;
  /** Performs work while no name changes. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
}

/** See `FileStore.verify`. */
export async function verifyStore(
  session: StoreSession,
  options: StoreVerifyOptions,
  verifying: Verifying,
): Promise<StoreVerification> {
  const { signal, open, openDamaged } = verifying;
  const problems: StoreProblem[] = [];
  const tell = (problem: StoreProblem): void => {
    problems.push(problem);
    options.onProblem?.(problem);
  };
  // Nothing is collected meanwhile: what is removed while this runs is no orphan.
  const release = session.use.hold();
  try {
    await session.garbage.idle();
    await checkIndex(session, signal, tell);
    const walked = await gather(session, signal, tell);
    const files = walked.filter(({ record }) => record.kind === "file");
    const bytes = files.reduce((sum, { record }) => sum + record.size, 0);
    const progress = new Progress(options.onProgress, bytes);
    await concurrently(files, AT_ONCE, async (entry) => {
      signal.throwIfAborted();
      await checkFile(session, entry, {
        open,
        openDamaged,
        signal,
        tell,
        progress,
        isDeep: options.contents ?? true,
      });
    });
    await checkObjects(session, walked, verifying, tell);
    await progress.finish();
    return { files: files.length, directories: walked.length - files.length, bytes, problems };
  } finally {
    release();
  }
}

type Tell = (problem: StoreProblem) => void;

async function checkIndex(session: StoreSession, signal: AbortSignal, tell: Tell): Promise<void> {
  const { rottenBlocks: blocks } = session.database;
  if (blocks > 0) tell({ problem: "rot", blocks });
  const checks = await session.database.checkFileTables(() => signal.throwIfAborted());
  // A salvage does not know what should be there.
  const { areSumsKnown } = session.database;
  for (const { found, stated, unreadable, isSound } of checks) {
    if (areSumsKnown ? isSound : unreadable.length === 0) continue;
    tell({ problem: "index", found, expected: areSumsKnown ? stated : found, unreadable: unreadable.length });
  }
}

/** Every entry that a path leads to, whatever is wrong with its neighbours. */
async function gather(session: StoreSession, signal: AbortSignal, tell: Tell): Promise<WalkedEntry[]> {
  const found: WalkedEntry[] = [];
  const open: { readonly parts: readonly string[]; readonly id: Uint8Array }[] = [{ parts: [], id: ROOT_ID }];
  const seen = new Set([hex(ROOT_ID)]);
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    const { parts, id } = directory;
    const onDamage = (count: number): void => tell({ problem: "names", path: parts.join("/"), count });
    for (const record of await entriesOf(session, id, signal, onDamage)) {
      const entry = { parts: [...parts, record.name], record };
      // One that was moved meanwhile, or that an older record leads to, which the sums tell.
      if (record.kind === "directory" && seen.has(hex(record.id))) continue;
      found.push(entry);
      if (record.kind !== "directory") continue;
      seen.add(hex(record.id));
      open.push({ parts: entry.parts, id: record.id });
    }
  }
  return found;
}

interface FileCheck extends Pick<Verifying, "open" | "openDamaged"> {
  readonly signal: AbortSignal;
  readonly tell: Tell;
  readonly progress: Progress;
  readonly isDeep: boolean;
}

async function checkFile(
  session: StoreSession,
  { parts, record }: WalkedEntry,
  check: FileCheck,
): Promise<void> {
  const path = parts.join("/");
  try {
    let hasBothAreas = true;
    const { file, isWhole } = await openAny(record, check, () => {
      hasBothAreas = false;
    });
    if (!hasBothAreas) check.tell({ problem: "key-area", path });
    try {
      const ranges = check.isDeep ? await damagedRanges(file, check) : [];
      if (ranges.length > 0 || !isWhole) check.tell({ problem: "damaged", path, ranges });
      if (!check.isDeep) check.progress.add(record.size);
    } finally {
      await file.close();
    }
  } catch (error) {
    check.signal.throwIfAborted();
    if (!isCofferError(error)) throw error;
    // Removed or replaced since the names were gathered.
    const present = session.catalog.find(session.database, parts);
    if (present === undefined || hex(present.id) !== hex(record.id)) return;
    if (error.code === "COFFER_IO") {
      check.tell({ problem: "unreadable", path, errno: String(error.details["errno"] ?? "UNKNOWN") });
    } else if (error.code !== "COFFER_DAMAGED") check.tell({ problem: "key", path, code: error.code });
    else if (error.reason === "missing") check.tell({ problem: "missing", path });
    else check.tell({ problem: "damaged", path, ranges: [{ start: 0, end: record.size }] });
  }
}

/** Where the end of a content is damaged, the rest of it may be sound. */
async function openAny(
  record: WalkedEntry["record"],
  { open, openDamaged, isDeep }: FileCheck,
  onKeyArea: () => void,
): Promise<{ readonly file: StoredFile; readonly isWhole: boolean }> {
  try {
    return { file: await open(record, onKeyArea), isWhole: true };
  } catch (error) {
    if (!isDeep || !isCofferError(error, "COFFER_DAMAGED")) throw error;
    return { file: await openDamaged(record, onKeyArea), isWhole: false };
  }
}

async function damagedRanges(file: StoredFile, { signal, progress }: FileCheck): Promise<DamagedRange[]> {
  const ranges: DamagedRange[] = [];
  for (let at = 0; at < file.size;) {
    signal.throwIfAborted();
    const end = Math.min(at + READ_BYTES, file.size);
    try {
      wipe(await file.read(at, end - at));
      progress.add(end - at);
      at = end;
    } catch (error) {
      const range = damagedRange(error);
      if (range === undefined || range.end <= at) throw error;
      ranges.push(range);
      progress.add(range.end - at);
      at = range.end;
    }
  }
  return joined(ranges);
}

/** Neighbouring ranges as one. */
function joined(ranges: readonly DamagedRange[]): DamagedRange[] {
  const result: DamagedRange[] = [];
  for (const range of ranges) {
    const last = result.at(-1);
    if (last !== undefined && last.end === range.start)
      result[result.length - 1] = { ...last, end: range.end };
    else result.push(range);
  }
  return result;
}

/** Contents that are there and that no name leads to. */
async function checkObjects(
  session: StoreSession,
  walked: readonly WalkedEntry[],
  { signal, alone }: Verifying,
  tell: Tell,
): Promise<void> {
  const present = new Set<string>();
  for await (const { objects, others } of session.objects.stored()) {
    signal.throwIfAborted();
    for (const { id } of objects) if (!session.use.isWriting(id)) present.add(hex(id));
    for (const path of others) tell({ problem: "foreign", name: session.objects.nameOf(path) });
  }
  for await (const { record } of session.database.records(TABLES.contents, Uint8Array.of(TABLES.contents))) {
    if (record !== undefined && !session.use.isWriting(record.id)) present.add(hex(record.id));
  }
  for (const id of await reached(session, walked, signal)) present.delete(id);
  if (present.size === 0) return;
  // What was written or moved meanwhile has escaped the walk: it is done again while nothing changes.
  const orphans = await alone(async () => {
    const again = await gather(session, signal, () => undefined);
    for (const id of await reached(session, again, signal)) present.delete(id);
    // What was being collected when this began is gone by now.
    const orphans: string[] = [];
    for (const id of present) if (await isThere(session, fromHex(id))) orphans.push(id);
    return orphans;
  });
  for (const content of orphans) tell({ problem: "orphan", content });
}

async function isThere({ catalog, database, objects }: StoreSession, id: Uint8Array): Promise<boolean> {
  if (catalog.content(database, id) !== undefined) return true;
  const source = await objects.open(id);
  await source?.handle.close().catch(() => undefined);
  return source !== undefined;
}

/** Contents that a name or the list of garbage leads to, also by way of a directory that is on it. */
async function reached(
  session: StoreSession,
  walked: readonly WalkedEntry[],
  signal: AbortSignal,
): Promise<Set<string>> {
  const ids = new Set(walked.map(({ record }) => hex(record.id)));
  const directories: Uint8Array[] = [];
  for await (const { record } of session.database.records(TABLES.garbage, Uint8Array.of(TABLES.garbage))) {
    if (record === undefined) continue;
    ids.add(hex(record.id));
    if (record.kind === "directory") directories.push(record.id);
  }
  for (let id = directories.pop(); id !== undefined; id = directories.pop()) {
    for (const record of await entriesOf(session, id, signal, () => undefined)) {
      const isNew = !ids.has(hex(record.id));
      ids.add(hex(record.id));
      if (isNew && record.kind === "directory") directories.push(record.id);
    }
  }
  return ids;
}
