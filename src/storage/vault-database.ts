/**
 * The database of an unlocked vault: changes are committed in groups, one at a time, and the header's sequence and
 * the database's witness keep each other from being rolled back.
 * Source: docs/format.md#commit [F-110…F-116].
 * @module
 */
import { copy } from "../bytes.ts";
import { IoError, isCofferError } from "../errors.ts";
import type { HeaderSlot, ParsedHeader, ParsedSlot } from "../formats/header.ts";
import { recordKey } from "../formats/records/record-key.ts";
import { encodeRecord, type StateRecord, TABLES } from "../formats/records/tables.ts";
import type { FileTable, RecordTable, TableRecords } from "../formats/records/tables.ts";
import { MAX_COMMIT_BYTES, MAX_COMMIT_CHANGES } from "../limits.ts";
import { wipe } from "../secret.ts";
import { type BelievedTime, believedTime } from "./believed-time.ts";
import { CommitQueue, type QueuedChange } from "./commit-queue.ts";
import { DatabaseSession, type FoundRecord, type StorageEvent } from "./database-session.ts";
import type { FileSystem } from "./file-system.ts";
import type { FileTableCheck } from "./file-tables.ts";
import type { HeaderCopies } from "./header-copies.ts";
import { HeaderWriter } from "./header-writer.ts";
import type { IndexRange } from "./record-index.ts";
import { removeTraces, TRACE_BYTES, type Traces } from "./remove-traces.ts";
import type { ReopenableStore } from "./reopenable-store.ts";
import {
  assertNotOlder,
  assertNotRolledBack,
  assertOwnAnchor,
  type GivenAnchor,
  numbersAbove,
} from "./rollback.ts";
import {
  type DatabaseKeys,
  dropOldDatabase,
  makeNewDatabase,
  type OpenDatabase,
  type RootChange,
} from "./root-change.ts";
import { isIndexed, operationsOf, sealChanges, type SealedChange } from "./sealed-change.ts";
import { StoreClosedError, type StoreSnapshot } from "./store.ts";
import { ChangeSet, type RecordReader, type Transaction } from "./transaction.ts";
import { databaseDirectory } from "./vault-directory.ts";

/** How far a clock may be behind the last change without a word. */
const CLOCK_TOLERANCE_MS = 3_600_000;

export interface VaultDatabaseOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  /** Opened when it is not yet; closed by the caller. */
  readonly engine: ReopenableStore;
  /** Copied. */
  readonly keys: DatabaseKeys;
  /** For a change of the root key. */
  readonly openDatabase: OpenDatabase;
  /** As read; the MAC of the chosen one is verified. */
  readonly copies: HeaderCopies;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly report: (event: StorageEvent) => void;
  /** Passes over what is damaged instead of refusing the whole; then nothing can be changed. */
  readonly isSalvage?: boolean;
  /** A state that must not be newer than what is opened. Not looked at by salvage. */
  readonly anchor?: GivenAnchor | undefined;
  /** Takes an older state as the truth from now on. */
  readonly acceptsRollback?: boolean | undefined;
  /** Asked before each commit, which its rejection refuses: the vault lock is ours, and nothing is kept for a way back. */
  readonly beforeCommit: () => Promise<void>;
}

/**
 * Told at once, before any later read, which LevelDB keys have durably changed; without keys when the database was
 * closed or opened anew, and anything may have changed.
 */
export type RecordObserver = (changedKeys: readonly Uint8Array[] | undefined) => void;

export class VaultDatabase implements RecordReader {
  readonly #observers: RecordObserver[] = [];
  readonly #options: VaultDatabaseOptions;
  #keys: DatabaseKeys;
  readonly #queue: CommitQueue<ChangeSet>;
  #session: DatabaseSession | undefined;
  #loading: Promise<DatabaseSession> | undefined;
  readonly #headers: HeaderWriter;
  /** A leap that an earlier session noted. */
  #earlierLeap: number | undefined;
  #hasWarnedOfClock = false;
  /** True while the database may not name the header that a slot change has made. */
  #owesWitness = false;
  /** True once header and database are known to be of one age. */
  #isJudged = false;

