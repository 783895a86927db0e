/**
 * Replaces the vault header on disk, generation by generation, and knows what of it is durable.
 * Source: docs/format.md#commit [F-110], [F-112], [F-113].
 * @module
 */
import { encodeHeader, type HeaderSlot, type ParsedHeader, parseHeader } from "../formats/header.ts";
import type { FileSystem } from "./file-system.ts";
import {
  discardPreparedHeader,
  type HeaderCopies,
  makeCopiesEqual,
  prepareHeader,
  publishFirstCopy,
  publishHeader,
  publishSecondCopy,
} from "./header-copies.ts";

export interface HeaderWriterOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly copies: HeaderCopies;
  /** Kheader, 64 bytes. Lent. */
  readonly headerKey: Uint8Array;
}

/** What a new header says beside what stays. */
export interface HeaderChange {
  readonly sequence: number;
  /** Larger than the generation that would come next, to leave out some that were seen elsewhere. */
  readonly generation?: number;
  readonly slots?: readonly HeaderSlot[];
  /** With {@link HeaderChange.headerKey}, for a change of the root key. */
  readonly database?: number;
  /** Kheader of the header to come. Lent. */
  readonly headerKey?: Uint8Array;
}

export class HeaderWriter {
  readonly #options: HeaderWriterOptions;
  #copies: HeaderCopies;
  /** Kheader of the header that counts. Lent. */
  #headerKey: Uint8Array;
  /** Largest generation known to be durable in both copies; undefined until they were seen to. */
  #witness: number | undefined;
  /** True once a header may be in one copy only. */
  #isTorn = false;
  /** The largest generation ever prepared to be published: none is used for two contents. */
  #lastGeneration: number;

  constructor(options: HeaderWriterOptions) {
    this.#options = options;
    this.#copies = options.copies;
    this.#headerKey = options.headerKey;
    this.#lastGeneration = options.copies.header.generation;
  }

  /** The newest header that is, or may be, in at least one copy. */
  get header(): ParsedHeader {
    return this.#copies.header;
  }

  /** True when {@link HeaderWriter.settle} should be tried again before the vault is left. */
  get isTorn(): boolean {
    return this.#isTorn;
  }

  /**
   * Makes both copies equal and durable, once before the first commit and again after a header that failed.
   * @returns the generation that the database may name from now on.
   */
  async settle(): Promise<number> {
    if (this.#witness !== undefined) return this.#witness;
    const { header } = this;
    try {
      await makeCopiesEqual(this.#options.fs, this.#options.directory, this.#copies);
    } catch (error) {
      // What a failed flush was to make durable is not flushed by the next one: both are written anew then.
      this.#copies = { header, conditions: ["older", "older"] };
      throw error;
    }
    this.#copies = { header, conditions: ["good", "good"] };
    this.#witness = this.header.generation;
    this.#isTorn = false;
    return this.#witness;
  }

  /** Writes and flushes the next header beside the copies: space runs out here, or not at all. */
  async prepare(change: HeaderChange): Promise<ParsedHeader> {
    const { fs, directory } = this.#options;
    const { vaultId } = this.header;
    const { sequence, slots = this.header.slots, database = this.header.database } = change;
    const { headerKey = this.#headerKey } = change;
    const generation = Math.max(this.#lastGeneration + 1, change.generation ?? 0);
    const next = parseHeader(encodeHeader({ vaultId, generation, sequence, database, slots }, headerKey));
    try {
      await prepareHeader(fs, directory, next.bytes);
    } catch (error) {
      await this.discard();
      throw error;
    }
    return next;
  }

  /** Puts a prepared header onto both copies; durable when it resolves. */
  async publish(next: ParsedHeader): Promise<void> {
    this.#begin(next);
    await publishHeader(this.#options.fs, this.#options.directory);
    this.#end(next);
  }

  /**
   * Puts a prepared header onto the first copy, where it counts at once: the commit point of a slot change.
   * {@link HeaderWriter.settle} makes it durable in both. @throws IoError; then the header before it still counts.
   */
  async commit(next: ParsedHeader, headerKey: Uint8Array = this.#headerKey): Promise<void> {
    const { fs, directory } = this.#options;
    this.#lastGeneration = next.generation;
    try {
      await publishFirstCopy(fs, directory);
    } catch (error) {
      await this.discard();
      throw error;
    }
    this.#begin(next);
    this.#headerKey = headerKey;
    try {
      await publishSecondCopy(fs, directory);
      this.#end(next);
    } catch {
      // It is tried again by settle, which the caller does next.
    }
  }

  /** Removes a prepared header that will not be published. Never rejects: the next one replaces leftovers. */
  async discard(): Promise<void> {
    await discardPreparedHeader(this.#options.fs, this.#options.directory).catch(() => undefined);
  }

  /** Either copy may be replaced when publishing fails: its generation is never used again for other bytes. */
  #begin(next: ParsedHeader): void {
    this.#lastGeneration = next.generation;
    this.#copies = { header: next, conditions: ["older", "older"] };
    this.#witness = undefined;
    this.#isTorn = true;
  }

  #end(next: ParsedHeader): void {
    this.#copies = { header: next, conditions: ["good", "good"] };
    this.#witness = next.generation;
    this.#isTorn = false;
  }
}
