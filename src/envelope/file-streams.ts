/**
 * Encryption and decryption of streams, the same bytes as files. What comes out of decryption is a true prefix of the
 * plaintext at any moment, and complete only when the stream has closed. Source: docs/format.md#file [F-206] [F-207].
 * @module
 */
import { concat, copy } from "../bytes.ts";
import { FloeOpener, FloeSealer } from "../crypto/floe-in-order.ts";
import type { FloeSegments } from "../crypto/floe-segments.ts";
import { cut, FILE_PREAMBLE_BYTES, fileBeginningLength } from "../formats/file.ts";
import { wipe } from "../secret.ts";
import { makeBeginning, type NewFileFields, openBeginning, type OpenFields } from "./beginning.ts";
import { byteStream, type ByteStreamPair } from "./byte-stream.ts";
import { fileFailure } from "./file-failures.ts";
import type { KeyAccess } from "./key-access.ts";

/** Returns a pair that encrypts. The data key is drawn with the first byte. Copies nothing that it need not keep. */
export function sealingStream(access: KeyAccess, fields: NewFileFields): ByteStreamPair {
  let segments: FloeSegments | undefined;
  let sealer: FloeSealer | undefined;
  let isEnded = false;

  const begin = async (): Promise<readonly Uint8Array[]> => {
    if (sealer !== undefined) return [];
    const made = await makeBeginning(access, fields);
    segments = made.segments;
    if (isEnded) segments.close();
    sealer = new FloeSealer(segments);
    return [made.bytes];
  };
  return byteStream(
    {
      async push(bytes) {
        fields.onUse?.();
        const beginning = await begin();
        return isEnded ? [] : [...beginning, ...(sealer?.push(bytes) ?? [])];
      },
      async finish() {
        const beginning = await begin();
        return isEnded || sealer === undefined ? [] : [...beginning, sealer.finish()];
      },
      end() {
        isEnded = true;
        access.end();
        segments?.close();
      },
    },
    fields.signal,
  );
}

/** Returns a pair that decrypts. */
export function openingStream(fields: OpenFields): ByteStreamPair {
  const beginning = new BeginningBuffer();
  let segments: FloeSegments | undefined;
  let opener: FloeOpener | undefined;
  let isEnded = false;

  const begin = async (bytes: Uint8Array): Promise<void> => {
    const opened = await openBeginning(bytes, fields);
    wipe(opened.dek);
    segments = opened.segments;
    if (isEnded) segments.close();
    opener = new FloeOpener(segments);
  };
  const open = (use: (opener: FloeOpener) => readonly Uint8Array[]): readonly Uint8Array[] => {
    if (isEnded || opener === undefined) return [];
    try {
      return use(opener);
    } catch (error) {
      throw fileFailure(error);
    }
  };
  return byteStream(
    {
      async push(bytes) {
        fields.onUse?.();
        if (opener !== undefined) return open((o) => o.push(bytes));
        const whole = beginning.push(bytes);
        if (whole === undefined) return [];
        await begin(whole.beginning);
        return open((o) => o.push(whole.rest));
      },
      async finish() {
        if (opener === undefined) beginning.refuse();
        return open((o) => [o.finish()]);
      },
      end() {
        isEnded = true;
        fields.access.end();
        segments?.close();
      },
    },
    fields.signal,
  );
}

/** Gathers pieces until a file's whole beginning is there. */
class BeginningBuffer {
  #pieces: Uint8Array[] = [];
  #length = 0;
  /** How many bytes tell more: the fixed part at first, then the beginning. */
  #wanted = FILE_PREAMBLE_BYTES;
  #isKnown = false;

  push(bytes: Uint8Array): { readonly beginning: Uint8Array; readonly rest: Uint8Array } | undefined {
    // The slice of a Buffer would be no copy.
    this.#pieces.push(copy(bytes));
    this.#length += bytes.length;
    while (this.#length >= this.#wanted) {
      const joined = concat(...this.#pieces);
      this.#pieces = [joined];
      if (this.#isKnown) {
        return { beginning: joined.subarray(0, this.#wanted), rest: joined.subarray(this.#wanted) };
      }
      this.#wanted = fileBeginningLength(joined);
      this.#isKnown = true;
    }
    return undefined;
  }

  /** Says why a source that ended here is no file. */
  refuse(): never {
    fileBeginningLength(concat(...this.#pieces));
    throw cut();
  }
}
