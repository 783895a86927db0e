/**
 * Copies of files and directories. A copied directory is filled while no name leads to it, listed as garbage so that
 * a crash leaves nothing, and gets its name in one step at the end.
 * @module
 */
import { randomId } from "../crypto/random.ts";
import { equal } from "../bytes.ts";
import { Progress, type ProgressListener } from "../envelope/progress.ts";
import { InvalidArgumentError } from "../errors.ts";
import type { EntryRecord } from "../formats/records/tables.ts";
import { nothingThere, type PutOptions } from "./catalog.ts";
import { walkEntries } from "./listing.ts";
import type { OpenedFile } from "./read-content.ts";
import type { StoreSession } from "./store-session.ts";

export interface CopyTreeOptions {
  /** @defaultValue of each file the one that it is under */
  readonly keyId?: string | undefined;
  readonly overwrite?: boolean | undefined;
  readonly durability?: "durable" | "relaxed" | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal: AbortSignal;
  readonly onUse: () => void;
  readonly open: (entry: EntryRecord) => Promise<OpenedFile>;
  /** Performs a change in turn with those that look into directories. */
  readonly commit: <T>(work: () => Promise<T>) => Promise<T>;
}

/** See `FileStore.copy`. */
export async function copyTree(
  session: StoreSession,
  from: readonly string[],
  to: readonly string[],
  options: CopyTreeOptions,
): Promise<void> {
  session.assertWritable();
  const { catalog, database } = session;
  const { overwrite = false } = options;
  const source = catalog.find(database, from);
  const target = catalog.find(database, to);
  if (source === undefined) throw from.length === 0 ? rootCopied() : nothingThere();
  if (to.length === 0 || (target !== undefined && !(overwrite && source.kind === "file")))
    catalog.refuse(target);
  if (source.kind === "directory") return copyDirectory(session, source, from, to, options);
  // A file onto itself stays what it is.
  if (target !== undefined && equal(target.id, source.id)) return;
  const progress = new Progress(options.onProgress, source.size);
  const onEnd = (): Promise<void> => progress.finish();
  if (!(await copyFile(session, source, to, { ...options, overwrite, progress, onEnd })))
    throw nothingThere();
}

async function copyDirectory(
  session: StoreSession,
  source: EntryRecord,
  from: readonly string[],
  to: readonly string[],
  options: CopyTreeOptions,
): Promise<void> {
  const { catalog } = session;
  const { signal } = options;
  const id = randomId();
  const end = session.use.stage(id);
  try {
    // What is there at this moment: a copy into the directory itself must not copy the copy.
    const found = [];
    for await (const entry of walkEntries(session, from, source.id, { isDeep: true, signal }))
      found.push(entry);
    const progress = new Progress(
      options.onProgress,
      found.reduce((sum, { record }) => sum + record.size, 0),
    );
    await session.change((change) => catalog.list(change, id, "directory"));
    for (const { parts, record } of found) {
      signal.throwIfAborted();
      const place = parts.slice(from.length);
      if (record.kind === "directory") {
        await session.change((change) => void catalog.makeDirectory(change, place, id));
      } else {
        await copyFile(session, record, place, { ...options, overwrite: false, progress, below: id });
      }
    }
    await progress.finish();
    signal.throwIfAborted();
    await options.commit(() =>
      session.change((change) =>
        catalog.linkDirectory(change, to, id, { created: change.nowMs, modified: change.nowMs }),
      ),
    );
  } finally {
    end();
  }
}

/** @returns false when no file has the name any more: removed or moved since it was found, there is none to copy. */
async function copyFile(
  session: StoreSession,
  found: EntryRecord,
  to: readonly string[],
  options: CopyTreeOptions &
    Pick<PutOptions, "below"> & {
      readonly progress: Progress;
      readonly overwrite: boolean;
      /** Called when all of it was read, before the copy is there. */
      readonly onEnd?: () => Promise<void>;
    },
): Promise<boolean> {
  const { catalog, database, use } = session;
  const { signal, onUse, commit, durability = "durable", overwrite, below, progress, onEnd } = options;
  // Between the look at its key and the name of the copy no file is taken away from that key.
  return use.keyChoice.shared(async () => {
    // Written or wrapped anew since it was found: what is there now is copied.
    const source = catalog.present(database, found);
    if (source?.kind !== "file") return false;
    const { modified: modifiedAtMs, metadata } = source;
    const file = await options.open(source);
    try {
      await session.put(
        { kind: "pieces", pieces: counted(file.stream(), progress, onEnd), sizeBytes: file.size },
        { keyId: options.keyId ?? file.keyId, isDurable: durability === "durable", signal, onUse },
        (change, content) =>
          void catalog.putFile(change, to, { ...content, modifiedAtMs }, { overwrite, metadata, below }),
        commit,
      );
      return true;
    } finally {
      await file.close();
    }
  }, signal);
}

async function* counted(
  pieces: AsyncIterable<Uint8Array>,
  progress: Progress,
  onEnd?: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    yield piece;
    progress.add(piece.length);
  }
  await onEnd?.();
}

function rootCopied(): InvalidArgumentError {
  return new InvalidArgumentError(
    "The topmost directory cannot be copied into itself. Name something in it.",
    {
      details: { reason: "root" },
    },
  );
}
