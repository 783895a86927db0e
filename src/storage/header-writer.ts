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
  publishHeader,
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
  readonly slots?: readonly HeaderSlot[];
}

export class HeaderWriter {
  readonly #options: HeaderWriterOptions;
  #copies: HeaderCopies;
  /** Largest generation known to be durable in both copies; undefined until they were seen to. */
  #witness: number | undefined;
  /** True once a header may be in one copy only. */
  #isTorn = false;

  constructor(options: HeaderWriterOptions) {
    this.#options = options;
    this.#copies = options.copies;
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
    await makeCopiesEqual(this.#options.fs, this.#options.directory, this.#copies);
    this.#copies = { header: this.header, conditions: ["good", "good"] };
    this.#witness = this.header.generation;
    this.#isTorn = false;
    return this.#witness;
  }

  /** Writes and flushes the next header beside the copies: space runs out here, or not at all. */
  async prepare({ sequence, slots = this.header.slots }: HeaderChange): Promise<ParsedHeader> {
    const { fs, directory, headerKey } = this.#options;
    const { vaultId, database } = this.header;
    const generation = this.header.generation + 1;
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
    // Either copy may be replaced when this fails: its generation is never used again for other bytes.
    this.#copies = { header: next, conditions: ["older", "older"] };
    this.#witness = undefined;
    this.#isTorn = true;
    await publishHeader(this.#options.fs, this.#options.directory);
    this.#copies = { header: next, conditions: ["good", "good"] };
    this.#witness = next.generation;
    this.#isTorn = false;
  }

  /** Removes a prepared header that will not be published. Never rejects: the next one replaces leftovers. */
  async discard(): Promise<void> {
    await discardPreparedHeader(this.#options.fs, this.#options.directory).catch(() => undefined);
  }
}
