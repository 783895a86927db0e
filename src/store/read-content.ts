/**
 * The content of a stored file, open for reading anywhere in it: from the index, or from its object, which must be the
 * very one that was written. Source: docs/format.md#store-contents [F-235].
 * @module
 */
import type { ReadableStream } from "node:stream/web";
import { equal, hex } from "../bytes.ts";
import { FileReader } from "../envelope/file-reader.ts";
import type { OpenFields } from "../envelope/beginning.ts";
import { vaultAccess } from "../envelope/key-access.ts";
import {
  type KnownEnvelope,
  type OpenedEnvelope,
  openEnvelope,
  openKnownEnvelope,
} from "../envelope/open-envelope.ts";
import { assertCount, type ByteRange, RangeStreams } from "../envelope/range-streams.ts";
import type { SourceFile } from "../envelope/source-file.ts";
import { DamagedError, isCofferError } from "../errors.ts";
import { parseBlob } from "../formats/blob.ts";
import type { KeyEntry } from "../formats/key-area.ts";
import type { ContentRecord, EntryRecord } from "../formats/records/tables.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import { redact, wipe } from "../secret.ts";
import type { Objects } from "./objects.ts";
import type { FileStoreHost } from "./store-ground.ts";
import { inlineContext } from "./write-content.ts";

/** What opening a content needs beside its records. */
export interface ReadOptions {
  readonly signal: AbortSignal;
  /** Told at each read. */
  readonly onUse: () => void;
}

/** A stored file that is open for reading. What it was when it was opened, it stays, whatever becomes of its name. */
export interface StoredFile extends AsyncDisposable {
  /** Length in bytes, proven. */
  readonly size: number;
  /**
   * Returns `length` bytes from `offset`, in a new array; fewer only where the file ends. All of it is verified.
   * @throws RangeError unless both are integers from 0 on. @throws DamagedError with the damaged range in its details.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Returns a range as a stream, verified piece by piece. A failure ends it with an error. @throws RangeError. */
  stream(range?: ByteRange): ReadableStream<Uint8Array>;
  /** Wipes the keys and closes the file. Idempotent. */
  close(): Promise<void>;
}

/** A stored file, and what it is sealed by. */
export interface OpenedFile extends StoredFile {
  /** Id of the CMK that has opened it, proven; undefined for a content of no bytes. */
  readonly keyId: string | undefined;
}

type AnyEnvelope = KnownEnvelope & Partial<OpenedEnvelope>;

/** An object and its proven beginning. Who holds it closes both. */
export interface OpenedObject<Envelope extends KnownEnvelope = OpenedEnvelope> {
  readonly source: SourceFile;
  readonly opened: Envelope;
}

/** Opens a small content. @throws DamagedError, and what the CMK answers. */
export async function openInline(host: FileStoreHost, entry: EntryRecord): Promise<Uint8Array> {
  if (entry.blob === undefined) return new Uint8Array();
  try {
    const { plaintext } = await host.kms().decrypt({
      ciphertextBlob: entry.blob,
      encryptionContext: inlineContext(entry.id),
    });
    if (plaintext.length === entry.size) return plaintext;
    wipe(plaintext);
    throw damagedContent("length");
  } catch (error) {
    throw asDamage(error);
  }
}

/**
 * Opens an object and proves that it is the one that its record means.
 * @param report told of a key area that is damaged, when the other opens it.
 * @throws DamagedError reason `missing` or `content`. @throws what the CMK answers, IoError.
 */
export async function openObject(
  host: FileStoreHost,
  objects: Objects,
  record: ContentRecord,
  signal: AbortSignal,
  report: OpenFields["report"] = host.report,
): Promise<OpenedObject> {
  const object = await openUnproven(host, objects, record.id, signal, (source, fields) =>
    openEnvelope(source, { ...fields, report }),
  );
  await assertMeant(object, record);
  return object;
}

