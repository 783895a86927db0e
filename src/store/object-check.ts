/**
 * Whether an object is the one that its record means: its file id, its FLOE header tag, which commits to its data key
 * and its body, and its length; and, where the keys are there, whether they open it. Nothing of the body is opened.
 * Source: docs/format.md#store-contents [F-235], #backup [F-165].
 * @module
 */
import { concat, equal } from "../bytes.ts";
import { MalformedError } from "../crypto/failures.ts";
import { FLOE_HEADER_BYTES, FLOE_SEGMENT_OVERHEAD_BYTES, floeHeaderTag, floeLayout } from "../crypto/floe.ts";
import { openBeginning } from "../envelope/beginning.ts";
import { vaultAccess } from "../envelope/key-access.ts";
import { readExactly, type SourceFile } from "../envelope/source-file.ts";
import { isCofferError } from "../errors.ts";
import { FILE_PREAMBLE_BYTES, fileBeginningLength, fileOffsets, parseFileHead } from "../formats/file.ts";
import type { ContentRecord } from "../formats/records/tables.ts";
import type { RecordedKeys } from "../keystore/recorded-keys.ts";
import { wipe } from "../secret.ts";

/** Our own objects begin with less. */
const READ_BYTES = 8192;

/** `other`: another object, or not whole. `key`: the right one, sealed by a key that is not there. */
export type ObjectVerdict = "meant" | "other" | "key";

/** Looks at the beginning of an object. @param keys undefined uses none. @throws IoError. */
export async function judgeObject(
  source: SourceFile,
  content: ContentRecord,
  keys?: RecordedKeys,
): Promise<ObjectVerdict> {
  const { size } = source.stats;
  const check = new ObjectCheck(content, size, keys);
  for (let at = 0; at < size && check.verdict === undefined; at += READ_BYTES) {
    await check.push(await readExactly(source, Math.min(READ_BYTES, size - at), at));
  }
  return check.verdict ?? "other";
}

/** Takes an object piece by piece, and compares its beginning and its length with its record. */
export class ObjectCheck {
  readonly #content: ContentRecord;
  readonly #lengthBytes: number;
  readonly #keys: RecordedKeys | undefined;
  #held: Uint8Array = new Uint8Array();
  #verdict: ObjectVerdict | undefined;

  /** @param keys lent; undefined leaves out whether it opens. */
  constructor(content: ContentRecord, lengthBytes: number, keys?: RecordedKeys) {
    this.#content = content;
    this.#lengthBytes = lengthBytes;
    this.#keys = keys;
  }

  /** Undefined until the beginning has come. */
  get verdict(): ObjectVerdict | undefined {
    return this.#verdict;
  }

  /** @returns the verdict, once there is one. */
  async push(piece: Uint8Array): Promise<ObjectVerdict | undefined> {
    if (this.#verdict !== undefined) return this.#verdict;
    this.#held = concat(this.#held, piece);
    this.#verdict = await this.#judge();
    if (this.#verdict !== undefined) this.#held = new Uint8Array();
    return this.#verdict;
  }

  async #judge(): Promise<ObjectVerdict | undefined> {
    const isMeant = this.#isMeant();
    if (isMeant === undefined) return undefined;
    if (!isMeant) return "other";
    return this.#keys === undefined || (await opensWith(this.#keys, this.#held)) ? "meant" : "key";
  }

  #isMeant(): boolean | undefined {
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

/** True also where the keys that could open it were deleted: it is lost then, and says nothing of a backup. */
async function opensWith(keys: RecordedKeys, beginning: Uint8Array): Promise<boolean> {
  let isGone = false;
  const access = vaultAccess({
    async decrypt({ ciphertextBlob, encryptionContext }) {
      isGone ||= keys.isGone(ciphertextBlob);
      return { plaintext: keys.decrypt(ciphertextBlob, encryptionContext) };
    },
    generateDataKey: () => Promise.reject(new TypeError("keys of a backup: they seal nothing")),
    encrypt: () => Promise.reject(new TypeError("keys of a backup: they seal nothing")),
  });
  try {
    const opened = await openBeginning(beginning, { access, context: {}, report: () => undefined });
    wipe(opened.dek);
    opened.segments.close();
    return true;
  } catch (error) {
    if (isCofferError(error)) return isGone;
    throw error;
  }
}
