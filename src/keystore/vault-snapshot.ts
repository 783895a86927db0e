/**
 * A vault at one moment between two commits, with keys of its own: what a backup is made from.
 * @module
 */
import { DamagedError, IoError } from "../errors.ts";
import type { BackupPreamble, BackupRecord } from "../formats/backup.ts";
import type { ParsedHeader } from "../formats/header.ts";
import { redact } from "../secret.ts";
import { StoreClosedError, type StoreSnapshot } from "../storage/store.ts";
import type { ContentRecord } from "../formats/records/tables.ts";
import {
  backupFrames,
  type BackupObject,
  type CheckedRecords,
  checkRecords,
  openContentRecord,
  recordsToBackUp,
} from "./backup-records.ts";
import { sealBackup } from "./backup-file.ts";
import { RecordedKeys } from "./recorded-keys.ts";
import type { VaultKeys } from "./vault-keys.ts";

export class VaultSnapshot {
  readonly header: ParsedHeader;
  readonly #keys: VaultKeys;
  readonly #records: StoreSnapshot;
  readonly #ended: AbortSignal;
  readonly #recorded: RecordedKeys;
  readonly #wipe = (): void => {
    this.#keys.wipe();
    this.#recorded.wipe();
  };

  /** Takes keys and records over. The keys are wiped at the end, or at once when `ended` aborts. */
  constructor(header: ParsedHeader, keys: VaultKeys, records: StoreSnapshot, ended: AbortSignal) {
    this.header = header;
    this.#keys = keys;
    this.#recorded = new RecordedKeys(keys);
    this.#records = records;
    this.#ended = ended;
    if (ended.aborted) this.#wipe();
    else ended.addEventListener("abort", this.#wipe, { once: true });
  }

  /** Proves that what is to be backed up can be restored. @throws DamagedError, IoError, the signal's reason. */
  check(signal: AbortSignal): Promise<CheckedRecords> {
    return checkRecords(this.#entries(signal), this.#keys, this.header, notSound, signal);
  }

  /** The bytes of the backup file, in order. @throws IoError, the signal's reason. */
  async *backup(
    head: Omit<BackupPreamble, "headerBytes">,
    objects: AsyncIterable<BackupObject>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    signal.throwIfAborted();
    yield* sealBackup(head, this.header, this.#keys, backupFrames(this.#entries(signal), objects));
  }

  /**
   * The records of contents that lie in objects, and the CMKs, for as long as this lasts.
   * @throws DamagedError, IoError, the signal's reason.
   */
  async contents(
    signal: AbortSignal,
  ): Promise<{ readonly contents: readonly ContentRecord[]; readonly keys: RecordedKeys }> {
    const contents: ContentRecord[] = [];
    for await (const entries of this.#entries(signal)) {
      for (const [key, value] of entries) {
        this.#recorded.note(key, value);
        const content = openContentRecord(this.#keys, key, value);
        if (content !== undefined) contents.push(content);
      }
    }
    return { contents, keys: this.#recorded };
  }

  /** Idempotent. */
  async end(): Promise<void> {
    this.#ended.removeEventListener("abort", this.#wipe);
    this.#wipe();
    await this.#records.dispose();
  }

  static {
    redact(this, "[VaultSnapshot]");
  }

  async *#entries(signal: AbortSignal): AsyncGenerator<readonly BackupRecord[]> {
    try {
      for await (const entries of recordsToBackUp(this.#records)) {
        signal.throwIfAborted();
        yield entries;
      }
    } catch (error) {
      if (!(error instanceof StoreClosedError)) throw error;
      signal.throwIfAborted();
      throw new IoError("The database was opened anew while the backup was made. Make the backup again.", {
        cause: error,
      });
    }
  }
}

function notSound(): DamagedError {
  return new DamagedError(
    "The vault holds damaged records, so no backup was made: it would replace a better one. Run coffer doctor --repair.",
    { details: { part: "database" } },
  );
}
