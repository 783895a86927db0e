/**
 * A new content: small ones are sealed by the CMK itself, larger ones become an object with a data key of its own.
 * Nothing names it yet. Source: docs/format.md#store-contents [F-234].
 * @module
 */
import { concat, copy, hex } from "../bytes.ts";
import { FloeSealer } from "../crypto/floe-in-order.ts";
import { randomId } from "../crypto/random.ts";
import { makeBeginning, type NewBeginning } from "../envelope/beginning.ts";
import { workOnBody } from "../envelope/body-work.ts";
import { DEFAULT_SEGMENT_BYTES } from "../envelope/file-options.ts";
import { vaultAccess } from "../envelope/key-access.ts";
import { Progress, type ProgressListener } from "../envelope/progress.ts";
import { sealPlan } from "../envelope/encrypt-file.ts";
import { assertUnchanged, openSource, readExactly, type SourceFile } from "../envelope/source-file.ts";
import type { EncryptionContext } from "../formats/context.ts";
import { wipe } from "../secret.ts";
import { type KnownSource, piecesOf } from "./content-source.ts";
import type { NewObject, Objects } from "./objects.ts";
import type { FileStoreHost } from "./store-ground.ts";
import type { StoreUse } from "./store-use.ts";

/** Contents up to this many bytes lie in the index: see bench/README.md for how it was chosen. */
export const INLINE_BYTES = 4096;

/** Shorter contents, and those of unknown length, have short segments: less is read for a few bytes of them. */
const LONG_BYTES = 1_048_576;
const SHORT_SEGMENT_BYTES = 65_536;

/** Pieces of a stream are gathered to about this much before they are written. */
const WRITE_BYTES = 1_048_576;

/** The last moment that a Date holds. */
const MAX_TIME_MS = 8.64e15;

/** The name under which a content's id stands in the context of its blob. */
const INLINE_NAME = "coffer:inline";

/** A content that is there, and has no name yet. */
export interface NewContent {
  readonly id: Uint8Array;
  /** Plaintext bytes. */
  readonly size: number;
  /** When the source was last changed, where it tells. */
  readonly modifiedAtMs?: number | undefined;
  /** Of a small content. */
  readonly blob?: Uint8Array | undefined;
  /** Of an object, which is in `incoming/`. */
  readonly headerTag?: Uint8Array | undefined;
}

export interface NewContentOptions {
  readonly keyId: string | undefined;
  /** False leaves the flush of an object to the caller. */
  readonly isDurable: boolean;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal: AbortSignal;
  /** Told each time that data passes. */
  readonly onUse: () => void;
}

interface IdentifiedOptions extends NewContentOptions {
  readonly id: Uint8Array;
}

/** A content, and what is called once a record names it, or nobody will. */
export interface WrittenContent {
  readonly content: NewContent;
  readonly end: () => void;
}

/** The context of a small content's blob. */
export function inlineContext(id: Uint8Array): EncryptionContext {
  return { [INLINE_NAME]: hex(id) };
}

/**
 * Writes a content. When it rejects, nothing is left.
 * @throws SourceChangedError, IoError, what the CMK answers, what the source throws, and the signal's reason.
 */
export async function writeContent(
  host: FileStoreHost,
  objects: Objects,
  use: StoreUse,
  source: KnownSource,
  options: NewContentOptions,
): Promise<WrittenContent> {
  options.signal.throwIfAborted();
  const id = randomId();
  const end = use.write(id);
  try {
    return { content: await writeSource(host, objects, source, { ...options, id }), end };
  } catch (error) {
    end();
    throw error;
  }
}

async function writeSource(
  host: FileStoreHost,
  objects: Objects,
  source: KnownSource,
  options: IdentifiedOptions,
): Promise<NewContent> {
  if (source.kind === "path") return writePath(host, objects, source.path, options);
  if (source.kind === "file") return writeFile(host, objects, source.file, options);
  if (source.kind === "pieces") return writePieces(host, objects, source, options);
  const progress = new Progress(options.onProgress, source.bytes.length);
  if (source.bytes.length > INLINE_BYTES) {
    return writeObject(host, objects, options, source.bytes.length, async (object, beginning) => {
      const size = await sealPieces(object, beginning, [source.bytes], progress, options);
      await progress.finish();
      return size;
    });
  }
  const content = await sealInline(host, source.bytes, options);
  await progress.finish();
  return content;
}

async function writePath(
  host: FileStoreHost,
  objects: Objects,
  path: string,
  options: IdentifiedOptions,
): Promise<NewContent> {
  const source = await openSource(host.fs, path);
  try {
    return await writeFile(host, objects, source, options);
  } finally {
    await source.handle.close().catch(() => undefined);
  }
}

async function writeFile(
  host: FileStoreHost,
  objects: Objects,
  source: SourceFile,
  options: IdentifiedOptions,
): Promise<NewContent> {
  const { size } = source.stats;
  const modifiedAtMs = recordedTime(source.stats.modifiedAtMs);
  const progress = new Progress(options.onProgress, size);
  if (size <= INLINE_BYTES) {
    const content = await sealSmallFile(host, source, options);
    await progress.finish();
    return { ...content, modifiedAtMs };
  }
  const content = await writeObject(host, objects, options, size, async (object, { segments, bytes }) => {
    const plan = sealPlan(bytes.length, source, segments.plaintextBytes);
    const { signal } = options;
    const body = { plan, end: plan.segments, source, destination: object, segments, progress, signal };
    await workOnBody(host, { ...body, preface: bytes });
    await progress.finish();
    await assertUnchanged(host.fs, source);
    return size;
  });
  return { ...content, modifiedAtMs };
}