/**
 * Opens an object as far as it can be: what of it is damaged or gone, its end too, shows when it is read.
 * @throws as {@link openObject}.
 */
export async function openDamagedObject(
  host: FileStoreHost,
  objects: Objects,
  record: ContentRecord,
  signal: AbortSignal,
  report: OpenFields["report"] = host.report,
): Promise<OpenedObject<KnownEnvelope>> {
  const object = await openUnproven(host, objects, record.id, signal, (source, fields) =>
    openKnownEnvelope(source, record.length, { ...fields, report }),
  );
  await assertMeant(object, record);
  return object;
}

/**
 * Learns from an object alone what its record must be.
 * @throws as {@link openObject}; DamagedError also for an object of another id.
 */
export async function learnContent(
  host: FileStoreHost,
  objects: Objects,
  id: Uint8Array,
  signal: AbortSignal,
): Promise<ContentRecord> {
  const object = await openUnproven(host, objects, id, signal, openEnvelope);
  try {
    const { head, headerTag, plan } = object.opened;
    if (!equal(head.fileId, id)) throw damagedContent("other");
    return { id, length: plan.plaintextBytes, headerTag };
  } finally {
    await closeObject(object);
  }
}

async function openUnproven<Envelope extends KnownEnvelope>(
  host: FileStoreHost,
  objects: Objects,
  id: Uint8Array,
  signal: AbortSignal,
  open: (source: SourceFile, fields: OpenFields) => Promise<Envelope>,
): Promise<OpenedObject<Envelope>> {
  const source = await objects.open(id);
  if (source === undefined) throw missingContent();
  try {
    const access = vaultAccess(host.kms());
    const opened = await open(source, { access, context: {}, report: host.report, signal });
    wipe(opened.dek);
    return { source, opened };
  } catch (error) {
    await source.handle.close().catch(() => undefined);
    throw asDamage(error);
  }
}

async function closeObject({ source, opened }: OpenedObject<AnyEnvelope>): Promise<void> {
  opened.segments.close();
  wipe(opened.lastPlaintext);
  await source.handle.close().catch(() => undefined);
}

/** Closes an object that is not the one that its record means. @throws DamagedError. */
async function assertMeant(object: OpenedObject<AnyEnvelope>, record: ContentRecord): Promise<void> {
  const { head, headerTag, plan } = object.opened;
  const isMeant =
    equal(head.fileId, record.id) &&
    equal(headerTag, record.headerTag) &&
    plan.plaintextBytes === record.length;
  if (isMeant) return;
  await closeObject(object);
  throw damagedContent("other");
}

/** A small content, whole in memory until it is closed. Takes the bytes over. */
export class InlineFile implements OpenedFile {
  readonly size: number;
  readonly keyId: string | undefined;
  readonly #plaintext: Uint8Array;
  readonly #options: ReadOptions;
  readonly #streams = new RangeStreams();
  #ended: { readonly reason: unknown } | undefined;

  /** @param blob that it was opened from; undefined for no bytes. */
  constructor(plaintext: Uint8Array, blob: Uint8Array | undefined, options: ReadOptions) {
    this.size = plaintext.length;
    this.keyId = blob && formatKeyId(parseBlob(blob).header.keyId);
    this.#plaintext = plaintext;
    this.#options = options;
    options.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    assertCount("offset", offset);
    assertCount("length", length);
    this.#assertOpen();
    this.#options.onUse();
    return this.#plaintext.slice(offset, offset + length);
  }

  stream(range: ByteRange = {}): ReadableStream<Uint8Array> {
    this.#assertOpen();
    return this.#streams.begin(this, range, this.size);
  }

  async close(): Promise<void> {
    this.#end(closedError());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  static {
    redact(this, "[StoredFile]");
  }

  readonly #onAbort = (): void => this.#end(this.#options.signal.reason);

  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    wipe(this.#plaintext);
    this.#streams.end(reason);
  }

  #assertOpen(): void {
    if (this.#ended !== undefined) throw this.#ended.reason;
  }
}

