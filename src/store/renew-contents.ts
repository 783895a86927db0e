/**
 * New wrappings and new data keys for what is stored already. Wrapping anew, after a CMK was rotated, leaves the bodies
 * as they are; encrypting anew gives each content another data key, for the case that one leaked.
 * Source: docs/format.md#store-contents, docs/format.md#key-areas [F-211].
 * @module
 */
import { equal } from "../bytes.ts";
import { type FoundKeyEntries, readKeyEntries } from "../envelope/file-info.ts";
import { rewrapFileWith } from "../envelope/key-entries.ts";
import { vaultAccess } from "../envelope/key-access.ts";
import { Progress, type ProgressListener } from "../envelope/progress.ts";
import { NotFoundError } from "../errors.ts";
import { type BlobHeader, parseBlob } from "../formats/blob.ts";
import { type EntryRecord, TABLES } from "../formats/records/tables.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { wipe } from "../secret.ts";
import { concurrently } from "./concurrently.ts";
import { damagedEntries, type WalkedEntry } from "./listing.ts";
import { asDamage, missingContent, openInline, type StoredFile } from "./read-content.ts";
import type { StoreCallOptions, StoreKeyOption } from "./store-options.ts";
import type { StoreSession } from "./store-session.ts";
import { inlineContext, writeContent } from "./write-content.ts";

/** Contents that are renewed at once: each waits for the drive. */
const AT_ONCE = 8;

export interface RenewOptions extends StoreCallOptions, StoreKeyOption {
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

/** See `FileStore.rewrapAll`. */
export async function rewrapContents(
  session: StoreSession,
  options: RenewOptions,
  signal: AbortSignal,
): Promise<RewrappedStore> {
  session.assertWritable();
  const { keystore } = session.unlocked;
  // A key that does not exist is refused before anything is done.
  const wanted = options.keyId === undefined ? undefined : keystore.resolve(options.keyId);
  const isCurrent = ({ keyId, version }: BlobHeader): boolean => {
    const key = keystore.key(wanted?.id ?? keyId);
    return equal(key.id, keyId) && key.version === version;
  };
  const { entries, damaged } = await allFiles(session, signal);
  const progress = new Progress(
    options.onProgress,
    entries.reduce((sum, { size }) => sum + size, 0),
  );
  let [rewrapped, unchanged] = [0, 0];
  await concurrently(entries, AT_ONCE, async (entry) => {
    signal.throwIfAborted();
    const isDone =
      entry.blob === undefined
        ? await rewrapObject(session, entry, isCurrent, options.keyId, signal)
        : await rewrapInline(session, entry, isCurrent, options.keyId);
    if (isDone) rewrapped += 1;
    else unchanged += 1;
    progress.add(entry.size);
  });
  await progress.finish();
  if (damaged > 0) throw damagedEntries(damaged);
  return { rewrapped, unchanged };
}

/** Every file of the index, whatever leads to it. */
async function allFiles(
  session: StoreSession,
  signal: AbortSignal,
): Promise<{ readonly entries: EntryRecord[]; readonly damaged: number }> {
  const entries: EntryRecord[] = [];
  let damaged = 0;
  for await (const { record } of session.database.records(TABLES.entries, Uint8Array.of(TABLES.entries))) {
    signal.throwIfAborted();
    if (record === undefined) damaged += 1;
    else if (record.kind === "file") entries.push(record);
  }
  return { entries, damaged };
}

async function rewrapInline(
  session: StoreSession,
  entry: EntryRecord,
  isCurrent: (header: BlobHeader) => boolean,
  keyId: string | undefined,
): Promise<boolean> {
  if (entry.blob === undefined) return false;
  const { header } = parseBlob(entry.blob);
  if (isCurrent(header)) return false;
  const plaintext = await openInline(session.host, entry);
  let blob: Uint8Array;
  try {
    const sealed = await session.host.kms().encrypt({
      keyId: keyId ?? formatKeyId(header.keyId),
      plaintext,
      encryptionContext: inlineContext(entry.id),
    });
    blob = sealed.ciphertextBlob;
  } finally {
    wipe(plaintext);
  }
  const key = recordKey.entry(session.unlocked.keystore.keys.name, entry.dir, entry.name);
  return session.change((change) => {
    const present = change.get(TABLES.entries, key);
    // Written, moved or removed meanwhile: it is under the present key then, or gone.
    if (present === undefined || !equal(present.id, entry.id)) return false;
    session.traces.note(key);
    change.put(TABLES.entries, key, { ...present, blob });
    return true;
  });
}

async function rewrapObject(
  session: StoreSession,
  entry: EntryRecord,
  isCurrent: (header: BlobHeader) => boolean,
  keyId: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, database, host, objects, use } = session;
  if (entry.size === 0) return false;
  const release = use.read(entry.id);
  try {
    const source = await objects.open(entry.id);
    if (source === undefined) {
      if (catalog.content(database, entry.id) === undefined) return false;
      throw missingContent();
    }
    let found: FoundKeyEntries;
    try {
      found = await readKeyEntries(source);
    } finally {
      await source.handle.close().catch(() => undefined);
    }
    const blobs = found.entries.flatMap((each) => (each.kind === "blob" ? [each.blob.header] : []));
    const [first] = blobs;
    if (first !== undefined && !found.isDamaged && blobs.every(isCurrent)) return false;
    const access = vaultAccess(host.kms(), keyId ?? (first && formatKeyId(first.keyId)));
    await rewrapFileWith(host, access, source.path, { encryptionContext: {}, signal });
    return true;
  } catch (error) {
    throw asDamage(error);
  } finally {
    release();
  }
}

