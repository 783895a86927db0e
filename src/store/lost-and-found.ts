/**
 * Gives what has lost its name, or its record, one again: an object carries its own data key, so the vault's CMKs tell
 * what it is. Nothing is removed, and nothing that has a name gets another one.
 * Source: docs/format.md#store-objects [F-239], #store-verification [F-243], [F-247].
 * @module
 */
import { fromHex, hex } from "../bytes.ts";
import { CofferError } from "../errors.ts";
import { type ContentRecord, TABLES } from "../formats/records/tables.ts";
import { FileReferences } from "../keystore/file-references.ts";
import { damagedEntries } from "./listing.ts";
import { learnContent } from "./read-content.ts";
import type { StoreSession } from "./store-session.ts";
import { settleIncoming } from "./sweep-incoming.ts";

/** The directory that takes up what has no name. */
const LOST_AND_FOUND = "lost+found";

/** What was found again. */
export interface RecoveredStore {
  /** Files that kept their name, and whose content has its record again. */
  readonly rejoined: number;
  /** Paths of contents and directories that have a name again, in `lost+found`. */
  readonly attached: readonly string[];
  /** Content ids, in hexadecimal digits, of what is missing, does not open, or is not what its name says. It stays. */
  readonly unopened: readonly string[];
}

/** See `FileStore.recover`. No name may be given, moved or removed meanwhile; contents may be exchanged. */
export async function recoverLost(session: StoreSession, signal: AbortSignal): Promise<RecoveredStore> {
  session.assertWritable();
  // What becomes garbage from now on stays listed as such until this ends.
  const release = session.use.hold();
  try {
    await session.garbage.collect();
    return await new Recovery(session, await gatherReferences(session, signal), signal).run();
  } finally {
    release();
  }
}

class Recovery {
  readonly #session: StoreSession;
  readonly #references: FileReferences;
  readonly #signal: AbortSignal;
  readonly #attached: string[] = [];
  readonly #unopened: string[] = [];
  #rejoined = 0;

  constructor(session: StoreSession, references: FileReferences, signal: AbortSignal) {
    this.#session = session;
    this.#references = references;
    this.#signal = signal;
  }

  async run(): Promise<RecoveredStore> {
    for (const [id, size] of this.#references.withoutContent) await this.#rejoin(id, size);
    const folder = freeFolder(this.#session);
    for (const id of await this.#nameless()) await this.#attachContent(folder, id);
    for (const id of await this.#namelessIncoming()) await this.#attachIncoming(folder, id);
    for (const id of this.#references.lostDirectories) await this.#attachDirectory(folder, id);
    await settleIncoming(this.#session);
    return { rejoined: this.#rejoined, attached: this.#attached, unopened: this.#unopened };
  }

  /** Contents that have a record and no name, and objects that have neither. */
  async #nameless(): Promise<ReadonlySet<string>> {
    const { use, objects } = this.#session;
    const found = new Set(this.#references.withoutEntry);
    for await (const stored of objects.stored()) {
      for (const { id } of stored.objects) if (!this.#isKnown(hex(id))) found.add(hex(id));
    }
    for (const id of found) if (use.isWriting(fromHex(id))) found.delete(id);
    return found;
  }

  /** Objects on their way that have neither record nor name, and that nobody writes. */
  async #namelessIncoming(): Promise<readonly string[]> {
    const { use, objects } = this.#session;
    const incoming = await objects.incoming();
    return incoming.objects
      .filter(({ id }) => !use.isWriting(id))
      .map(({ id }) => hex(id))
      .filter((id) => !this.#isKnown(id));
  }

  #isKnown(id: string): boolean {
    const { contents, garbage } = this.#references.objects;
    return contents.has(id) || garbage.has(id) || this.#references.withoutContent.has(id);
  }

  async #rejoin(id: string, size: number): Promise<void> {
    const { catalog } = this.#session;
    const content = await this.#learn(id);
    if (content === undefined || content.length !== size) return void this.#unopened.push(id);
    await this.#session.change((change) => {
      if (catalog.content(change, content.id) !== undefined || catalog.isListed(change, content.id)) return;
      catalog.putContent(change, content);
      this.#rejoined += 1;
    });
  }

  async #attachContent(folder: string, id: string): Promise<void> {
    const { catalog } = this.#session;
    const content = await this.#learn(id);
    const expected = this.#references.objects.contents.get(id);
    const isOther = expected !== undefined && expected.headerTag !== (content && hex(content.headerTag));
    if (content === undefined || isOther) return void this.#unopened.push(id);
    const { length: size, headerTag } = content;
    await this.#session.change((change) => {
      // Named, or removed, since it was looked for.
      const hasRecord = catalog.content(change, content.id) !== undefined;
      if (hasRecord !== (expected !== undefined) || catalog.isListed(change, content.id)) return;
      catalog.putFile(change, [folder, id], { id: content.id, size, headerTag }, NEW_NAME);
      this.#attached.push(`${folder}/${id}`);
    });
  }

  /** One that is damaged is a write that was interrupted. One whose key does not serve goes to where none is removed. */
  async #attachIncoming(folder: string, id: string): Promise<void> {
    const learned = await this.#tryToLearn(id);
    if (!(learned instanceof CofferError)) return this.#attachContent(folder, id);
    if (learned.code === "COFFER_DAMAGED") return;
    const { objects } = this.#session;
    if (!(await objects.isPlaceTaken(fromHex(id)))) await objects.settle(fromHex(id));
    this.#unopened.push(id);
  }