/** A content in an object. */
export class ObjectFile implements OpenedFile {
  readonly size: number;
  readonly keyId: string | undefined;
  readonly #reader: FileReader;
  readonly #segmentBytes: number;
  readonly #signal: AbortSignal;
  readonly #onClose: () => void;
  readonly #streams = new RangeStreams();
  #isEnded = false;

  /** Takes the object over. @param onClose told once, when nobody reads the object any more. */
  constructor({ source, opened }: OpenedObject<KnownEnvelope>, options: ReadOptions, onClose: () => void) {
    this.#reader = new FileReader(source, opened, options);
    this.size = this.#reader.size;
    this.keyId = keyIdOf(opened.entry);
    this.#segmentBytes = opened.plan.segmentPlaintextBytes;
    this.#signal = options.signal;
    this.#onClose = onClose;
    this.#signal.addEventListener("abort", this.#onAbort, { once: true });
    if (this.#signal.aborted) this.#onAbort();
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    try {
      return await this.#reader.read(offset, length);
    } catch (error) {
      throw this.#damageOf(error);
    }
  }

  stream(range: ByteRange = {}): ReadableStream<Uint8Array> {
    // Throws where the reader is closed.
    void this.#reader.stream({ start: 0, end: 0 }).cancel();
    return this.#streams.begin(this, range, this.#segmentBytes);
  }

  async close(): Promise<void> {
    const closing = this.#reader.close();
    this.#streams.end(closedError());
    // It was only read: a close that fails loses nothing.
    await closing.catch(() => undefined);
    this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  static {
    redact(this, "[StoredFile]");
  }

  readonly #onAbort = (): void => {
    this.#streams.end(this.#signal.reason);
    this.#end();
  };

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#onClose();
  }

  #damageOf(error: unknown): unknown {
    if (!isCofferError(error, "COFFER_INVALID_CIPHERTEXT")) return asDamage(error);
    const segment = error.details["segment"];
    if (typeof segment !== "number") return asDamage(error);
    const start = segment * this.#segmentBytes;
    return damagedContent("content", error, {
      start,
      end: Math.min(start + this.#segmentBytes, this.size),
    });
  }
}

/** Returns the id of the CMK that an entry is sealed by. */
export function keyIdOf(entry: KeyEntry): string | undefined {
  return entry.kind === "blob" ? formatKeyId(entry.blob.header.keyId) : undefined;
}

/** Returns what stands for a content that is not what was written; every other error as it is. */
export function asDamage(error: unknown): unknown {
  const isOurs = ["COFFER_INVALID_CIPHERTEXT", "COFFER_UNSUPPORTED_FORMAT", "COFFER_SOURCE_CHANGED"].some(
    (code) => isCofferError(error) && error.code === code,
  );
  return isOurs ? damagedContent("content", error) : error;
}

function damagedContent(
  reason: string,
  cause?: unknown,
  range?: { readonly start: number; readonly end: number },
): DamagedError {
  const where = range === undefined ? "" : ` from byte ${range.start} up to ${range.end}`;
  return new DamagedError(
    `The content of a stored file was altered on disk${where}. Restore it from a backup; the other files are not touched by it.`,
    { cause, details: { part: "content", reason, ...range } },
  );
}

/** The error for a content whose object is not there. */
export function missingContent(): DamagedError {
  return new DamagedError(
    "The content of a stored file is missing from the vault's objects folder. Put the folder back from a copy, or restore a backup that includes the files.",
    { details: { part: "content", reason: "missing" } },
  );
}

/** The error for a file whose record of its content is gone. @param id of the content; not secret. */
export function missingRecord(id: Uint8Array): DamagedError {
  return new DamagedError(
    "The record of a stored file's content is missing from the index. Restore a backup, or attach the object again with coffer doctor --repair.",
    { details: { part: "content", reason: "record", content: hex(id) } },
  );
}

function closedError(): TypeError {
  return new TypeError("stored file: used after close");
}