  private constructor(options: VaultDatabaseOptions) {
    this.#options = options;
    this.#keys = copyOf(options.keys);
    const { fs, directory, copies } = options;
    this.#headers = new HeaderWriter({ fs, directory, copies, headerKey: this.#keys.header });
    this.#queue = new CommitQueue((next) => this.#commitGroup(next));
  }

  /**
   * Opens and checks; writes nothing of its own, unless it accepts an older state.
   * @throws DamagedError, RolledBackError as docs/format.md#open has it. The engine stays as it is.
   */
  static async open(options: VaultDatabaseOptions): Promise<VaultDatabase> {
    const database = new VaultDatabase(options);
    try {
      const { state } = await database.#load(options.engine.current === undefined);
      database.#earlierLeap = state.leap;
      if (options.isSalvage !== true) await database.#judgeAge();
    } catch (error) {
      database.#wipe();
      throw error;
    }
    for (const [copy, condition] of options.copies.conditions.entries()) {
      if (condition === "good" || condition === "older") continue;
      const message = `Copy ${copy} of the vault header is ${condition}. The next change writes it anew.`;
      options.report({ type: "damage", message });
    }
    if (database.rottenBlocks > 0) options.report({ type: "damage", message: rotten(database.rottenBlocks) });
    return database;
  }

  get header(): ParsedHeader {
    return this.#headers.header;
  }

  get state(): StateRecord {
    return this.#reader.state;
  }

