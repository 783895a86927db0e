/**
 * Whether an object is the one that its record means, as far as that shows without a key: its file id, its FLOE header
 * tag, which commits to its data key and its body, and its length. Nothing of the body is opened.
 * Source: docs/format.md#store-contents [F-235].
 * @module
 */
import { concat, equal } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { FLOE_HEADER_BYTES, FLOE_SEGMENT_OVERHEAD_BYTES, floeHeaderTag, floeLayout } from "../crypto/floe.ts";
import { readExactly, type SourceFile } from "../envelope/source-file.ts";
import { isCofferError } from "../errors.ts";
import { FILE_PREAMBLE_BYTES, fileBeginningLength, fileOffsets, parseFileHead } from "../formats/file.ts";
import type { ContentRecord } from "../formats/records/tables.ts";

/** Our own objects begin with less. */
const READ_BYTES = 8192;

/** Looks at the beginning of an object. @throws IoError. */
export async function isMeant(source: SourceFile, content: ContentRecord): Promise<boolean> {
  const { size } = source.stats;
  const check = new ObjectCheck(content, size);
  for (let at = 0; at < size && check.isMeant === undefined; at += READ_BYTES) {
    check.push(await readExactly(source, Math.min(READ_BYTES, size - at), at));
  }
  return check.isMeant === true;
}

/** Takes an object piece by piece, and compares its beginning and its length with its record. */
export class ObjectCheck {
  readonly #content: ContentRecord;
  readonly #lengthBytes: number;
  #held: Uint8Array = new Uint8Array();
  #isMeant: boolean | undefined;

  constructor(content: ContentRecord, lengthBytes: number) {
    this.#content = content;
    this.#lengthBytes = lengthBytes;
  }

  /** Undefined until the beginning has come. */
  get isMeant(): boolean | undefined {
    return this.#isMeant;
  }

  /** @returns false once the object is known to be another. */
  push(piece: Uint8Array): boolean {
    if (this.#isMeant !== undefined) return this.#isMeant;
    this.#held = concat(this.#held, piece);
    this.#isMeant = this.#judge();
    if (this.#isMeant !== undefined) this.#held = new Uint8Array();
    return this.#isMeant ?? true;
  }

  #judge(): boolean | undefined {
    if (this.#held.length < FILE_PREAMBLE_BYTES) return undefined;
    try {
      const beginningBytes = fileBeginningLength(this.#held);
      if (this.#held.length < beginningBytes) return undefined;
      const head = parseFileHead(this.#held);
      const { body, segments } = fileOffsets(head);
      const header = this.#held.subarray(body, body + FLOE_HEADER_BYTES);
      const { id, headerTag, length } = this.#content;
      const layout = floeLayout(
        this.#lengthBytes - segments,
        head.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES,
      );
      return (
        equal(head.fileId, id) && equal(floeHeaderTag(header), headerTag) && layout.plaintextBytes === length
      );
    } catch (error) {
      if (error instanceof MalformedError || isCofferError(error)) return false;
      throw error;
    }
  }
}
