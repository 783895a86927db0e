/**
 * Looks through LevelDB's tables, and compares their checksums, which LevelDB itself does not look at: rot in an index or
 * a filter hides records from a search, and rot that reaches no record shows here first. Proves nothing: whoever alters
 * a table can set them right.
 * Source: LevelDB 1.20, doc/table_format.txt, util/crc32c.h.
 * @module
 */
import { join } from "node:path";
import type { FileSystem } from "./file-system.ts";
import { ioError } from "./io-error.ts";
import {
  BLOCK_TRAILER_BYTES,
  type BlockHandle,
  entryAt,
  FOOTER_BYTES,
  isFatalTable,
  isFinished,
  MAX_TABLE_BYTES,
  readHandle,
  restartsOf,
} from "./table-check.ts";

/** Castagnoli's polynomial, reflected. */
const POLYNOMIAL = 0x82f6_3b78;
const MASK_DELTA = 0xa282_ead8;

/** What is known of a database's tables before LevelDB reads them. */
export interface TableInspection {
  /** Name of one that would end the process. */
  readonly fatal: string | undefined;
  /** Blocks of finished tables that are not what LevelDB wrote. */
  readonly rottenBlocks: number;
}

/** Looks through the tables in `directory`, up to one that would end the process. Errors are those of the calls. */
export async function inspectTables(fs: FileSystem, directory: string): Promise<TableInspection> {
  let rottenBlocks = 0;
  for await (const [name, bytes] of tablesIn(fs, directory)) {
    if (isFatalTable(bytes)) return { fatal: name, rottenBlocks };
    if (isFinished(bytes)) rottenBlocks += rottenIn(bytes);
  }
  return { fatal: undefined, rottenBlocks };
}

/** Returns how many blocks of the tables in `directory` are not what LevelDB wrote. @throws CofferError `COFFER_IO`. */
export async function countRottenBlocks(fs: FileSystem, directory: string): Promise<number> {
  try {
    let rotten = 0;
    for await (const [, bytes] of tablesIn(fs, directory)) rotten += rottenIn(bytes);
    return rotten;
  } catch (error) {
    throw ioError(error, "read the database's tables", directory);
  }
}

async function* tablesIn(fs: FileSystem, directory: string): AsyncGenerator<[string, Uint8Array]> {
  for (const { name, kind } of await fs.readDirectory(directory)) {
    if (kind !== "file" || !/^\d+\.(?:ldb|sst)$/u.test(name)) continue;
    yield [name, await fs.readFile(join(directory, name), { maxBytes: MAX_TABLE_BYTES })];
  }
}

function rottenIn(bytes: Uint8Array): number {
  const table = CRC_TABLE;
  if (bytes.length < FOOTER_BYTES) return 1;
  const footer = bytes.length - FOOTER_BYTES;
  const meta = readHandle(bytes, footer);
  const index = meta && readHandle(bytes, meta.end);
  if (meta === undefined || index === undefined) return 1;
  const blocks: BlockHandle[] = [meta, index];
  for (const block of [meta, index]) if (isWithin(block, bytes)) blocks.push(...handlesIn(bytes, block));
  return blocks.filter((block) => !isWithin(block, bytes) || !isIntact(bytes, block, table)).length;
}

/** The blocks that an index names, as far as it can be read. */
function* handlesIn(bytes: Uint8Array, { offset, size }: BlockHandle): Generator<BlockHandle> {
  const limit = restartsOf(bytes, offset, offset + size);
  if (limit === undefined) return;
  for (let at = offset; at < limit;) {
    const entry = entryAt(bytes, at, limit);
    const handle = entry && readHandle(bytes, entry.valueStart);
    if (entry === undefined || handle === undefined) return;
    yield handle;
    at = entry.end;
  }
}

function isWithin({ offset, size }: BlockHandle, bytes: Uint8Array): boolean {
  return offset + size + BLOCK_TRAILER_BYTES <= bytes.length;
}

/** The trailer is `u8 type ‖ u32 masked CRC-32C of block and type`, little-endian. */
function isIntact(bytes: Uint8Array, { offset, size }: BlockHandle, table: Uint32Array): boolean {
  const end = offset + size + 1;
  let crc = 0xffff_ffff;
  for (let at = offset; at < end; at++) {
    crc = (table[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  crc = ~crc;
  const masked = (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
  return [0, 8, 16, 24].every((shift, index) => bytes[end + index] === ((masked >>> shift) & 0xff));
}

const CRC_TABLE: Uint32Array = /* @__PURE__ */ crcTable();

function crcTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    return crc;
  });
}