  /** The time at this moment as far as the clock is believed; warns once of a clock that is not. */
  time(): BelievedTime {
    const { clock, isSalvage } = this.#options;
    if (isSalvage === true) {
      const nowMs = clock();
      return { clockMs: nowMs, nowMs, latestMs: nowMs, isBelieved: false, leap: undefined };
    }
    const time = believedTime(clock(), this.state, this.#earlierLeap);
    if (!time.isBelieved) this.#warnOfClock(time);
    return time;
  }

  /** Blocks of the database that were altered on disk; with any, a look-up in a file table may miss what is there. */
  get rottenBlocks(): number {
    return this.#reader.store.inner.rottenBlocks ?? 0;
  }

  count(table: RecordTable): number {
    return this.#reader.count(table);
  }

  keys(range: IndexRange): Uint8Array[] {
    return this.#reader.keys(range);
  }

  get<T extends RecordTable>(table: T, key: Uint8Array): TableRecords[T] | undefined {
    return this.#reader.get(table, key);
  }

  /** See {@link DatabaseSession.records}. @throws IoError when the database was opened anew meanwhile. */
  async *records<T extends FileTable>(
    table: T,
    prefix: Uint8Array,
  ): AsyncGenerator<FoundRecord<TableRecords[T]>> {
    try {
      yield* this.#reader.records(table, prefix);
    } catch (error) {
      throw error instanceof StoreClosedError ? openedAnew(error) : error;
    }
  }

  /** Checks the file tables, or one, as they are between two commits; see {@link checkFileTables}. @throws IoError. */
  async checkFileTables(onRecord?: () => void, only?: FileTable): Promise<FileTableCheck[]> {
    // Its sums are taken before anything else can be committed.
    const { captured: check, snapshot } = await this.snapshot((_, session) =>
      session.fileTableCheck(onRecord, only),
    );
    try {
      return await check(snapshot);
    } catch (error) {
      throw error instanceof StoreClosedError ? openedAnew(error) : error;
    } finally {
      await snapshot.dispose();
    }
  }

  /**
   * Takes the file records that open for all that there are, alone between two commits: those that do not are
   * deleted. What was lost stays lost; what is left can be checked again.
   * @returns how many were deleted. @throws IoError.
   */
  acceptFileTables(): Promise<number> {
    return this.#queue.alone(async () => {
      const session = this.#session ?? (await this.#load(true));
      const checks = await session.fileTableCheck()(session.store.inner);
      const lost = checks.flatMap(({ unreadable }) => unreadable);
      if (checks.every(({ isSound }) => isSound)) return 0;
      await this.#options.beforeCommit();
      const witness = await this.#headers.settle();
      const sets = new Map(session.state.sets);
      for (const { table, readable } of checks) {
        if (readable.count === 0) sets.delete(table);
        else sets.set(table, readable);
      }
      const state = { ...session.state, sequence: session.state.sequence + 1, witness, sets };
      await this.#writeBatch(
        session,
        state,
        lost.map((key) => ({ key, value: undefined })),
      );
      return lost.length;
    });
  }

  /** The first bytes of a record's stored value, by which {@link VaultDatabase.removeTraces} finds it again. */
  traceOf(key: Uint8Array): Uint8Array | undefined {
    return this.#reader.store.inner.get(key)?.slice(0, TRACE_BYTES);
  }

  /**
   * Rewrites the files until what was removed is gone from them. Needs no key, so it goes on after the end, for as long
   * as the engine is open. @returns whether it is. @throws IoError.
   */
  async removeTraces(traces: Traces): Promise<boolean> {
    const { engine, fs, directory } = this.#options;
    const database = databaseDirectory(directory, this.header.database);
    return removeTraces(engine.current ?? this.#reader.store.inner, fs, database, traces);
  }

  /** Tells the vault's user. */
  report(event: StorageEvent): void {
    this.#options.report(event);
  }

  /** Observers do not throw, and stay until this object is dropped. */
  observe(observer: RecordObserver): void {
    this.#observers.push(observer);
  }

  /** True when reads work; else {@link VaultDatabase.ready} opens the database anew. */
  get isReady(): boolean {
    return this.#session !== undefined;
  }

  /** True while changes wait or are being committed. */
  get isBusy(): boolean {
    return this.#queue.isBusy;
  }

  /** Opens the database anew after a failure. @throws CofferError when that fails; a later call tries again. */
  async ready(): Promise<void> {
    if (this.#session === undefined) await this.#load(true);
  }

  /**
   * Commits one change; resolves with the plan's answer when the change is durable. Plans run one after another,
   * so what a plan reads is what its change is based on. A plan that throws changes nothing, and rejects with that.
   * @throws IoError when it could not be made durable; then nothing of it is there, unless its reason is
   *   `outcome-unknown`.
   */
  change<T>(plan: (transaction: Transaction) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let settle = (): void => reject(new Error("commit: settled before it was planned"));
      this.#queue.add({
        run(group) {
          try {
            const answer = group.plan(plan);
            settle = () => resolve(answer);
          } catch (error) {
            settle = () => reject(error);
          }
        },
        // What a plan answered or refused stands on the plans before it: when they failed, so has this one.
        settle(outcome) {
          if (outcome.committed) settle();
          else reject(outcome.reason);
        },
      });
    });
  }

  /**
   * Replaces the header's slots, alone between two commits, by what `plan` makes of them. When `plan` throws, or
   * the new header does not get into its place, the old slots stay and the promise rejects; what fails after that
   * is a warning, and is repeated with the next change and at the end. Source: docs/format.md#commit [F-110].
   */
  changeSlots(plan: (slots: readonly ParsedSlot[]) => readonly HeaderSlot[]): Promise<void> {
    return this.#queue.alone(async () => {
      const session = this.#session ?? (await this.#load(true));
      const slots = plan(this.header.slots);
      await this.#options.beforeCommit();
      await this.#headers.settle();
      const { sequence } = session.state;
      await this.#headers.commit(await this.#headers.prepare({ sequence, slots }));
      this.#owesWitness = true;
      await this.#nameHeader().catch((error: unknown) => this.#warnOfHeader(error));
    });
  }

  /**
   * Seals everything anew under another root key, alone between two commits, which wait meanwhile. When it rejects,
   * the old root key and all its slots stay; leftovers are removed, or swept at the next open.
   * @returns true once nothing of the old root key is on the disk; what then failed is a warning.
   * Source: docs/format.md#root-change.
   */
  changeRoot(change: RootChange): Promise<boolean> {
    return this.#queue.alone(async () => {
      const session = this.#session ?? (await this.#load(true));
      const database = this.header.database + 1;
      await this.#options.beforeCommit();
      const keys = copyOf(change.keys);
      const { convert, signal, slots } = change;
      const rewrite = {
        convert,
        signal,
        slots,
        keys,
        database,
        from: session,
        vaultId: this.header.vaultId,
        sequence: session.state.sequence + 1,
        witness: await this.#headers.settle(),
      };
      const made = await makeNewDatabase(this.#options, this.#headers, rewrite).catch((error: unknown) => {
        wipe(keys.header, keys.database, keys.set, keys.name);
        throw error;
      });
      // The new root key counts. Nothing is awaited until all of this object has gone over to it.
      const { engine, openDatabase } = this.#options;
      const old = engine.replace(made.engine, () => openDatabase(database, { create: false }));
      session.end();
      this.#session = made.session;
      const oldKeys = this.#keys;
      this.#keys = keys;
      wipe(oldKeys.header, oldKeys.database, oldKeys.set, oldKeys.name);
      change.adopt();
      this.#owesWitness = true;
      this.#notify(undefined);
      return dropOldDatabase(this.#options, database - 1, old, () => this.#nameHeader());
    });
  }

  /**
   * Brings the header up to date, alone between two commits, so that it names all that is durable.
   * @returns what it now says. @throws IoError.
   */
  publishState(): Promise<{ readonly header: ParsedHeader; readonly state: StateRecord }> {
    return this.#queue.alone(async () => {
      const session = this.#session ?? (await this.#load(true));
      await this.#options.beforeCommit();
      await this.#headers.settle();
      if (this.#owesWitness) await this.#nameHeader();
      const { state } = session;
      if (state.sequence > this.header.sequence) {
        await this.#headers.publish(await this.#headers.prepare({ sequence: state.sequence }));
      }
      return { header: this.header, state };
    });
  }

  /**
   * Takes header and database of one moment between two commits, and whatever `capture` reads then.
   * The snapshot is the caller's to dispose of.
   */
  snapshot<T>(
    capture: (header: ParsedHeader, session: DatabaseSession) => T,
  ): Promise<{ readonly snapshot: StoreSnapshot; readonly captured: T }> {
    return this.#queue.alone(async () => {
      const session = this.#session ?? (await this.#load(true));
      if (session.repairs.length > 0) {
        await this.#options.beforeCommit();
        await this.#nameHeader();
      }
      const captured = capture(this.header, this.#reader);
      return { captured, snapshot: this.#reader.store.inner.snapshot() };
    });
  }

  /**
   * Refuses what waits, lets a commit under way end, brings the header up to date, wipes the keys. The engine stays
   * open. Never rejects: what is durable is durable, and a header that could not be written is a warning.
   */
  async end(reason: Error): Promise<void> {
    await this.#queue.stop(reason);
    await this.#loading?.catch(() => undefined);
    try {
      await this.#bringHeaderUpToDate();
    } catch (error) {
      if (!isReadOnly(error)) this.#warnOfHeader(error);
    } finally {
      this.#wipe();
    }
  }

  get #reader(): DatabaseSession {
    if (this.#session !== undefined) return this.#session;
    throw new IoError("The database is closed after a failed write. Try again, and it is opened anew.");
  }

  /** Begins a session, once for all who ask at the same time. */
  #load(mustReopen: boolean): Promise<DatabaseSession> {
    this.#loading ??= this.#begin(mustReopen).finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #begin(mustReopen: boolean): Promise<DatabaseSession> {
    const { engine, report } = this.#options;
    const store = mustReopen || engine.current === undefined ? await engine.reopen() : engine.current;
    this.#session = await this.#beginSession(store, this.#keys, this.header, report);
    this.#notify(undefined);
    return this.#session;
  }

  /** How a session begins: an older state is judged once, when the vault opens. */
  get #beginSession(): typeof DatabaseSession.begin {
    if (this.#options.isSalvage === true) return DatabaseSession.salvage;
    return this.#options.acceptsRollback === true && !this.#isJudged
      ? DatabaseSession.beginAnyAge
      : DatabaseSession.begin;
  }

  /** @throws RolledBackError, unless an older state is to be accepted. */
  async #judgeAge(): Promise<void> {
    const { anchor, acceptsRollback } = this.#options;
    const { header, state } = this;
    this.#isJudged = true;
    if (anchor !== undefined) assertOwnAnchor(anchor);
    try {
      assertNotRolledBack(state, header);
      if (anchor !== undefined) assertNotOlder(state, header, anchor);
    } catch (error) {
      if (acceptsRollback !== true || !isCofferError(error, "COFFER_ROLLED_BACK")) throw error;
      await this.#acceptAge();
    }
  }

  /** Makes the state that was found the newest of all, as a key change without changes. */
  async #acceptAge(): Promise<void> {
    const session = this.#reader;
    await this.#options.beforeCommit();
    const witness = await this.#headers.settle();
    const { generation, sequence } = numbersAbove(session.state, this.header, this.#options.anchor);
    const header = await this.#headers.prepare({ sequence, generation });
    await this.#writeBatch(session, { ...session.state, sequence, witness }, []);
    await this.#headers.publish(header);
    // A newer header that was given up is older now, and must be known for it.
    await this.#nameHeader();
  }

  async #commitGroup(next: () => QueuedChange<ChangeSet> | undefined): Promise<void> {
    const session = this.#session ?? (await this.#load(true));
    const { nowMs, latestMs, leap } = this.time();
    const group = new ChangeSet(session, nowMs, latestMs);
    for (let taken = 0; taken < MAX_COMMIT_CHANGES && group.lengthBytes < MAX_COMMIT_BYTES; taken++) {
      const change = next();
      if (change === undefined) break;
      change.run(group);
    }
    const { sequence, leap: notedLeap, ...kept } = session.state;
    if (group.isEmpty && leap === notedLeap) return;
    await this.#options.beforeCommit();
    const witness = await this.#headers.settle();
    const changes = sealChanges(group, session.store);
    const state: StateRecord = {
      ...kept,
      sequence: sequence + 1,
      witness,
      time: nowMs,
      ...(leap !== undefined && { leap }),
      sets: session.setsAfter(changes),
    };
    // Files are many and their records need no protection of the header at each: the next key change names them.
    if (leap === notedLeap && changes.length > 0 && !changes.some(({ key }) => isIndexed(key))) {
      await this.#writeBatch(session, state, changes);
      return;
    }
    const header = await this.#headers.prepare({ sequence: state.sequence });
    await this.#writeBatch(session, state, changes);
    // The change is durable from here on: whatever fails now is a warning.
    try {
      await this.#headers.publish(header);
    } catch (error) {
      this.#warnOfHeader(error);
    }
  }

  /** What the last change could not do, or a crash before this session. */
  async #bringHeaderUpToDate(): Promise<void> {
    const isBehind = (): boolean => (this.#session?.state.sequence ?? 0) > this.header.sequence;
    if (!this.#headers.isTorn && !this.#owesWitness && !isBehind()) return;
    // Without the lock somebody else may have written a newer one.
    await this.#options.beforeCommit();
    if (this.#headers.isTorn) await this.#headers.settle();
    if (this.#owesWitness) await this.#nameHeader();
    if (!isBehind()) return;
    await this.#headers.settle();
    const { sequence } = this.#reader.state;
    await this.#headers.publish(await this.#headers.prepare({ sequence }));
  }

  /** Writes a batch with nothing but the state, so that older headers are known for what they are [F-113]. */
  async #nameHeader(): Promise<void> {
    const witness = await this.#headers.settle();
    const session = this.#session ?? (await this.#load(true));
    await this.#writeBatch(session, { ...session.state, sequence: session.state.sequence + 1, witness }, []);
    this.#owesWitness = false;
  }

  /** The commit point. After a failure the engine is opened anew, and what it then holds decides. */
  async #writeBatch(
    session: DatabaseSession,
    state: StateRecord,
    changes: readonly SealedChange[],
  ): Promise<void> {
    const batch = [...session.repairs, ...changes.flatMap(operationsOf)];
    const stateKey = recordKey.state();
    const value = session.store.seal(stateKey, encodeRecord(TABLES.state, state));
    batch.push({ type: "put", key: stateKey, value });
    let before: StoreSnapshot | undefined;
    try {
      before = session.holdReads();
      await session.store.inner.write(batch);
      session.adopt(state, changes);
      this.#notify(changes.map(({ key }) => key));
    } catch (error) {
      this.#endSession();
      await before?.dispose().catch(() => undefined);
      const found = await this.#load(true).catch((reason: unknown) => {
        throw outcomeUnknown(reason);
      });
      if (found.state.sequence === state.sequence) return;
      await this.#headers.discard();
      throw error;
    }
    // Not before the batch counts, and soon: it keeps removed secrets in the files, where a search would find them.
    await before.dispose().catch(() => undefined);
  }

  #warnOfClock({ clockMs, leap }: BelievedTime): void {
    const { time } = this.state;
    // A clock that is corrected by a little is no news.
    if (this.#hasWarnedOfClock || (leap === undefined && time - clockMs < CLOCK_TOLERANCE_MS)) return;
    this.#hasWarnedOfClock = true;
    const last = new Date(time).toISOString();
    const [seen, until] =
      leap === undefined
        ? ["before", "until it has passed that"]
        : [
            "more than 400 days after",
            "unless it is still so when the vault is opened again a day later or more",
          ];
    this.#options.report({
      type: "warning",
      message: `The clock is ${seen} the vault's last change (${last}). No key is deleted or rotated ${until}. Check the clock.`,
    });
  }

  #warnOfHeader(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    // A slot change is in the header alone: it counts from its first copy on, and lasts from the flush on.
    const what =
      this.#owesWitness && this.#headers.isTorn
        ? "The change counts, but a power cut may take it back: the vault header could not be written in full"
        : "The change is durable, but the vault header could not be brought up to date";
    this.#options.report({
      type: "warning",
      message: `${what} (${why}). It is tried again with the next change and on close.`,
    });
  }

  #endSession(): void {
    this.#session?.end();
    this.#session = undefined;
    this.#notify(undefined);
  }

  #notify(changedKeys: readonly Uint8Array[] | undefined): void {
    for (const observer of this.#observers) observer(changedKeys);
  }

  #wipe(): void {
    this.#endSession();
    wipe(this.#keys.header, this.#keys.database, this.#keys.set, this.#keys.name);
  }
}

function copyOf({ header, database, set, name }: DatabaseKeys): DatabaseKeys {
  return { header: copy(header), database: copy(database), set: copy(set), name: copy(name) };
}

/** True for the refusal of a ground on which nothing is written. */
function isReadOnly(error: unknown): boolean {
  return isCofferError(error, "COFFER_IO") && error.details["reason"] === "read-only";
}

function openedAnew(cause: unknown): IoError {
  return new IoError("The database was opened anew while it was read. Begin again.", {
    cause,
    details: { reason: "opened-anew" },
  });
}

function rotten(blocks: number): string {
  const what = blocks === 1 ? "A block of the database is" : `${blocks} blocks of the database are`;
  return `${what} not what was written. Keys are not touched by that; names of the file store may be hidden by it. Run coffer doctor --repair, and look after the drive.`;
}

function outcomeUnknown(cause: unknown): IoError {
  return new IoError(
    "Writing to the database failed, and it could not be opened anew. Whether the change took effect shows when the vault opens again.",
    { cause, details: { reason: "outcome-unknown" } },
  );
}
