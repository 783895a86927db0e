/**
 * The backup file (COA): a header image and all records of one moment in one authenticated file.
 * Layout: `89 "COA" 0D 0A 1A 0A ‖ version 01 ‖ suite 01 ‖ u16 flags ‖ u32 E ‖ backup id[16] ‖ u64 created ‖ u32 N ‖
 * 0[20] ‖ vault header[N] ‖ FLOE message`. Source: docs/format.md#backup [F-160…F-166].
 * @module
 */
import { assertBytes, concat, equal, readU16, readU32, readU64, u16, u32, u64, u8 } from "../bytes.ts";
import { FLOE_HEADER_BYTES, FLOE_SEGMENT_OVERHEAD_BYTES } from "../crypto/floe.ts";
import { SEAL_OVERHEAD_BYTES } from "../crypto/seal.ts";
import { DamagedError, UnsupportedFormatError } from "../errors.ts";
import { MAX_HEADER_BYTES, MAX_SEAL_BYTES } from "../limits.ts";
import { ID_BYTES } from "./key-schedule.ts";

/** E of every backup: length of a whole sealed segment, whose plaintext is 1 MiB. */
export const BACKUP_SEGMENT_BYTES = 1_048_608;
/** Length of what comes before the header image. */
export const BACKUP_PREAMBLE_BYTES = 64;
/** Length of the shortest body: an empty message. */
export const MIN_BACKUP_BODY_BYTES: number = FLOE_HEADER_BYTES + FLOE_SEGMENT_OVERHEAD_BYTES;

const MAGIC = Uint8Array.of(0x89, 0x43, 0x4f, 0x41, 0x0d, 0x0a, 0x1a, 0x0a);
const VERSION = 1;
const SUITE = 1;
const FLAGS_OFFSET = 10;
const SEGMENT_OFFSET = 12;
const BACKUP_ID_OFFSET = 16;
const CREATED_OFFSET = 32;
const HEADER_LENGTH_OFFSET = 40;
const ZERO_OFFSET = 44;

/** Flag: objects of the file store follow the records. */
const WITH_OBJECTS = 1;

const RECORD_FRAME = 1;
const OBJECT_FRAME = 2;
const END_FRAME = 3;
const FRAME_PREFIX_BYTES = 9;
const END_BYTES = 16;
/** LevelDB keys have 1 to 37 bytes; later tables have room. */
const MAX_KEY_BYTES = 255;
const MAX_RECORD_BYTES: number = 2 + MAX_KEY_BYTES + SEAL_OVERHEAD_BYTES + MAX_SEAL_BYTES;

/** What the first 64 bytes say. Unauthenticated until the body has opened. */
export interface BackupPreamble {
  /** 16 bytes. */
  readonly backupId: Uint8Array;
  /** When the backup was made, ms since 1970. */
  readonly createdAtMs: number;
  /** Whether it holds the objects of the file store. */
  readonly hasObjects: boolean;
  /** N, length of the header image that follows. */
  readonly headerBytes: number;
}

/** Returns all that comes before the body: preamble and header image. */
export function encodeBackupHead(
  { backupId, createdAtMs, hasObjects }: Omit<BackupPreamble, "headerBytes">,
  header: Uint8Array,
): Uint8Array<ArrayBuffer> {
  assertBytes("backupId", backupId, ID_BYTES);
  return concat(
    MAGIC,
    Uint8Array.of(VERSION, SUITE),
    u16(hasObjects ? WITH_OBJECTS : 0),
    u32(BACKUP_SEGMENT_BYTES),
    backupId,
    u64(createdAtMs),
    u32(header.length),
    new Uint8Array(BACKUP_PREAMBLE_BYTES - ZERO_OFFSET),
    header,
  );
}

/**
 * Takes the first 64 bytes apart; nothing is read or allocated by what they claim before.
 * @throws UnsupportedFormatError for what is no backup, or of a later version [F-161].
 * @throws DamagedError for one that is cut or changed [F-162].
 */
export function parseBackupPreamble(bytes: Uint8Array): BackupPreamble {
  if (bytes.length < MAGIC.length || !equal(bytes.subarray(0, MAGIC.length), MAGIC)) {
    throw new UnsupportedFormatError("This file is no backup of a vault. Check its name.", {
      details: { format: "backup" },
    });
  }
  if (bytes.length < BACKUP_PREAMBLE_BYTES) throw damagedBackup("length");
  const version = bytes[MAGIC.length] as number;
  const suite = bytes[MAGIC.length + 1] as number;
  const flags = readU16(bytes, FLAGS_OFFSET);
  if (version !== VERSION || suite !== SUITE || flags > WITH_OBJECTS) {
    throw new UnsupportedFormatError(
      `This backup has format version ${version}, suite ${suite}, flags ${flags}; this release reads version ${VERSION}, suite ${SUITE}, flags 0 and 1. Use a newer release.`,
      { details: { format: "backup", version, suite, flags } },
    );
  }
  if (readU32(bytes, SEGMENT_OFFSET) !== BACKUP_SEGMENT_BYTES) throw damagedBackup("segment length");
  const createdAtMs = readU64(bytes, CREATED_OFFSET);
  const headerBytes = readU32(bytes, HEADER_LENGTH_OFFSET);
  if (createdAtMs === undefined) throw damagedBackup("time");
  if (headerBytes > MAX_HEADER_BYTES) throw damagedBackup("header length");
  if (bytes.subarray(ZERO_OFFSET, BACKUP_PREAMBLE_BYTES).some((byte) => byte !== 0)) {
    throw damagedBackup("reserved bytes");
  }
  const backupId = bytes.slice(BACKUP_ID_OFFSET, CREATED_OFFSET);
  return { backupId, createdAtMs, hasObjects: flags === WITH_OBJECTS, headerBytes };
}

