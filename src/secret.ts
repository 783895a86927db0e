/**
 * Secrets in memory: bytes that are wiped when done and that show themselves nowhere.
 * JavaScript can move and copy memory behind our back, so a wipe covers the bytes that we own, and no more.
 * @module
 */
/** Overwrites each array with zeros. Absent ones are passed over, so that `finally` needs no conditions. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}

/**
 * Holds secret bytes until {@link Secret.wipe}. Shows `[Secret]` to `inspect`, `JSON.stringify` and `String`,
 * and has no enumerable field, so that a spread or a structured clone carries nothing.
 */
export class Secret {
  #bytes: Uint8Array | undefined;

  /** Takes the bytes over: they are wiped with this object, so the caller keeps no use of them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isWiped(): boolean {
    return this.#bytes === undefined;
  }

  /** Lends the bytes themselves, not a copy. @throws Error once wiped: the caller has checked the lock. */
  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new Error("secret: used after it was wiped");
    return this.#bytes;
  }

  wipe(): void {
    wipe(this.#bytes);
    this.#bytes = undefined;
  }

  static {
    redact(this, "[Secret]");
  }
}

/**
 * Makes every instance of a class show `text`, and nothing else, to `util.inspect`, `console.log`,
 * `JSON.stringify` and `String`. Called in the class's static block.
 */
export function redact(target: { readonly prototype: object }, text: string): void {
  for (const name of [Symbol.for("nodejs.util.inspect.custom"), "toJSON", "toString"]) {
    Object.defineProperty(target.prototype, name, { value: () => text, configurable: true });
  }
}