/** What encrypting anew needs beside the session. */
export interface Reencrypting {
  readonly signal: AbortSignal;
  readonly onUse: () => void;
  readonly open: (entry: EntryRecord) => Promise<StoredFile>;
}

/** See `FileStore.reencrypt`. */
export async function reencryptContents(
  session: StoreSession,
  found: AsyncIterable<WalkedEntry>,
  options: RenewOptions,
  { signal, onUse, open }: Reencrypting,
): Promise<ReencryptedFiles> {
  session.assertWritable();
  const entries: EntryRecord[] = [];
  for await (const { record } of found) if (record.kind === "file" && record.size > 0) entries.push(record);
  const progress = new Progress(
    options.onProgress,
    entries.reduce((sum, { size }) => sum + size, 0),
  );
  let files = 0;
  await concurrently(entries, AT_ONCE, async (entry) => {
    signal.throwIfAborted();
    if (await reencryptFile(session, entry, options.keyId, { signal, onUse, open })) files += 1;
    progress.add(entry.size);
  });
  await progress.finish();
  return { files };
}

async function reencryptFile(
  session: StoreSession,
  entry: EntryRecord,
  keyId: string | undefined,
  { signal, onUse, open }: Reencrypting,
): Promise<boolean> {
  const { catalog, host, objects, use } = session;
  let file: StoredFile;
  try {
    file = await open(entry);
  } catch (error) {
    // Removed or replaced since it was listed.
    if (catalog.isPresent(session.database, entry)) throw error;
    return false;
  }
  try {
    const source = { kind: "pieces", pieces: file.stream() } as const;
    const written = await writeContent(host, objects, use, source, { keyId, isDurable: true, signal, onUse });
    try {
      await session.name(written.content, (change) => {
        if (!catalog.exchangeContent(change, entry, written.content)) throw new Superseded();
      });
      return true;
    } catch (error) {
      if (error instanceof Superseded) return false;
      throw error;
    } finally {
      written.end();
    }
  } finally {
    await file.close();
  }
}

/** The file has another content already, which has a data key of its own. */
class Superseded extends NotFoundError {
  constructor() {
    super("The file was changed while it was encrypted anew.");
  }
}
