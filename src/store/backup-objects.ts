/**
 * The objects of the file store on their way into a backup, and out of one into a new vault. An object goes as it
 * lies: it carries its own data key. Source: docs/format.md#backup [F-164], [F-167].
 * @module
 */
import { dirname } from "node:path";
import { concat, equal, hex } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { FLOE_HEADER_BYTES, FLOE_SEGMENT_OVERHEAD_BYTES, floeHeaderTag, floeLayout } from "../crypto/floe.ts";
import { readExactly } from "../envelope/source-file.ts";
import { DamagedError, isCofferError } from "../errors.ts";
import { type BackupItem, damagedBackup } from "../formats/backup.ts";
import { FILE_PREAMBLE_BYTES, fileBeginningLength, fileOffsets, parseFileHead } from "../formats/file.ts";
import type { ContentRecord } from "../formats/records/tables.ts";
import type { BackupObject } from "../keystore/backup-records.ts";
import { syncFolder } from "../storage/atomic-file.ts";
import { FILE_MODE, type FileHandle, type FileSystem } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { Objects } from "./objects.ts";
import { missingContent } from "./read-content.ts";

const READ_BYTES = 1_048_576;

/**
 * Gives the objects of these contents, each opened when its turn has come, and its beginning compared with its record.
 * @throws DamagedError for one that is missing or another. @throws IoError, the signal's reason.
 */
export async function* objectsToBackUp(
  objects: Objects,
  contents: readonly ContentRecord[],
  signal: AbortSignal,
): AsyncGenerator<BackupObject> {
  for (const content of contents) {
    signal.throwIfAborted();
    const source = await objects.open(content.id);
    if (source === undefined) throw missingContent();
    try {
      const { size } = source.stats;
      yield { contentId: content.id, lengthBytes: size, pieces: pieces(size) };
      async function* pieces(lengthBytes: number): AsyncGenerator<Uint8Array> {
        const check = new ObjectCheck(content, lengthBytes);
        for (let at = 0; at < lengthBytes; at += READ_BYTES) {
          signal.throwIfAborted();
          const piece = await readExactly(
            source as NonNullable<typeof source>,
            Math.min(READ_BYTES, lengthBytes - at),
            at,
          );
          if (!check.push(piece)) throw otherObject(content.id);
          yield piece;
        }
        if (!check.finish()) throw otherObject(content.id);
      }
    } finally {
      await source.handle.close().catch(() => undefined);
    }
  }
}

/** Compares what an object's beginning says with its record. The backup's own seal vouches for the rest. */
class ObjectCheck {
  readonly #content: ContentRecord;
  readonly #lengthBytes: number;
  #held: Uint8Array = new Uint8Array(0);
  #isMeant: boolean | undefined;

  constructor(content: ContentRecord, lengthBytes: number) {
    this.#content = content;
    this.#lengthBytes = lengthBytes;
  }

  /** @returns false once the object is known to be another. */
  push(piece: Uint8Array): boolean {
    if (this.#isMeant !== undefined) return this.#isMeant;
    this.#held = concat(this.#held, piece);
    this.#isMeant = this.#judge();
    return this.#isMeant ?? true;
  }

  finish(): boolean {
    return this.#isMeant === true;
  }

  #judge(): boolean | undefined {
    if (this.#held.length < FILE_PREAMBLE_BYTES) return undefined;
    try {
      const beginningBytes = fileBeginningLength(this.#held);
      if (this.#held.length < beginningBytes) return undefined;
      const head = parseFileHead(this.#held);
      const { body, segments } = fileOffsets(head);
      const header = this.#held.subarray(body, body + FLOE_HEADER_BYTES);
      const { id, headerTag, length } = this.#content;
      const layout = floeLayout(
        this.#lengthBytes - segments,
        head.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES,
      );
      return (
        equal(head.fileId, id) && equal(floeHeaderTag(header), headerTag) && layout.plaintextBytes === length
      );
    } catch (error) {
      if (error instanceof MalformedError || isCofferError(error)) return false;
      throw error;
    }
  }
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
  readonly #place: ObjectPlace | undefined;
  readonly #objects: Objects | undefined;
  readonly #seen = new Set<string>();
  readonly #folders = new Set<string>();
  #check: ObjectCheck | undefined;
  #handle: FileHandle | undefined;
  #at = 0;
  #end = 0;

  /** @param contents by id in hexadecimal digits. @param place undefined checks only. */
  constructor(contents: ReadonlyMap<string, ContentRecord>, place: ObjectPlace | undefined) {
    this.#contents = contents;
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
    if (this.#check?.push(item.bytes) !== true) throw damagedBackup("object");
    try {
      await this.#handle?.write(item.bytes, this.#at);
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
    this.#at += item.bytes.length;
    if (this.#at === this.#end) await this.#finishObject();
  }

  /** Says that no more come. Makes their names durable. @throws DamagedError where one is missing, IoError. */
  async finish(): Promise<void> {
    if (this.#seen.size !== this.#contents.size) throw damagedBackup("objects");
    const { fs } = this.#place ?? {};
    if (fs === undefined) return;
    for (const folder of this.#folders) await syncFolder(fs, folder);
  }

  /** Closes what is open. Never rejects. */
  async close(): Promise<void> {
    await this.#handle?.close().catch(() => undefined);
  }

  async #begin(contentId: Uint8Array, lengthBytes: number): Promise<void> {
    const name = hex(contentId);
    const content = this.#contents.get(name);
    if (content === undefined || this.#seen.has(name)) throw damagedBackup("object");
    this.#seen.add(name);
    this.#check = new ObjectCheck(content, lengthBytes);
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
    if (this.#check?.finish() !== true) throw damagedBackup("object");
    this.#check = undefined;
    const handle = this.#handle;
    this.#handle = undefined;
    try {
      await handle?.sync();
      await handle?.close();
    } catch (error) {
      throw ioError(error, "write a file of the store");
    }
  }
}

function otherObject(id: Uint8Array): DamagedError {
  return new DamagedError(
    "An object of the file store is not the one that was written, so no backup was made. Run store.verify, and put the object back from a copy, or remove the file; or leave the files out with { store: false }.",
    { details: { part: "content", reason: "other", content: hex(id) } },
  );
}
