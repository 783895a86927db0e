/**
 * New data keys for what is stored already, for the case that one leaked: contents are written again, and each takes the
 * place of the old one in one step. Source: docs/format.md#store-contents.
 * @module
 */
import { equal } from "../bytes.ts";
import { isCofferError, NotFoundError } from "../errors.ts";
import type { EntryRecord } from "../formats/records/tables.ts";
import type { WalkedEntry } from "./listing.ts";
import type { OpenedFile } from "./read-content.ts";
import {
  type FoundFiles,
  type Outcome,
  renewAll,
  type StoreRenewOptions,
  untilNotOpenedAnew,
} from "./renew-contents.ts";
import type { StoreSession } from "./store-session.ts";

/** How many files have a new data key. */
export interface ReencryptedFiles {
  readonly files: number;
}

/** What encrypting anew needs beside the session. */
export interface Reencrypting {
  readonly signal: AbortSignal;
  readonly onUse: () => void;
  /** Finds what is to be encrypted anew. */
  readonly find: () => AsyncIterable<WalkedEntry>;
  /** Performs work while no name changes. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  readonly open: (entry: EntryRecord) => Promise<OpenedFile>;
}

/** See `FileStore.reencrypt`. */
export async function reencryptContents(
  session: StoreSession,
  options: StoreRenewOptions,
  reencrypting: Reencrypting,
): Promise<ReencryptedFiles> {
  session.assertWritable();
  const { signal, find, alone } = reencrypting;
  // Of one moment: what is moved from one directory to another while they are listed would be in neither.
  const list = async (): Promise<FoundFiles> => {
    const entries: EntryRecord[] = [];
    try {
      for await (const { record } of find())
        if (record.kind === "file" && record.size > 0) entries.push(record);
    } catch (error) {
      // What it hides is told when all else is done.
      const damaged = damagedNames(error);
      if (damaged === undefined) throw error;
      return { entries, damaged };
    }
    return { entries, damaged: 0 };
  };
  const found = await untilNotOpenedAnew(() => alone(list), signal);
  const counts = await renewAll(session, found, options, signal, (entry) =>
    session.use.keyChoice.shared(() => reencryptFile(session, entry, options.keyId, reencrypting), signal),
  );
  return { files: counts.renewed };
}

/** Returns how many names a listing could not give, if that is all that has ended it. */
function damagedNames(error: unknown): number | undefined {
  if (!isCofferError(error, "COFFER_DAMAGED") || error.details["reason"] !== "entries") return undefined;
  const { count } = error.details;
  return typeof count === "number" ? count : undefined;
}

async function reencryptFile(
  session: StoreSession,
  entry: EntryRecord,
  keyId: string | undefined,
  { signal, onUse, open }: Reencrypting,
): Promise<Outcome> {
  const { catalog, database } = session;
  // As it is by now: it may have been wrapped anew since it was listed.
  const present = catalog.present(database, entry);
  if (present === undefined || !equal(present.id, entry.id)) return "missed";
  let file: OpenedFile;
  try {
    file = await open(present);
  } catch (error) {
    // Removed or replaced since it was listed.
    if (catalog.isPresent(database, entry)) throw error;
    return "missed";
  }
  try {
    await session.put(
      { kind: "pieces", pieces: file.stream(), sizeBytes: file.size },
      { keyId: keyId ?? file.keyId, isDurable: true, signal, onUse },
      (change, content) => {
        if (!catalog.exchangeContent(change, entry, content)) throw new Superseded();
      },
    );
    return "renewed";
  } catch (error) {
    if (error instanceof Superseded) return "missed";
    throw error;
  } finally {
    await file.close();
  }
}

/** The name leads to another content by now, or to none. */
class Superseded extends NotFoundError {
  constructor() {
    super("The file was changed while it was encrypted anew.");
  }
}
