/**
 * Argon2id, version 0x13, with no secret and no associated data (RFC 9106). The native `argon2` package runs it on
 * threads of its own; where that cannot load, or computes something else, `hash-wasm` runs it in a worker. Either way
 * the event loop stays free.
 * @module
 */
import { Worker } from "node:worker_threads";
import { assertBytes, copy, equal, fromHex, utf8 } from "../bytes.ts";
import { KdfLimitError, NativeModuleMissingError, OutOfMemoryError } from "../errors.ts";
import {
  ARGON2_MAX_LANES,
  ARGON2_MAX_MEMORY_KIB,
  ARGON2_MAX_PASSES,
  ARGON2_MIN_MEMORY_KIB,
  ARGON2_MIN_PASSES,
} from "../limits.ts";
import { wipe } from "../secret.ts";
import type { Argon2Answer, Argon2Task } from "./argon2id-worker.ts";
import { ownMemory } from "./own-memory.ts";

/** What one hash costs: `memoryKiB` × 1,024 bytes of memory, gone through `passes` times, by `lanes` threads. */
export interface Argon2Cost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
}

/** The least that {@link assertArgon2Cost} accepts. */
export type Argon2Floor = Pick<Argon2Cost, "memoryKiB" | "passes">;

export interface Argon2Input {
  /** 1 byte or more. Borrowed until the promise settles; never made a string. */
  readonly password: Uint8Array;
  /** 8 bytes or more. */
  readonly salt: Uint8Array;
  readonly cost: Argon2Cost;
  /** Length of the result, 4 to 64 bytes. */
  readonly lengthBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** Which package computes: the second takes two to three times as long, so that an upper layer may warn. */
export type Argon2Implementation = "argon2" | "hash-wasm";

/** 64 MiB, 3 passes: RFC 9106 §4, second recommended option. */
export const ARGON2_FLOOR: Argon2Floor = {
  memoryKiB: ARGON2_MIN_MEMORY_KIB,
  passes: ARGON2_MIN_PASSES,
};

/** What the algorithm itself needs; memory is 8 KiB a lane besides. */
const ALGORITHM_FLOOR: Argon2Floor = { memoryKiB: 8, passes: 1 };
const BYTES_PER_KIB = 1024;

type Hash = (input: Argon2Input) => Promise<Uint8Array>;

/**
 * Refuses a cost below the floor or above the ceilings of limits.ts, before any memory is allocated.
 * @param floor - a lower one is for tests of applications.
 * @throws KdfLimitError
 */
export function assertArgon2Cost(cost: Argon2Cost, floor: Argon2Floor = ARGON2_FLOOR): void {
  const { memoryKiB, passes, lanes } = cost;
  assertWithin("memoryKiB", memoryKiB, Math.max(floor.memoryKiB, 8 * lanes), ARGON2_MAX_MEMORY_KIB);
  assertWithin("passes", passes, floor.passes, ARGON2_MAX_PASSES);
  assertWithin("lanes", lanes, 1, ARGON2_MAX_LANES);
}

/**
 * Refuses a cost that this process cannot allocate now. Where the runtime does not say what is available, passes.
 * @throws OutOfMemoryError
 */
export function assertMemoryAvailable(cost: Argon2Cost, availableBytes?: number): void {
  const available = availableBytes ?? reportedAvailableBytes();
  if (available === undefined || cost.memoryKiB * BYTES_PER_KIB <= available) return;
  throw outOfMemory(cost, available);
}

/** Returns which implementation runs on this machine, after it has passed its known-answer check. */
export async function argon2Implementation(): Promise<Argon2Implementation> {
  return (await loaded()).implementation;
}

/**
 * Returns `lengthBytes` derived from the password, in a new array. Costs what `cost` says; check its floor with
 * {@link assertArgon2Cost} first, as only the ceilings are checked here. An abort rejects at once: a native hash runs
 * to its end unseen, a worker is ended.
 * @throws KdfLimitError, OutOfMemoryError (before the allocation or from it), NativeModuleMissingError.
 */
export async function argon2id(input: Argon2Input): Promise<Uint8Array<ArrayBuffer>> {
  assertBytes("password", input.password);
  assertBytes("salt", input.salt);
  assertLength("password", input.password.length, 1, 2 ** 32 - 1);
  assertLength("salt", input.salt.length, 8, 2 ** 32 - 1);
  assertLength("lengthBytes", input.lengthBytes, 4, 64);
  assertArgon2Cost(input.cost, ALGORITHM_FLOOR);
  input.signal?.throwIfAborted();
  assertMemoryAvailable(input.cost);
  const { hash } = await loaded(input.signal);
  input.signal?.throwIfAborted();
  return ownMemory(await hash(input));
}

let choice: Promise<Loaded> | undefined;

interface Loaded {
  readonly implementation: Argon2Implementation;
  readonly hash: Hash;
}

function loaded(signal?: AbortSignal): Promise<Loaded> {
  choice ??= load().catch((error: unknown) => {
    choice = undefined;
    throw error;
  });
  return signal === undefined ? choice : unlessAborted(choice, signal);
}

async function load(): Promise<Loaded> {
  const native = await loadNative();
  if (native !== undefined) return { implementation: "argon2", hash: native };
  if (await answersCorrectly(hashInWorker)) return { implementation: "hash-wasm", hash: hashInWorker };
  throw new NativeModuleMissingError(
    "Argon2id gives wrong answers on this runtime: neither `argon2` nor `hash-wasm` can be used. " +
      "Reinstall both packages, or use an official build of Node.js or Electron.",
  );
}

async function loadNative(): Promise<Hash | undefined> {
  try {
    const { hash: nativeHash, argon2id: type } = await import("argon2");
    const hash: Hash = async ({ password, salt, cost, lengthBytes, signal }) => {
      // The package copies a Buffer into a shared pool, but makes no copy of an ArrayBuffer. The addon itself copies
      // before this call returns, and wipes its copy.
      const own = copy(password);
      const running = nativeHash(own.buffer as unknown as Buffer, {
        raw: true,
        salt: Buffer.from(salt),
        type,
        version: 0x13,
        hashLength: lengthBytes,
        memoryCost: cost.memoryKiB,
        timeCost: cost.passes,
        parallelism: cost.lanes,
      }).catch((error: unknown) => {
        throw nativeFailure(error, cost);
      });
      wipe(own);
      return unlessAborted(running, signal);
    };
    return (await answersCorrectly(hash)) ? hash : undefined;
  } catch {
    return undefined;
  }
}

function hashInWorker({ password, salt, cost, lengthBytes, signal }: Argon2Input): Promise<Uint8Array> {
  const task: Argon2Task = { password: copy(password), salt: copy(salt), ...cost, lengthBytes };
  const worker = new Worker(new URL("./argon2id-worker.js", import.meta.url), {
    name: "coffer-argon2id",
    execArgv: [],
  });
  // A message, because Node prints what a worker is started with when NODE_DEBUG names workers.
  worker.postMessage(task, [task.password.buffer]);
  const running = new Promise<Uint8Array>((resolve, reject) => {
    worker.once("message", ({ tag, failure }: Argon2Answer) => {
      if (tag === undefined) reject(nativeFailure(new Error(failure), cost));
      else resolve(tag);
    });
    worker.once("error", (error: unknown) => reject(workerFailure(error, cost)));
    worker.once("exit", () => reject(workerFailure(new Error("the worker ended early"), cost)));
  });
  return unlessAborted(running, signal).finally(() => void worker.terminate());
}

/** Known answer of the Argon2 reference code: 256 KiB, 2 passes, 2 lanes. */
async function answersCorrectly(hash: Hash): Promise<boolean> {
  const tag = await hash({
    password: utf8("password"),
    salt: utf8("somesalt"),
    cost: { memoryKiB: 256, passes: 2, lanes: 2 },
    lengthBytes: 32,
  });
  return equal(tag, fromHex("6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"));
}

/** Settles as `running` does, or rejects with the signal's reason at once; a result that comes too late is wiped. */
function unlessAborted<T>(running: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return running;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason as Error);
      running.then(
        (late) => late instanceof Uint8Array && wipe(late),
        () => undefined,
      );
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    running.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * The reference code has one text for an allocation that fails and one for threads; WebAssembly names its memory, or
 * hash-wasm finds that it has not grown.
 */
function nativeFailure(error: unknown, cost: Argon2Cost): Error {
  const failure = error instanceof Error ? error : new Error(String(error));
  const isAllocation = /memory|bad_alloc|threading failure|typed array length/iu.test(failure.message);
  return isAllocation ? outOfMemory(cost, undefined, failure) : failure;
}

function workerFailure(error: unknown, cost: Argon2Cost): Error {
  const { code } = error as { code?: unknown };
  if (code === "ERR_WORKER_OUT_OF_MEMORY") return outOfMemory(cost, undefined, error);
  return new NativeModuleMissingError(
    "Argon2id cannot run: the package `argon2` does not load, and the worker with `hash-wasm` does not start. " +
      "Reinstall `argon2`; in a bundle, keep argon2id-worker.js beside the file that starts it.",
    { cause: error },
  );
}

function outOfMemory(cost: Argon2Cost, availableBytes?: number, cause?: unknown): OutOfMemoryError {
  const neededMiB = Math.ceil(cost.memoryKiB / BYTES_PER_KIB);
  const free =
    availableBytes === undefined ? "" : `, and ${Math.floor(availableBytes / 2 ** 20)} MiB are free`;
  return new OutOfMemoryError(
    `Deriving the key needs ${neededMiB} MiB of memory${free}. Close other programs, or use a machine with more.`,
    { details: { neededMiB }, ...(cause === undefined ? {} : { cause }) },
  );
}

function reportedAvailableBytes(): number | undefined {
  const { availableMemory } = process as { availableMemory?: () => number };
  return availableMemory?.();
}

function assertWithin(field: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new KdfLimitError(
    `Argon2id ${field} must be ${least} to ${most}, and is ${value}. Do not open this file unless you trust its source.`,
    { details: { field, least, most, value } },
  );
}

function assertLength(name: string, length: number, least: number, most: number): void {
  if (Number.isInteger(length) && length >= least && length <= most) return;
  throw new RangeError(`${name}: expected ${least} to ${most} bytes, got ${length}`);
}
