/**
 * New wrappings and new data keys for what is stored already. Wrapping anew, after a CMK was rotated, leaves the bodies
 * as they are; encrypting anew gives each content another data key, for the case that one leaked. Contents are told
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
import { isCofferError, NotFoundError } from "../errors.ts";
import { type BlobHeader, parseBlob } from "../formats/blob.ts";
import { type EntryRecord, type KeyRecord, TABLES } from "../formats/records/tables.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { wipe } from "../secret.ts";
import { concurrently } from "./concurrently.ts";
import { damagedEntries, type WalkedEntry } from "./listing.ts";
import { asDamage, keyIdOf, missingContent, type OpenedFile, openInline } from "./read-content.ts";
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

/** How many files have a new data key. */
export interface ReencryptedFiles {
  readonly files: number;
}

/** `missed`: the file is not where it was: moved, replaced or removed meanwhile. */
type Outcome = "renewed" | "unchanged" | "missed";

/** File entries at one moment. */
interface FoundFiles {
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

/** Works on each file until every one is done, or gone. @throws DamagedError where names are damaged, at the end. */
async function renewAll(
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
  let pending = entries;
  let lost = damaged;
  while (pending.length > 0) {
    const missed = new Set<string>();
    await concurrently(pending, AT_ONCE, async (entry) => {
      signal.throwIfAborted();
      const outcome = await renew(entry);
      counts[outcome] += 1;
      if (outcome === "missed") missed.add(hex(entry.id));
      else progress.add(entry.size);
    });
    if (missed.size === 0) break;
    // What no name leads to any more was replaced or removed, and its key with it.
    const again = await allFiles(session, signal);
    pending = again.entries.filter(({ id }) => missed.has(hex(id)));
    lost = Math.max(lost, again.damaged);
  }
  await progress.finish();
  if (lost > 0) throw damagedEntries(lost);
  return counts;
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
async function untilNotOpenedAnew<T>(list: () => Promise<T>, signal: AbortSignal): Promise<T> {
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
    const present = change.get(TABLES.entries, key);
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
  const { catalog, database, host, objects, use } = session;
  if (entry.size === 0) return "unchanged";
  const release = use.read(entry.id);
  try {
    const source = await objects.open(entry.id);
    if (source === undefined) {
      if (catalog.content(database, entry.id) === undefined) return "missed";
      throw missingContent();
    }
    let keyId: string | undefined;
    try {
      keyId = await staleUnder(session, source, wanted, signal);
    } finally {
      await source.handle.close().catch(() => undefined);
    }
    if (keyId === undefined) return "unchanged";
    const access = vaultAccess(host.kms(), keyId);
    await rewrapFileWith(host, access, source.path, { encryptionContext: {}, signal, mayBeMoved: true });
    return "renewed";
  } catch (error) {
    throw asDamage(error);
  } finally {
    release();
  }
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

/** What encrypting anew needs beside the session. */
export interface Reencrypting {
  readonly signal: AbortSignal;
  readonly onUse: () => void;
  /** Finds what is to be encrypted anew. */
  readonly find: () => AsyncIterable<WalkedEntry>;
  /** Performs work while no name changes. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  readonly open: (entry: EntryRecord) => Promise<OpenedFile>;
}

/** See `FileStore.reencrypt`. */
export async function reencryptContents(
  session: StoreSession,
  options: StoreRenewOptions,
  reencrypting: Reencrypting,
): Promise<ReencryptedFiles> {
  session.assertWritable();
  const { signal, find, alone } = reencrypting;
  // Of one moment: what is moved from one directory to another while they are listed would be in neither.
  const list = async (): Promise<EntryRecord[]> => {
    const entries: EntryRecord[] = [];
    for await (const { record } of find())
      if (record.kind === "file" && record.size > 0) entries.push(record);
    return entries;
  };
  const entries = await untilNotOpenedAnew(() => alone(list), signal);
  const counts = await renewAll(session, { entries, damaged: 0 }, options, signal, (entry) =>
    session.use.keyChoice.shared(() => reencryptFile(session, entry, options.keyId, reencrypting), signal),
  );
  return { files: counts.renewed };
}

async function reencryptFile(
  session: StoreSession,
  entry: EntryRecord,
  keyId: string | undefined,
  { signal, onUse, open }: Reencrypting,
): Promise<Outcome> {
  const { catalog, database } = session;
  // As it is by now: it may have been wrapped anew since it was listed.
  const present = catalog.present(database, entry);
  if (present === undefined || !equal(present.id, entry.id)) return "missed";
  let file: OpenedFile;
  try {
    file = await open(present);
  } catch (error) {
    // Removed or replaced since it was listed.
    if (catalog.isPresent(database, entry)) throw error;
    return "missed";
  }
  try {
    await session.put(
      { kind: "pieces", pieces: file.stream(), sizeBytes: file.size },
      { keyId: keyId ?? file.keyId, isDurable: true, signal, onUse },
      (change, content) => {
        if (!catalog.exchangeContent(change, entry, content)) throw new Superseded();
      },
    );
    return "renewed";
  } catch (error) {
    if (error instanceof Superseded) return "missed";
    throw error;
  } finally {
    await file.close();
  }
}

/** The name leads to another content by now, or to none. */
class Superseded extends NotFoundError {
  constructor() {
    super("The file was changed while it was encrypted anew.");
  }
}
