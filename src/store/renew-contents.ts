/**
 * New wrappings for what is stored already, after a CMK was rotated: the bodies stay as they are. Contents are told
 * apart by their ids: what is moved meanwhile is found again, so that nothing that was there at the beginning is left
 * under an old key. Source: docs/format.md#store-contents, docs/format.md#key-areas [F-211].
 * @module
 */
import { equal, hex } from "../bytes.ts";
import { openBeginning } from "../envelope/beginning.ts";
import { keyEntriesOf } from "../envelope/file-info.ts";
import { rewrapFileWith } from "../envelope/key-entries.ts";
import { vaultAccess } from "../envelope/key-access.ts";
import { readBeginning } from "../envelope/open-envelope.ts";
import { Progress, type ProgressListener } from "../envelope/progress.ts";
import type { SourceFile } from "../envelope/source-file.ts";
import { DamagedError, isCofferError } from "../errors.ts";
import { type BlobHeader, parseBlob } from "../formats/blob.ts";
import { type EntryRecord, type KeyRecord, TABLES } from "../formats/records/tables.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { wipe } from "../secret.ts";
import { concurrently } from "./concurrently.ts";
import { damagedEntries } from "./listing.ts";
import { asDamage, keyIdOf, missingContent, missingRecord, openInline } from "./read-content.ts";
import type { StoreCallOptions } from "./store-options.ts";
import type { StoreSession } from "./store-session.ts";
import { inlineContext } from "./write-content.ts";

/** Contents that are renewed at once: each waits for the drive. */
const AT_ONCE = 8;

export interface StoreRenewOptions extends StoreCallOptions {
  /**
   * The CMK that the files are to be under, by id or alias. @defaultValue of each file the one that it is under, in its
   * newest version
   */
  readonly keyId?: string | undefined;
  /** Told bytes of files that are done, and of all. */
  readonly onProgress?: ProgressListener | undefined;
}

/** How many files were wrapped anew, and how many were as they should be. */
export interface RewrappedStore {
  readonly rewrapped: number;
  readonly unchanged: number;
}

/** `missed`: the file is not where it was: moved, replaced or removed meanwhile. */
export type Outcome = "renewed" | "unchanged" | "missed";

/** File entries at one moment. */
export interface FoundFiles {
  readonly entries: readonly EntryRecord[];
  readonly damaged: number;
}

/** See `FileStore.rewrapAll`. Not beside other work that seals by the keys of contents. */
export async function rewrapContents(
  session: StoreSession,
  options: StoreRenewOptions,
  signal: AbortSignal,
): Promise<RewrappedStore> {
  session.assertWritable();
  // A key that does not exist is refused before anything is done, and an alias means its target of this moment.
  const { keyId } = options;
  const wanted = keyId === undefined ? undefined : session.unlocked.keystore.resolve(keyId).id;
  const found = await allFiles(session, signal);
  const counts = await renewAll(session, found, options, signal, (entry) =>
    entry.blob === undefined
      ? rewrapObject(session, entry, wanted, signal)
      : rewrapInline(session, entry, entry.blob, wanted),
  );
  return { rewrapped: counts.renewed, unchanged: counts.unchanged };
}

/**
 * Works on each file until every one is done, or gone. Another round comes only for files that were not in their places
 * any more, which somebody else has moved or replaced: what is missing or damaged where it was found is passed over, and
 * told when all else is done.
 * @throws DamagedError at the end, where contents or names are damaged.
 */
export async function renewAll(
  session: StoreSession,
  { entries, damaged }: FoundFiles,
  options: StoreRenewOptions,
  signal: AbortSignal,
  renew: (entry: EntryRecord) => Promise<Outcome>,
): Promise<Readonly<Record<Outcome, number>>> {
  const progress = new Progress(
    options.onProgress,
    entries.reduce((sum, { size }) => sum + size, 0),
  );
  const counts = { renewed: 0, unchanged: 0, missed: 0 };
  const failures: DamagedError[] = [];
  let pending = entries;
  let lost = damaged;
  while (pending.length > 0) {
    const missed = new Set<string>();
    await concurrently(pending, AT_ONCE, async (entry) => {
      signal.throwIfAborted();
      try {
        const outcome = await renew(entry);
        counts[outcome] += 1;
        if (outcome === "missed") {
          missed.add(hex(entry.id));
          return;
        }
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        failures.push(error);
      }
      progress.add(entry.size);
    });
    if (missed.size === 0) break;
    // What no name leads to any more was replaced or removed, and its key with it.
    const again = await allFiles(session, signal);
    pending = again.entries.filter(({ id }) => missed.has(hex(id)));
    lost = Math.max(lost, again.damaged);
  }
  await progress.finish();
  const [failure] = failures;
  if (lost > 0) throw damagedEntries(lost);
  if (failure !== undefined) throw notRenewed(failure, failures.length);
  return counts;
}

/** The error for files that could not be renewed, after all others were. */
function notRenewed(first: DamagedError, count: number): DamagedError {
  return new DamagedError(
    `${count} files of the store are missing or damaged on disk, and were not sealed anew; all others were. Run store.verify for which they are, then restore a backup or run coffer doctor --repair.`,
    { cause: first, details: { ...first.details, count } },
  );
}