/**
 * Returns a time of the disk as records have it: whole milliseconds, from 1970 to the last that a Date holds. A file may
 * claim any, and must not be refused for it.
 */
export function recordedTime(modifiedAtMs: number): number {
  if (Number.isNaN(modifiedAtMs)) return 0;
  return Math.trunc(Math.min(Math.max(0, modifiedAtMs), MAX_TIME_MS));
}

async function sealSmallFile(
  host: FileStoreHost,
  source: SourceFile,
  options: IdentifiedOptions,
): Promise<NewContent> {
  const plaintext = await readExactly(source, source.stats.size, 0);
  try {
    await assertUnchanged(host.fs, source);
    return await sealInline(host, plaintext, options);
  } finally {
    wipe(plaintext);
  }
}

/** What is small enough shows only when the source ends. */
async function writePieces(
  host: FileStoreHost,
  objects: Objects,
  source: Extract<KnownSource, { kind: "pieces" }>,
  options: IdentifiedOptions,
): Promise<NewContent> {
  const pieces = piecesOf(source.pieces, options.signal);
  try {
    const held: Uint8Array[] = [];
    let heldBytes = 0;
    let next = await pieces.next();
    for (; next.done !== true; next = await pieces.next()) {
      // The source may use its memory again, and this copy is wiped: the slice of a Buffer would be no copy.
      held.push(copy(next.value));
      heldBytes += next.value.length;
      if (heldBytes > INLINE_BYTES) break;
    }
    try {
      if (next.done === true) {
        const plaintext = concat(...held);
        try {
          const content = await sealInline(host, plaintext, options);
          options.onProgress?.({ bytes: content.size, totalBytes: content.size });
          return content;
        } finally {
          wipe(plaintext);
        }
      }
      // Its length shows when it ends.
      const progress = new Progress(options.onProgress, Number.POSITIVE_INFINITY);
      return await writeObject(host, objects, options, source.sizeBytes ?? 0, async (object, beginning) => {
        const size = await sealPieces(object, beginning, chain(held, pieces), progress, options);
        options.onProgress?.({ bytes: size, totalBytes: size });
        return size;
      });
    } finally {
      wipe(...held);
    }
  } finally {
    await pieces.return(undefined).catch(() => undefined);
  }
}

async function* chain(
  first: readonly Uint8Array[],
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* first;
  yield* rest;
}

async function sealInline(
  host: FileStoreHost,
  plaintext: Uint8Array,
  { id, keyId, signal }: IdentifiedOptions,
): Promise<NewContent> {
  const size = plaintext.length;
  if (size === 0) return { id, size };
  const encryptionContext = inlineContext(id);
  const { ciphertextBlob } = await host.kms().encrypt({ keyId, plaintext, encryptionContext });
  signal.throwIfAborted();
  return { id, size, blob: ciphertextBlob };
}

/** @param sizeBytes of the plaintext, 0 where nobody knows it yet. @param writeBody writes all of the object and returns the plaintext's length. */
async function writeObject(
  host: FileStoreHost,
  objects: Objects,
  options: IdentifiedOptions,
  sizeBytes: number,
  writeBody: (object: NewObject, beginning: NewBeginning) => Promise<number>,
): Promise<NewContent> {
  const { id, keyId, isDurable, signal } = options;
  // Meanwhile the data key is made.
  const creating = objects.create(id);
  creating.catch(() => undefined);
  try {
    const beginning = await makeBeginning(vaultAccess(host.kms(), keyId), {
      fileId: id,
      context: {},
      storeContext: false,
      segmentPlaintextBytes: sizeBytes < LONG_BYTES ? SHORT_SEGMENT_BYTES : DEFAULT_SEGMENT_BYTES,
      createdAtMs: 0,
      signal,
    });
    try {
      const object = await creating;
      const size = await writeBody(object, beginning);
      signal.throwIfAborted();
      await object.finish(isDurable);
      return { id, size, headerTag: beginning.headerTag };
    } finally {
      beginning.segments.close();
    }
  } catch (error) {
    await creating.then(
      (object) => object.discard(),
      () => undefined,
    );
    throw error;
  }
}

/** Seals pieces in their order; while one stretch is written, the next is sealed. @returns the plaintext's length. */
async function sealPieces(
  object: NewObject,
  { bytes, segments }: NewBeginning,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  progress: Progress,
  { signal, onUse }: NewContentOptions,
): Promise<number> {
  const sealer = new FloeSealer(segments);
  let ready: Uint8Array[] = [bytes];
  let readyBytes = bytes.length;
  let position = 0;
  let writing: Promise<void> = Promise.resolve();
  let size = 0;
  const put = async (): Promise<void> => {
    await writing;
    writing = object.writev(ready, position);
    writing.catch(() => undefined);
    position += readyBytes;
    [ready, readyBytes] = [[], 0];
  };
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += WRITE_BYTES) {
        signal.throwIfAborted();
        onUse();
        const part = piece.subarray(at, at + WRITE_BYTES);
        for (const segment of sealer.push(part)) {
          ready.push(segment);
          readyBytes += segment.length;
        }
        size += part.length;
        progress.add(part.length);
        if (readyBytes >= WRITE_BYTES) await put();
      }
    }
    const last = sealer.finish();
    ready.push(last);
    readyBytes += last.length;
    await put();
    await writing;
    return size;
  } finally {
    await writing.catch(() => undefined);
  }
}
