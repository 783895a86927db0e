/**
 * Pages of a listing: records in the order of their LevelDB keys, the last one's key being the marker. A key that is
 * made or deleted between two pages moves none of the others, so each of those is listed exactly once.
 * @module
 */
import { InvalidArgumentError } from "../errors.ts";
import type { IndexRange } from "../storage/record-index.ts";
import type { RecordReader } from "../storage/transaction.ts";

/** Records that one call looks at, at most: a filter that few records pass must not hold the process. */
const MAX_LOOKED_AT = 5000;

export interface PageRequest {
  /** What all keys of the listing begin with. */
  readonly prefix: Uint8Array;
  /** Length of a whole LevelDB key. */
  readonly keyBytes: number;
  readonly limit: number;
  readonly marker: string | undefined;
  /** True when items may be left out. */
  readonly isFiltered?: boolean;
}

/** The end of a listing's answer. */
export interface PageEnd {
  /** True when there may be more: pass `nextMarker` as `marker` for it. */
  readonly truncated: boolean;
  /** Opaque, up to 1,024 characters; present exactly when `truncated` is true. */
  readonly nextMarker?: string;
}

/**
 * Returns up to `limit` items, those for which `itemOf` answers undefined left out, and how the page ends.
 * @throws InvalidArgumentError for a marker that no listing of this kind gave out.
 */
export function readPage<Item>(
  records: RecordReader,
  request: PageRequest,
  itemOf: (key: Uint8Array) => Item | undefined,
): { readonly items: Item[]; readonly end: PageEnd } {
  const range: IndexRange = {
    prefix: request.prefix,
    after: request.marker === undefined ? undefined : parseMarker(request.marker, request),
    limit: (request.isFiltered === true ? MAX_LOOKED_AT : request.limit) + 1,
  };
  const keys = records.keys(range);
  const items: Item[] = [];
  for (const [index, key] of keys.entries()) {
    const item = itemOf(key);
    if (item !== undefined) items.push(item);
    const isLast = index === keys.length - 1;
    if (isLast || (items.length < request.limit && index + 1 < MAX_LOOKED_AT)) continue;
    return { items, end: { truncated: true, nextMarker: Buffer.from(key).toString("base64url") } };
  }
  return { items, end: { truncated: false } };
}

function parseMarker(marker: string, { prefix, keyBytes }: PageRequest): Uint8Array {
  const key = new Uint8Array(Buffer.from(marker, "base64url"));
  const isOurs =
    key.length === keyBytes &&
    prefix.every((byte, index) => key[index] === byte) &&
    Buffer.from(key).toString("base64url") === marker;
  if (isOurs) return key;
  throw new InvalidArgumentError("marker: not one that this listing gave out. Pass nextMarker as it was.", {
    details: { reason: "marker" },
  });
}