/** Every file of the index at one moment, whatever leads to it. */
function allFiles(session: StoreSession, signal: AbortSignal): Promise<FoundFiles> {
  return untilNotOpenedAnew(async () => {
    const entries: EntryRecord[] = [];
    let damaged = 0;
    for await (const { record } of session.database.records(TABLES.entries, Uint8Array.of(TABLES.entries))) {
      signal.throwIfAborted();
      if (record === undefined) damaged += 1;
      else if (record.kind === "file") entries.push(record);
    }
    return { entries, damaged };
  }, signal);
}

/** A change of the root key, or a failure that was healed, ends a listing: it begins again. */
export async function untilNotOpenedAnew<T>(list: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await list();
    } catch (error) {
      signal.throwIfAborted();
      if (!isCofferError(error, "COFFER_IO") || error.details["reason"] !== "opened-anew") throw error;
    }
  }
}

/** True for what is sealed by the present version of a key. */
function isUnder({ id, version }: KeyRecord, header: BlobHeader): boolean {
  return equal(id, header.keyId) && version === header.version;
}

async function rewrapInline(
  session: StoreSession,
  entry: EntryRecord,
  before: Uint8Array,
  wanted: Uint8Array | undefined,
): Promise<Outcome> {
  const { header } = parseBlob(before);
  const keyId = wanted ?? header.keyId;
  if (isUnder(session.unlocked.keystore.key(keyId), header)) return "unchanged";
  const plaintext = await openInline(session.host, entry);
  let blob: Uint8Array;
  try {
    const sealed = await session.host.kms().encrypt({
      keyId: formatKeyId(keyId),
      plaintext,
      encryptionContext: inlineContext(entry.id),
    });
    blob = sealed.ciphertextBlob;
  } finally {
    wipe(plaintext);
  }
  return session.change((change) => {
    // A change of the root key changes the names of records.
    const key = recordKey.entry(session.unlocked.keystore.keys.name, entry.dir, entry.name);
    const present = session.catalog.present(change, entry);
    if (present === undefined || !equal(present.id, entry.id)) return "missed";
    session.traces.note(key);
    change.put(TABLES.entries, key, { ...present, blob });
    return "renewed";
  });
}

/** An object is found by its id, wherever its name has gone. */
async function rewrapObject(
  session: StoreSession,
  entry: EntryRecord,
  wanted: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const { host, objects, use } = session;
  if (entry.size === 0) return "unchanged";
  const release = use.read(entry.id);
  try {
    for (;;) {
      const source = await objects.open(entry.id);
      if (source === undefined) return missedOrMissing(session, entry);
      let keyId: string | undefined;
      try {
        keyId = await staleUnder(session, source, wanted, signal);
      } finally {
        await source.handle.close().catch(() => undefined);
      }
      if (keyId === undefined) return "unchanged";
      try {
        const access = vaultAccess(host.kms(), keyId);
        await rewrapFileWith(host, access, source.path, { encryptionContext: {}, signal, mayBeMoved: true });
        return "renewed";
      } catch (error) {
        // From `incoming/` it goes to its place at any moment, and is looked for there first.
        if (source.path === objects.pathOf(entry.id) || !isAbsent(error)) throw error;
      }
    }
  } catch (error) {
    throw asDamage(error);
  } finally {
    release();
  }
}

/** Tells of an object that is nowhere: only a name that still leads to it makes that damage. @throws DamagedError. */
function missedOrMissing({ catalog, database }: StoreSession, entry: EntryRecord): "missed" {
  if (!catalog.isPresent(database, entry)) return "missed";
  throw catalog.content(database, entry.id) === undefined ? missingRecord(entry.id) : missingContent();
}

function isAbsent(error: unknown): boolean {
  return isCofferError(error, "COFFER_IO") && error.details["errno"] === "ENOENT";
}

/**
 * Tells by which CMK an object is to be sealed anew: by the one that opens it, unless another is wanted. What its
 * entries say of themselves is believed of none that does not open.
 * @returns undefined where both areas are right and under that key's present version.
 */
async function staleUnder(
  { host, unlocked }: StoreSession,
  source: SourceFile,
  wanted: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { keystore } = unlocked;
  const beginning = await readBeginning(source);
  const { entries, isDamaged } = keyEntriesOf(beginning);
  const headers = entries.flatMap((entry) => (entry.kind === "blob" ? [entry.blob.header] : []));
  const areAllUnder = (key: KeyRecord): boolean =>
    !isDamaged && headers.every((header) => isUnder(key, header));
  let isAltered = false;
  const report = (): void => {
    isAltered = true;
  };
  try {
    const access = vaultAccess(host.kms());
    const opened = await openBeginning(beginning, { access, context: {}, report, signal });
    wipe(opened.dek);
    opened.segments.close();
    const keyId = wanted === undefined ? keyIdOf(opened.entry) : formatKeyId(wanted);
    return !isAltered && areAllUnder(keystore.resolve(keyId)) ? undefined : keyId;
  } catch (error) {
    // Nothing can be done for a file under a key that is disabled, and nothing has to be.
    const isClosed =
      isCofferError(error, "COFFER_KEY_DISABLED") || isCofferError(error, "COFFER_INVALID_KEY_STATE");
    const [first] = headers;
    if (isClosed && first !== undefined && areAllUnder(keystore.key(wanted ?? first.keyId))) return undefined;
    throw error;
  }
}
