/**
 * Who can open a file: rewrap, share, unshare. Only the key areas are written, one after the other, so that at any
 * moment one of them is whole. In one process changes of one file wait for each other; several processes that change one
 * file at once are not kept apart: the last one counts, and may undo what the other said was done. Source: docs/format.md#key-areas [F-211] [F-218].
 * @module
 */
import { InvalidArgumentError, LimitExceededError, NotFoundError } from "../errors.ts";
import { type KeyEntry, keyEntryId, MAX_KEY_ENTRIES } from "../formats/key-area.ts";
import { wipe } from "../secret.ts";
import { hasErrno } from "../storage/file-system.ts";
import { ioError } from "../storage/io-error.ts";
import { makeArea } from "./beginning.ts";
import type { EnvelopeGround } from "./envelope-ground.ts";
import { replacedMeanwhile } from "./file-failures.ts";
import type { ContextOptions } from "./file-options.ts";
import { inFileTurn } from "./file-turns.ts";
import type { FileBinding, KeyAccess } from "./key-access.ts";
import { type OpenedEnvelope, openEnvelope } from "./open-envelope.ts";
import type { SourceFile } from "./source-file.ts";

export interface RewrapOptions extends ContextOptions {
  /** Also removes every other entry. @defaultValue false */
  readonly removeOthers?: boolean | undefined;
}

/** For whoever may move the file himself meanwhile, and lets nobody replace it. */
interface OwnFileOptions {
  /** Leaves out the look at the path at the end. @defaultValue false */
  readonly mayBeMoved?: boolean;
}

/**
 * Replaces the entry that `access` opens by a new one of `access`. The body stays byte for byte; the old entry is in
 * neither area when the promise resolves. Who had the data key keeps it.
 * @throws SourceChangedError when the path leads to another file by then; so do the other changes.
 */
export async function rewrapFileWith(
  ground: EnvelopeGround,
  access: KeyAccess,
  path: string,
  options: RewrapOptions & OwnFileOptions,
): Promise<void> {
  await changeEntries(ground, access, path, options, async (opened, binding) => {
    const entry = await access.wrap(opened.dek, binding);
    if (options.removeOthers === true) return [entry];
    // The new key may have had an entry before.
    const others = opened.area.entries.filter((other) => other !== opened.entry && !isSameId(other, entry));
    return [entry, ...others];
  });
}

/** Adds an entry that `recipient` can open. @returns its id, for unshare. */
export async function shareFileWith(
  ground: EnvelopeGround,
  access: KeyAccess,
  path: string,
  options: ContextOptions & { readonly recipient: KeyAccess },
): Promise<string> {
  let id = "";
  await changeEntries(ground, access, path, options, async (opened, binding) => {
    const { entries } = opened.area;
    if (entries.length >= MAX_KEY_ENTRIES) {
      throw new LimitExceededError(
        `A file has at most ${MAX_KEY_ENTRIES} key entries. Remove one with unshareFile first.`,
        { details: { limit: MAX_KEY_ENTRIES } },
      );
    }
    const entry = await options.recipient.wrap(opened.dek, binding);
    id = keyEntryId(entry);
    return [...entries.filter((other) => !isSameId(other, entry)), entry];
  });
  return id;
}

/** Removes an entry by its id. @throws NotFoundError. @throws InvalidArgumentError for the only one. */
export async function unshareFileWith(
  ground: EnvelopeGround,
  access: KeyAccess,
  path: string,
  options: ContextOptions & { readonly entryId: string },
): Promise<void> {
  await changeEntries(ground, access, path, options, async ({ area }) => {
    const wanted = options.entryId.replaceAll("-", "").toLowerCase();
    const left = area.entries.filter((entry) => keyEntryId(entry) !== wanted);
    if (left.length === area.entries.length) {
      throw new NotFoundError("This file has no key entry of that id. fileInfo tells which there are.");
    }
    if (left.length === 0) {
      throw new InvalidArgumentError(
        "This is the only key entry of the file: without it nobody could open the file. Add another one first.",
        { details: { reason: "last-entry" } },
      );
    }
    return left;
  });
}

type Plan = (opened: OpenedEnvelope, binding: FileBinding) => Promise<readonly KeyEntry[]>;

async function changeEntries(
  { fs, report }: EnvelopeGround,
  access: KeyAccess,
  path: string,
  options: ContextOptions & OwnFileOptions,
  plan: Plan,
): Promise<void> {
  const { signal, encryptionContext, mayBeMoved = false } = options;
  signal?.throwIfAborted();
  const file = await openForUpdate(fs, path);
  const change = async (): Promise<void> => {
    signal?.throwIfAborted();
    const opened = await openEnvelope(file, { access, context: encryptionContext, report, signal });
    try {
      const { head, context, area, dek } = opened;
      const entries = await plan(opened, { fileId: head.fileId, context, signal });
      const bytes = makeArea(dek, head, { generation: area.generation + 1, entries });
      signal?.throwIfAborted();
      // From here on it is done to the end: half of a change would leave the old entry behind.
      await writeAreas(file, opened, bytes);
      if (!mayBeMoved) await assertInPlace(fs, file);
    } finally {
      wipe(opened.dek);
      opened.segments.close();
    }
  };
  try {
    // Each begins from what the one before has left.
    await inFileTurn(file.stats, change);
  } finally {
    await file.handle.close().catch(() => undefined);
  }
}

async function openForUpdate(fs: EnvelopeGround["fs"], path: string): Promise<SourceFile> {
  try {
    // The path that a person gave may lead through links; what is opened for writing may not.
    const handle = await fs.open(await fs.realpath(path), "update");
    return { path, handle, stats: handle.opened };
  } catch (error) {
    throw ioError(error, "open the encrypted file", path);
  }
}

async function writeAreas(
  { handle, path }: SourceFile,
  { offsets, areaBytes, differingAreas }: OpenedEnvelope,
  bytes: Uint8Array,
): Promise<void> {
  try {
    // What is damaged, or was left by a change that was cut, comes first: the good area is the only one until then.
    const writes = [
      ...differingAreas.map((at) => [areaBytes, at] as const),
      ...offsets.areas.map((at) => [bytes, at] as const),
    ];
    for (const [content, at] of writes) {
      await handle.write(content, at);
      await handle.sync();
    }
  } catch (error) {
    throw ioError(error, "write the key areas", path);
  }
}

/** What takes the file's place waits for no turn, and a change of a file that nobody finds any more is none. */
async function assertInPlace(fs: EnvelopeGround["fs"], { path, stats }: SourceFile): Promise<void> {
  try {
    const { device, inode } = await fs.stat(path);
    if (device === stats.device && inode === stats.inode) return;
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR")) throw ioError(error, "look at the encrypted file", path);
  }
  throw replacedMeanwhile();
}

function isSameId(a: KeyEntry, b: KeyEntry): boolean {
  return keyEntryId(a) === keyEntryId(b);
}
