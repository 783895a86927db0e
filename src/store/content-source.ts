/**
 * Where the content of a new file comes from: bytes, a stream, or a file on disk.
 * @module
 */
import { assertPath } from "../envelope/file-options.ts";
import type { SourceFile } from "../envelope/source-file.ts";
import { utf8 } from "../bytes.ts";

/**
 * Bytes (a string is taken as UTF-8), a Web Stream or any other async iterable of bytes, such as a stream of Node;
 * or the path of a file on disk.
 */
export type ContentSource = Uint8Array | string | AsyncIterable<Uint8Array> | { readonly path: string };

export type KnownSource =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | {
      readonly kind: "pieces";
      readonly pieces: AsyncIterable<Uint8Array>;
      /** How many bytes will come, as far as that is known: segments are chosen by it, and nothing depends on it. */
      readonly sizeBytes?: number;
    }
  | { readonly kind: "path"; readonly path: string }
  /** Open already, and closed by who has opened it. */
  | { readonly kind: "file"; readonly file: SourceFile };

/** @throws TypeError for anything else. */
export function sourceOf(content: ContentSource): KnownSource {
  if (content instanceof Uint8Array) return { kind: "bytes", bytes: content };
  if (typeof content === "string") return { kind: "bytes", bytes: utf8(content) };
  if (typeof content === "object" && content !== null) {
    if (Symbol.asyncIterator in content) return { kind: "pieces", pieces: content };
    if ("path" in content) {
      assertPath("content.path", content.path);
      return { kind: "path", path: content.path };
    }
  }
  throw new TypeError("content: expected bytes, a string, an async iterable of bytes, or { path }");
}

/** Passes pieces on, refusing what is no bytes. @throws TypeError. */
export async function* bytesOf(pieces: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    if (!(piece instanceof Uint8Array)) {
      throw new TypeError(`content: expected pieces of Uint8Array, got ${typeof piece}`);
    }
    yield piece;
  }
}
