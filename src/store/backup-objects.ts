/**
 * The objects of the file store on their way into a backup, and out of one into a new vault. An object goes as it
 * lies: it carries its own data key. Source: docs/format.md#backup [F-164], [F-167].
 * @module
 */
import { dirname } from "node:path";
import { hex } from "../bytes.ts";
import { readExactly, type SourceFile } from "../envelope/source-file.ts";
import { DamagedError } from "../errors.ts";
import { type BackupItem, damagedBackup } from "../formats/backup.ts";
import type { ContentRecord } from "../formats/records/tables.ts";
import type { BackupObject } from "../keystore/backup-records.ts";
import type { RecordedKeys } from "../keystore/recorded-keys.ts";
import { syncFolder } from "../storage/atomic-file.ts";
import { FILE_MODE, type FileHandle, type FileSystem } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { concurrently } from "./concurrently.ts";
import { judgeObject, ObjectCheck, type ObjectVerdict } from "./object-check.ts";
import { Objects } from "./objects.ts";

const READ_BYTES = 1_048_576;

/** Objects that are looked at, or flushed, at once: more than the threads that a runtime has for them gain nothing. */
const AT_ONCE = 4;

/** What a backup is to hold: contents, and the keys that open them. */
export interface ContentsToBackUp {
  readonly contents: readonly ContentRecord[];
  readonly keys: RecordedKeys;
}

/**
 * Finds the objects of these contents, compares the beginning and the length of each with its record, and opens its
 * data key. Their segments are not opened: `store.verify` does that.
 * @returns their length in all. @throws DamagedError for one that is missing or another, or under a key that is not
 *   among `keys`. @throws IoError, the signal's reason.
 */
export async function measureObjects(
  objects: Objects,
  { contents, keys }: ContentsToBackUp,
  signal: AbortSignal,
): Promise<number> {
  let lengthBytes = 0;
  await concurrently(contents, AT_ONCE, async (content) => {
    signal.throwIfAborted();
    const source = await openOrRefuse(objects, content);
    try {
      assertMeant(await judgeObject(source, content, keys), content.id);
      lengthBytes += source.stats.size;
    } finally {
      await source.handle.close().catch(() => undefined);
    }
  });
  return lengthBytes;
}

/**
 * Gives the objects of these contents, each opened when its turn has come, and judged by what is copied once more.
 * @throws as {@link measureObjects}.
 */
export async function* objectsToBackUp(
  objects: Objects,
  { contents, keys }: ContentsToBackUp,
  signal: AbortSignal,
): AsyncGenerator<BackupObject> {
  for (const content of contents) {
    signal.throwIfAborted();
    const source = await openOrRefuse(objects, content);
    try {
      const lengthBytes = source.stats.size;
      yield { contentId: content.id, lengthBytes, pieces: piecesOf(source, content, keys, signal) };
    } finally {
      await source.handle.close().catch(() => undefined);
    }
  }
}

async function* piecesOf(
  source: SourceFile,
  content: ContentRecord,
  keys: RecordedKeys,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { size } = source.stats;
  const check = new ObjectCheck(content, size, keys);
  for (let at = 0; at < size; at += READ_BYTES) {
    signal.throwIfAborted();
    const piece = await readExactly(source, Math.min(READ_BYTES, size - at), at);
    assertMeant((await check.push(piece)) ?? "meant", content.id);
    yield piece;
  }
  assertMeant(check.verdict, content.id);
}

async function openOrRefuse(objects: Objects, { id }: ContentRecord): Promise<SourceFile> {
  const source = await objects.open(id);
  if (source === undefined) throw refusal(id, "missing", "is missing");
  return source;
}

/** Where the objects of a backup go, when they go anywhere. */
export interface ObjectPlace {
  readonly fs: FileSystem;
  /** Of the new vault. */
  readonly directory: string;
}

/** Takes the objects of a backup one after another: each must be that of a record, and none may be missing. */
export class RestoredObjects {
  readonly #contents: ReadonlyMap<string, ContentRecord>;
  readonly #keys: RecordedKeys;
  readonly #place: ObjectPlace | undefined;
  readonly #objects: Objects | undefined;
  readonly #seen = new Set<string>();
  readonly #folders = new Set<string>();
  /** Files that are being flushed while the next ones are written. */
  readonly #flushing = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #check: ObjectCheck | undefined;
  #handle: FileHandle | undefined;
  #at = 0;
  #end = 0;

