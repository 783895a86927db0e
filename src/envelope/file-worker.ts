/**
 * Worker of worker-pool.ts: seals or opens stretches of files, reading and writing by position. Nothing but numbers goes
 * through the main thread.
 * @module
 */
import { parentPort } from "node:worker_threads";
import { FloeSegments } from "../crypto/floe-segments.ts";
import { blockingCalls, createFileSystem, type FileHandle, type OpenFlags } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { sourceChanged } from "./file-failures.ts";
import { releaseMemory } from "../crypto/released-memory.ts";
import { workOnRanges } from "./segment-ranges.ts";
import {
  type NamedFile,
  RELEASE,
  SharedProgress,
  toFailure,
  type WorkerAnswer,
  type WorkerJob,
} from "./worker-job.ts";

/** Half a millisecond of work. */
const BLOCK_BYTES = 1_048_576;
/** Half of what may lie free at the end of the heap. */
const KEPT_BYTES = 8_388_608;

/** This thread has nothing else to do. */
const fileSystem = createFileSystem(blockingCalls);

async function perform(job: WorkerJob): Promise<void> {
  const shared = new SharedProgress(job.shared);
  const segments = new FloeSegments(job.keys);
  const handles: FileHandle[] = [];
  try {
    const { plan, end } = job;
    // Nothing is opened where others have taken all.
    const first = shared.take(plan, end);
    if (first === undefined) return;
    const source = await openSame(job.source, "read-follow", handles);
    const target = await openSame(job.target, "update", handles);
    let next: typeof first | undefined = first;
    await workOnRanges({
      plan,
      blockBytes: BLOCK_BYTES,
      source,
      target,
      segments,
      nextRange() {
        const range = next ?? shared.take(plan, end);
        next = undefined;
        return range;
      },
      onBytes: (bytes) => shared.add(bytes),
      isStopped: () => shared.isStopped,
    });
  } catch (error) {
    shared.stop();
    throw error;
  } finally {
    segments.close();
    for (const handle of handles) await handle.close().catch(() => undefined);
  }
}

/** A path may lead elsewhere by now: the file must be the one that the main thread has open. */
async function openSame(file: NamedFile, flags: OpenFlags, handles: FileHandle[]): Promise<FileHandle> {
  let isSame: boolean;
  let handle: FileHandle;
  try {
    handle = await fileSystem.open(file.path, flags);
    handles.push(handle);
    const { device, inode } = handle.opened;
    isSame = device === file.device && inode === file.inode;
  } catch (error) {
    throw ioError(error, flags === "update" ? "write the destination" : "read the source", file.path);
  }
  if (!isSame) throw sourceChanged();
  return handle;
}

/**
 * Lets glibc keep memory that is freed, instead of giving it back to the system at each block: it does so once something
 * large was freed. Nothing of it is ever touched.
 */
function keepFreedMemory(): void {
  releaseMemory([new Uint8Array(KEPT_BYTES)]);
}

if (parentPort !== null) {
  const port = parentPort;
  keepFreedMemory();
  const say = (answer: WorkerAnswer): void => port.postMessage(answer);
  // One job after another: all workers are on the same file, and memory stays that of one.
  let queue = Promise.resolve();
  port.on("message", (job: WorkerJob) => {
    queue = queue.then(async () => {
      try {
        await perform(job);
        say({ type: "done", id: job.id });
      } catch (error) {
        say({ type: "done", id: job.id, failure: toFailure(error) });
      }
    });
  });
  say({ type: "ready", release: RELEASE });
}