/** Returns the frame of one record: its LevelDB key and its value as stored. */
export function encodeRecordFrame(key: Uint8Array, value: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = 2 + key.length + value.length;
  if (key.length > MAX_KEY_BYTES || length > MAX_RECORD_BYTES) throw new RangeError("record: too long");
  return concat(u8(RECORD_FRAME), u64(length), u16(key.length), key, value);
}

/** Returns what comes before the bytes of one object. @param lengthBytes of the object. */
export function encodeObjectPrefix(contentId: Uint8Array, lengthBytes: number): Uint8Array<ArrayBuffer> {
  assertBytes("contentId", contentId, ID_BYTES);
  return concat(u8(OBJECT_FRAME), u64(ID_BYTES + lengthBytes), contentId);
}

/** Returns the frame that ends a backup. */
export function encodeEndFrame(records: number, objects = 0): Uint8Array<ArrayBuffer> {
  return concat(u8(END_FRAME), u64(END_BYTES), u64(records), u64(objects));
}

/** A record of a backup. */
export type BackupRecord = readonly [key: Uint8Array, value: Uint8Array];

/** What a backup holds, piece by piece. All records come before the first object [F-164]. */
export type BackupItem =
  | { readonly kind: "record"; readonly record: BackupRecord }
  /** Pieces of exactly this many bytes in all follow. */
  | { readonly kind: "object"; readonly contentId: Uint8Array; readonly lengthBytes: number }
  | { readonly kind: "piece"; readonly bytes: Uint8Array };

/** Takes the plaintext of a backup apart, in pieces of any length. Holds one record at most [F-164]. */
export class BackupFrames {
  readonly #hasObjects: boolean;
  #rest: Uint8Array = new Uint8Array(0);
  #records = 0;
  #objects = 0;
  /** Bytes of the present object that are still to come. */
  #objectBytes = 0;
  #hasEnded = false;

  constructor(hasObjects: boolean) {
    this.#hasObjects = hasObjects;
  }

  /** Returns what is now complete, in arrays of its own. @throws DamagedError. */
  push(plaintext: Uint8Array): BackupItem[] {
    const bytes = this.#rest.length === 0 ? plaintext : concat(this.#rest, plaintext);
    const items: BackupItem[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#objectBytes > 0) {
        const piece = bytes.slice(at, at + this.#objectBytes);
        this.#objectBytes -= piece.length;
        at += piece.length;
        items.push({ kind: "piece", bytes: piece });
        continue;
      }
      const taken = this.#frame(bytes.subarray(at), items);
      if (taken === 0) break;
      at += taken;
    }
    this.#rest = bytes.slice(at);
    return items;
  }

  /** Says that nothing follows. @returns the number of records. @throws DamagedError unless the end has come. */
  finish(): number {
    if (!this.#hasEnded || this.#rest.length > 0) throw damagedBackup("end");
    return this.#records;
  }

  /** Takes a frame, or the beginning of an object's. @returns how many bytes it has; 0 when more are needed. */
  #frame(bytes: Uint8Array, items: BackupItem[]): number {
    if (this.#hasEnded) throw damagedBackup("bytes after the end");
    if (bytes.length < FRAME_PREFIX_BYTES) return 0;
    const type = bytes[0] as number;
    const length = lengthOf(type, readU64(bytes, 1));
    const needed = FRAME_PREFIX_BYTES + (type === OBJECT_FRAME ? ID_BYTES : length);
    if (bytes.length < needed) return 0;
    const frame = bytes.subarray(FRAME_PREFIX_BYTES, needed);
    if (type === END_FRAME) this.#end(frame);
    else if (type === OBJECT_FRAME) this.#object(frame, length - ID_BYTES, items);
    else {
      if (this.#objects > 0) throw damagedBackup("order");
      this.#records += 1;
      items.push({ kind: "record", record: recordOf(frame) });
    }
    return needed;
  }

  #object(frame: Uint8Array, lengthBytes: number, items: BackupItem[]): void {
    if (!this.#hasObjects) throw damagedBackup("frame");
    this.#objects += 1;
    this.#objectBytes = lengthBytes;
    items.push({ kind: "object", contentId: frame.slice(), lengthBytes });
  }

  #end(frame: Uint8Array): void {
    if (readU64(frame, 0) !== this.#records || readU64(frame, 8) !== this.#objects) {
      throw damagedBackup("counts");
    }
    this.#hasEnded = true;
  }
}

/** The answer for a backup that is not whole, or not as it was made. */
export function damagedBackup(field: string, options: ErrorOptions = {}): DamagedError {
  return new DamagedError(
    `The backup is damaged or incomplete (${field}). Use another copy of it, or another backup.`,
    { ...options, details: { part: "backup", field } },
  );
}

function lengthOf(type: number, length: number | undefined): number {
  if (type === RECORD_FRAME && length !== undefined && length > 2 && length <= MAX_RECORD_BYTES)
    return length;
  if (type === OBJECT_FRAME && length !== undefined && length > ID_BYTES) return length;
  if (type === END_FRAME && length === END_BYTES) return length;
  throw damagedBackup("frame");
}

function recordOf(frame: Uint8Array): BackupRecord {
  const keyBytes = readU16(frame, 0);
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES || 2 + keyBytes > frame.length)
    throw damagedBackup("record");
  return [frame.slice(2, 2 + keyBytes), frame.slice(2 + keyBytes)];
}