  /**
   * @param contents by id in hexadecimal digits. @param keys of the backup, lent. @param place undefined checks only.
   */
  constructor(
    contents: ReadonlyMap<string, ContentRecord>,
    keys: RecordedKeys,
    place: ObjectPlace | undefined,
  ) {
    this.#contents = contents;
    this.#keys = keys;
    this.#place = place;
    this.#objects = place && new Objects(place.fs, place.directory);
  }

  /** How many objects have come. */
  get count(): number {
    return this.#seen.size;
  }

  /** @throws DamagedError, IoError. */
  async take(item: Exclude<BackupItem, { kind: "record" }>): Promise<void> {
    if (item.kind === "object") return this.#begin(item.contentId, item.lengthBytes);
    const verdict = (await this.#check?.push(item.bytes)) ?? "meant";
    if (this.#check === undefined || verdict !== "meant") throw damagedBackup(fieldOf(verdict));
    try {
      await this.#handle?.write(item.bytes, this.#at);
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
    this.#at += item.bytes.length;
    if (this.#at === this.#end) await this.#finishObject();
    this.#throwFailure();
  }

  /** Says that no more come. Makes their names durable. @throws DamagedError where one is missing, IoError. */
  async finish(): Promise<void> {
    if (this.#seen.size !== this.#contents.size) throw damagedBackup("objects");
    const { fs } = this.#place ?? {};
    if (fs === undefined) return;
    await Promise.all(this.#flushing);
    this.#throwFailure();
    await concurrently(this.#folders, AT_ONCE, (folder) => syncFolder(fs, folder));
  }

  /** Closes what is open. Never rejects. */
  async close(): Promise<void> {
    await Promise.all(this.#flushing);
    await this.#handle?.close().catch(() => undefined);
  }

  async #begin(contentId: Uint8Array, lengthBytes: number): Promise<void> {
    const name = hex(contentId);
    const content = this.#contents.get(name);
    if (content === undefined || this.#seen.has(name)) throw damagedBackup("object");
    this.#seen.add(name);
    this.#check = new ObjectCheck(content, lengthBytes, this.#keys);
    [this.#at, this.#end] = [0, lengthBytes];
    const { fs } = this.#place ?? {};
    if (fs === undefined || this.#objects === undefined) return;
    const path = this.#objects.pathOf(contentId);
    try {
      if (!this.#folders.has(dirname(path))) await this.#objects.makeFolder(contentId);
      this.#folders.add(dirname(path));
      this.#handle = await fs.open(path, "create", FILE_MODE);
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
  }

  async #finishObject(): Promise<void> {
    if (this.#check?.verdict !== "meant") throw damagedBackup("object");
    this.#check = undefined;
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) return;
    const flushing = flush(handle)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#flushing.delete(flushing));
    this.#flushing.add(flushing);
    if (this.#flushing.size >= AT_ONCE) await Promise.race(this.#flushing);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

async function flush(handle: FileHandle): Promise<void> {
  try {
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw ioError(error, "write a file of the store");
  }
}

/** The part of a backup that is not as it should be. */
function fieldOf(verdict: ObjectVerdict): string {
  return verdict === "key" ? "key" : "object";
}

/** @param verdict undefined for one whose beginning is not whole. @throws DamagedError. */
function assertMeant(verdict: ObjectVerdict | undefined, id: Uint8Array): void {
  if (verdict === "meant") return;
  throw verdict === "key"
    ? refusal(id, "key", "is sealed by a key that the vault does not have")
    : refusal(id, "other", "is not the one that was written");
}

function refusal(id: Uint8Array, reason: string, what: string): DamagedError {
  return new DamagedError(
    `An object of the file store ${what}, so no backup was made: it would replace a better one. Run store.verify to see which file it is, and put the object back from a copy or remove the file; or leave the files out with { store: false }.`,
    { details: { part: "content", reason, content: hex(id) } },
  );
}