  async #attachDirectory(folder: string, id: string): Promise<void> {
    this.#signal.throwIfAborted();
    await this.#session.change((change) => {
      const times = { created: change.nowMs, modified: change.nowMs };
      this.#session.catalog.linkDirectory(change, [folder, id], fromHex(id), times);
    });
    this.#attached.push(`${folder}/${id}`);
  }

  /** Returns undefined for what is not there or does not open. */
  async #learn(id: string): Promise<ContentRecord | undefined> {
    const learned = await this.#tryToLearn(id);
    return learned instanceof CofferError ? undefined : learned;
  }

  /** Returns why an object does not open. @throws IoError. */
  async #tryToLearn(id: string): Promise<ContentRecord | CofferError> {
    const { host, objects } = this.#session;
    this.#signal.throwIfAborted();
    try {
      return await learnContent(host, objects, fromHex(id), this.#signal);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof CofferError) || error.code === "COFFER_IO") throw error;
      return error;
    }
  }
}

const NEW_NAME = { overwrite: false, metadata: undefined };

/** @throws DamagedError where a record does not open: what it says is not known, and may be mended from a copy. */
async function gatherReferences(session: StoreSession, signal: AbortSignal): Promise<FileReferences> {
  const { database } = session;
  const references = new FileReferences();
  let damaged = 0;
  // Contents first: one that is named in between is seen without its record, not without its name.
  for await (const { record } of database.records(TABLES.contents, Uint8Array.of(TABLES.contents))) {
    signal.throwIfAborted();
    if (record === undefined) damaged += 1;
    else references.takeContent(record);
  }
  for await (const { record } of database.records(TABLES.entries, Uint8Array.of(TABLES.entries))) {
    signal.throwIfAborted();
    if (record === undefined) damaged += 1;
    else references.takeEntry(record);
  }
  for await (const { record } of database.records(TABLES.garbage, Uint8Array.of(TABLES.garbage))) {
    if (record === undefined) damaged += 1;
    else references.takeGarbage(record);
  }
  if (damaged > 0) throw damagedEntries(damaged);
  return references;
}

/** Somebody may have a file of this name. */
function freeFolder({ catalog, database }: StoreSession): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? LOST_AND_FOUND : `${LOST_AND_FOUND} ${number}`;
    if (catalog.find(database, [name])?.kind !== "file") return name;
  }
}
