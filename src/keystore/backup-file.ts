/**
 * The bytes of a backup file: made of records, and read again, from its first byte to its last.
 * Source: docs/format.md#backup [F-160…F-165].
 * @module
 */
import { concat } from "../bytes.ts";
import { AuthenticationError, MalformedError } from "../crypto/failures.ts";
import { createFloe, FLOE_HEADER_BYTES, type FloeInput, openFloe } from "../crypto/floe.ts";
import { FloeOpener, FloeSealer } from "../crypto/floe-in-order.ts";
import { FloeSegments } from "../crypto/floe-segments.ts";
import { isCofferError } from "../errors.ts";
import {
  BACKUP_PREAMBLE_BYTES,
  BACKUP_SEGMENT_BYTES,
  BackupFrames,
  type BackupItem,
  type BackupPreamble,
  damagedBackup,
  encodeBackupHead,
  MIN_BACKUP_BODY_BYTES,
  parseBackupPreamble,
} from "../formats/backup.ts";
import { type ParsedHeader, parseHeader, verifyHeaderMac } from "../formats/header.ts";
import { backupBodyAad, backupKey } from "../formats/key-schedule.ts";
import { wipe } from "../secret.ts";
import type { VaultKeys } from "./vault-keys.ts";

/** Reads exactly this many bytes from this position. */
export type ReadExactly = (lengthBytes: number, position: number) => Promise<Uint8Array>;

const READ_BYTES = 1_048_576;

/** What comes before a backup's body. Unauthenticated until the body has opened. */
export interface BackupHead extends BackupPreamble {
  /** The header of the moment at which the backup was made: its slots are those of the backup, for ever. */
  readonly header: ParsedHeader;
  /** Preamble and header image. */
  readonly bytes: Uint8Array;
}

/** Returns the bytes of a backup, piece by piece. @param frames its plaintext. */
export async function* sealBackup(
  head: Omit<BackupPreamble, "headerBytes">,
  header: ParsedHeader,
  keys: VaultKeys,
  frames: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const bytes = encodeBackupHead(head, header.bytes);
  const key = backupKey(keys.root, header.vaultId, head.backupId);
  const floe = createFloe(key, inputOf(bytes));
  wipe(key);
  const segments = new FloeSegments(floe.keys);
  try {
    yield concat(bytes, floe.header);
    const sealer = new FloeSealer(segments);
    for await (const frame of frames) yield* sealer.push(frame);
    yield sealer.finish();
  } finally {
    segments.close();
  }
}

/**
 * Reads what comes before the body. No secret is needed, and no more memory than two headers.
 * @throws UnsupportedFormatError for what is no backup, or of a later version. @throws DamagedError.
 */
export async function readBackupHead(read: ReadExactly, fileBytes: number): Promise<BackupHead> {
  const start = await read(Math.min(BACKUP_PREAMBLE_BYTES, fileBytes), 0);
  const preamble = parseBackupPreamble(start);
  const bodyAt = BACKUP_PREAMBLE_BYTES + preamble.headerBytes;
  if (fileBytes < bodyAt + MIN_BACKUP_BODY_BYTES) throw damagedBackup("length");
  const image = await read(preamble.headerBytes, BACKUP_PREAMBLE_BYTES);
  return { ...preamble, header: parseImage(image), bytes: concat(start, image) };
}

/** @throws DamagedError unless the header image was written with the root key of these keys. */
export function assertOwnBackup({ header }: BackupHead, keys: VaultKeys): void {
  if (!verifyHeaderMac(header, keys.header)) throw damagedBackup("header");
}

/**
 * Reads all records and objects, each piece after its segment has opened; the backup is whole only when this has come to its end.
 * @param done told how many bytes of the file were read.
 * @throws DamagedError for anything that is not as it was made.
 */
export async function* openBackup(
  head: BackupHead,
  keys: VaultKeys,
  read: ReadExactly,
  fileBytes: number,
  done: (lengthBytes: number) => void,
): AsyncGenerator<BackupItem[]> {
  let at = head.bytes.length;
  const floeHeader = await read(FLOE_HEADER_BYTES, at);
  const segments = openSegments(head, keys, floeHeader);
  try {
    const opener = new FloeOpener(segments);
    const frames = new BackupFrames(head.hasObjects);
    for (at += FLOE_HEADER_BYTES; at < fileBytes;) {
      const sealed = await read(Math.min(READ_BYTES, fileBytes - at), at);
      at += sealed.length;
      for (const plaintext of opened(() => opener.push(sealed))) yield frames.push(plaintext);
      done(sealed.length);
    }
    yield frames.push(opened(() => opener.finish()));
    frames.finish();
  } finally {
    segments.close();
  }
}

function openSegments(head: BackupHead, keys: VaultKeys, floeHeader: Uint8Array): FloeSegments {
  const key = backupKey(keys.root, head.header.vaultId, head.backupId);
  try {
    return opened(() => new FloeSegments(openFloe(key, inputOf(head.bytes), floeHeader)));
  } finally {
    wipe(key);
  }
}

function inputOf(head: Uint8Array): FloeInput {
  return { aad: backupBodyAad(head), segmentBytes: BACKUP_SEGMENT_BYTES };
}

function opened<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof AuthenticationError) && !(error instanceof MalformedError)) throw error;
    throw damagedBackup("body", { cause: error });
  }
}

function parseImage(image: Uint8Array): ParsedHeader {
  try {
    return parseHeader(image);
  } catch (error) {
    if (!isCofferError(error, "COFFER_DAMAGED")) throw error;
    throw damagedBackup("header", { cause: error });
  }
}
