/**
 * Which contents and directories are in use at this moment, by whatever session, and so are no garbage.
 * @module
 */
import { hex } from "../bytes.ts";
import { AsyncTurn } from "./async-turn.ts";

export class StoreUse {
  /** Those who copy whole objects share it; who writes key areas in place has it alone. */
  readonly keyAreas: AsyncTurn = new AsyncTurn();
  /** Those who seal a content by another one's key share it; who takes contents away from a key has it alone. */
  readonly keyChoice: AsyncTurn = new AsyncTurn();
  readonly #readers = new Map<string, number>();
  readonly #writing = new Set<string>();
  readonly #staged = new Set<string>();
  readonly #unflushed = new Map<string, Uint8Array>();
  #holds = 0;
  readonly #onUnused: () => void;

  /** @param onUnused told when something may have become garbage by not being used any more. */
  constructor(onUnused: () => void) {
    this.#onUnused = onUnused;
  }

  /** Counts a reader of an object. @returns what ends it, once. */
  read(id: Uint8Array): () => void {
    const name = hex(id);
    this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1);
    return this.#once(() => {
      const left = (this.#readers.get(name) ?? 1) - 1;
      if (left > 0) this.#readers.set(name, left);
      else this.#readers.delete(name);
    });
  }

  /** Keeps all objects, for as long as somebody copies them. @returns what ends it, once. */
  hold(): () => void {
    this.#holds += 1;
    return this.#once(() => {
      this.#holds -= 1;
    });
  }

  /** True while the object must stay: it is read, or its writer is still moving it to its place. */
  isPinned(id: Uint8Array): boolean {
    return this.#holds > 0 || this.#readers.has(hex(id)) || this.#writing.has(hex(id));
  }

  /** Marks a content that is being written, and has no record or is not in its place yet. @returns what ends it. */
  write(id: Uint8Array): () => void {
    this.#writing.add(hex(id));
    return this.#once(() => void this.#writing.delete(hex(id)));
  }

  isWriting(id: Uint8Array): boolean {
    return this.#writing.has(hex(id));
  }

  /** Marks a directory that is being filled, and has no name yet. @returns what ends it, once. */
  stage(id: Uint8Array): () => void {
    this.#staged.add(hex(id));
    return this.#once(() => void this.#staged.delete(hex(id)));
  }

  isStaged(id: Uint8Array): boolean {
    return this.#staged.has(hex(id));
  }

  /** Takes note of an object whose content is not known to be durable. */
  owesFlush(id: Uint8Array): void {
    this.#unflushed.set(hex(id), id);
  }

  /** Objects to flush; those that are flushed are told by {@link StoreUse.flushed}. */
  get unflushed(): readonly Uint8Array[] {
    return [...this.#unflushed.values()];
  }

  flushed(id: Uint8Array): void {
    this.#unflushed.delete(hex(id));
  }

  #once(end: () => void): () => void {
    let isDone = false;
    return () => {
      if (isDone) return;
      isDone = true;
      end();
      this.#onUnused();
    };
  }
}
