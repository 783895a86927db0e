/**
 * A store engine on a simulated disk, with LevelDB's habits: opening alone rewrites its folder (the log is read, a
 * new file is written, CURRENT points to it, the old one goes), a batch is appended to a file and flushed, a torn
 * batch at the end is passed over, and after a failed write every other one fails until it is opened anew.
 * @module
 */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { concat, fromUtf8, utf8 } from "../../src/bytes.ts";
import { DamagedError } from "../../src/errors.ts";
import { type FileHandle, type FileSystem, hasErrno } from "../../src/storage/file-system.ts";
import { ioError } from "../../src/storage/io-error.ts";
import { openMemoryStore } from "../../src/storage/memory-store.ts";
import {
  type Store,
  StoreClosedError,
  StoreFailedError,
  type StoreOperation,
} from "../../src/storage/store.ts";

const MAX_BYTES = 1 << 24;

/** Calls of the engine that can be made to fail. A `write` that failed may be on the disk all the same. */
export type EngineCall = "engine open" | "engine write" | "engine write, then failure";

export interface SimulatedEngineOptions {
  readonly create: boolean;
  /** Called before each; throws to make it fail. */
  readonly before: (call: EngineCall) => void;
}

export async function openSimulatedEngine(
  fs: FileSystem,
  directory: string,
  { create, before }: SimulatedEngineOptions,
): Promise<Store> {
  try {
    before("engine open");
    if (create) {
      await fs.mkdir(directory);
      await start(fs, directory, 1, []);
    }
    const store = openMemoryStore();
    const number = Number(fromUtf8(await fs.readFile(join(directory, "CURRENT"), { maxBytes: 16 })));
    const content = await fs.readFile(fileName(directory, number), { maxBytes: MAX_BYTES });
    for (const batch of decodeBatches(content)) await store.write(batch);
    const whole: StoreOperation[] = [];
    for await (const [key, value] of store.entries()) whole.push({ type: "put", key, value });
    const file = await start(fs, directory, number + 1, whole);
    await fs.unlink(fileName(directory, number));
    return new SimulatedEngine(store, file, before);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR") || error instanceof RangeError) {
      throw new DamagedError("the database is damaged", { cause: error, details: { part: "database" } });
    }
    throw ioError(error, "open the database");
  }
}

class SimulatedEngine implements Store {
  readonly #memory: Store;
  readonly #file: FileHandle;
  readonly #before: (call: EngineCall) => void;
  #end = 0;
  #failure: StoreFailedError | undefined;
  #isClosed = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(memory: Store, file: FileHandle, before: (call: EngineCall) => void) {
    this.#memory = memory;
    this.#file = file;
    this.#before = before;
  }

  get: Store["get"] = (key) => this.#memory.get(key);
  entries: Store["entries"] = (range) => this.#memory.entries(range);
  snapshot: Store["snapshot"] = () => this.#memory.snapshot();
  compact: Store["compact"] = (start, end) => this.#memory.compact(start, end);

  write(batch: readonly StoreOperation[]): Promise<void> {
    if (this.#isClosed) throw new StoreClosedError();
    const bytes = encodeBatch(batch);
    const writing = this.#writing.then(() => this.#append(bytes));
    this.#writing = writing.catch(() => undefined);
    return writing;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writing;
    await this.#memory.close();
    await this.#file.close();
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#before("engine write");
      if (this.#end === 0) this.#end = (await this.#file.stat()).size;
      await this.#file.write(bytes, this.#end);
      await this.#file.sync();
      this.#end += bytes.length;
      this.#before("engine write, then failure");
      for (const batch of decodeBatches(bytes)) await this.#memory.write(batch);
    } catch (error) {
      const { message, details } = ioError(error, "write to the database");
      this.#failure = new StoreFailedError(message, { cause: error, details });
      throw this.#failure;
    }
  }
}

function fileName(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(6, "0")}.log`);
}

/** Writes a new file with one batch, and lets CURRENT point to it. */
async function start(
  fs: FileSystem,
  directory: string,
  number: number,
  batch: readonly StoreOperation[],
): Promise<FileHandle> {
  const path = fileName(directory, number);
  // What an open that was cut short has left.
  await fs.removeTree(path);
  const file = await fs.open(path, "create");
  const bytes = encodeBatch(batch);
  await file.write(bytes, 0);
  await file.sync();
  const temporary = join(directory, `${number}.dbtmp`);
  await fs.removeTree(temporary);
  const current = await fs.open(temporary, "create");
  await current.write(utf8(String(number)), 0);
  await current.sync();
  await current.close();
  // CURRENT must not name a file that is not there.
  await fs.syncDirectory(directory);
  await fs.rename(temporary, join(directory, "CURRENT"));
  await fs.syncDirectory(directory);
  return file;
}

/** `u32 length ‖ u32 CRC-32 ‖ (u8 1 ‖ u16 key ‖ u32 value | u8 0 ‖ u16 key)…`, big-endian. */
function encodeBatch(batch: readonly StoreOperation[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const operation of batch) {
    const head = Buffer.alloc(7);
    head.writeUInt16BE(operation.key.length, 1);
    if (operation.type === "put") {
      head[0] = 1;
      head.writeUInt32BE(operation.value.length, 3);
      parts.push(head, operation.key, operation.value);
    } else {
      parts.push(head, operation.key);
    }
  }
  const body = concat(...parts);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length, 0);
  head.writeUInt32BE(crc32(body), 4);
  return concat(head, body);
}

/** Returns all whole batches; ends at the first that is not. */
function decodeBatches(bytes: Uint8Array): StoreOperation[][] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const batches: StoreOperation[][] = [];
  for (let at = 0; at + 8 <= buffer.length;) {
    const end = at + 8 + buffer.readUInt32BE(at);
    if (end > buffer.length || crc32(buffer.subarray(at + 8, end)) !== buffer.readUInt32BE(at + 4)) break;
    batches.push(decodeBatch(buffer.subarray(at + 8, end)));
    at = end;
  }
  return batches;
}

function decodeBatch(body: Buffer): StoreOperation[] {
  const batch: StoreOperation[] = [];
  for (let at = 0; at < body.length;) {
    const keyEnd = at + 7 + body.readUInt16BE(at + 1);
    const end = keyEnd + body.readUInt32BE(at + 3);
    const key = body.subarray(at + 7, keyEnd);
    if (body[at] === 1) batch.push({ type: "put", key, value: body.subarray(keyEnd, end) });
    else batch.push({ type: "delete", key });
    at = end;
  }
  return batch;
}
