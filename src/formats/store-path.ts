/**
 * Paths in the file store: parts joined by `/`, in Unicode's NFC. A part is data, whatever other systems make of it.
 * Source: docs/format.md#store-paths [F-230], [F-233].
 * @module
 */
import { compare, isWellFormed, utf8 } from "../bytes.ts";
import { InvalidArgumentError, LimitExceededError } from "../errors.ts";
import { MAX_PART_BYTES, MAX_STORE_PATH_BYTES } from "../limits.ts";

/**
 * Returns the parts of a path, each in NFC; none for the empty path, which is the topmost directory.
 * @param argument its name, for a message.
 * @throws TypeError for anything but a string. @throws InvalidArgumentError reason `path` for an empty part, `.`, `..`,
 *   a zero character or half a character. @throws LimitExceededError for a part above 255 bytes, or a path above 4,096.
 */
export function parseStorePath(path: string, argument: string): string[] {
  if (typeof path !== "string") throw new TypeError(`${argument}: expected a string, got ${typeof path}`);
  if (path === "") return [];
  // Before anything is made of it: normalising costs time, and never makes a text a third as long.
  if (path.length > 3 * MAX_STORE_PATH_BYTES) throw tooLong(argument, "path", MAX_STORE_PATH_BYTES);
  if (!isWellFormed(path)) throw refused(argument, "holds half a character. Use well-formed text.");
  const normal = path.normalize("NFC");
  if (utf8(normal).length > MAX_STORE_PATH_BYTES) throw tooLong(argument, "path", MAX_STORE_PATH_BYTES);
  const parts = normal.split("/");
  for (const part of parts) assertPart(part, argument);
  return parts;
}

/** True for what {@link parseStorePath} can give as a part. Who made a vault is not believed: a name may come from elsewhere. */
export function isStorePart(part: string): boolean {
  return (
    part !== "" &&
    part !== "." &&
    part !== ".." &&
    !/[/\0]/u.test(part) &&
    isWellFormed(part) &&
    part === part.normalize("NFC") &&
    utf8(part).length <= MAX_PART_BYTES
  );
}

/** Returns entries as listings are sorted: by the UTF-8 bytes of their names, each encoded once. */
export function sortedByName<T extends { readonly name: string }>(entries: readonly T[]): T[] {
  return entries
    .map((entry) => ({ entry, bytes: utf8(entry.name) }))
    .sort((a, b) => compare(a.bytes, b.bytes))
    .map(({ entry }) => entry);
}

function assertPart(part: string, argument: string): void {
  if (part === "") {
    throw refused(argument, "has an empty part. Leave out slashes at both ends and double ones.");
  }
  if (part === "." || part === "..") {
    throw refused(argument, "has a part . or .., which leads nowhere here. Write the path in full.");
  }
  if (part.includes("\0")) throw refused(argument, "holds a zero character. Remove it.");
  if (utf8(part).length > MAX_PART_BYTES) throw tooLong(argument, "part", MAX_PART_BYTES);
}

function refused(argument: string, problem: string): InvalidArgumentError {
  return new InvalidArgumentError(`${argument}: the path ${problem}`, { details: { reason: "path" } });
}

function tooLong(argument: string, what: string, limit: number): LimitExceededError {
  return new LimitExceededError(`${argument}: a ${what} has at most ${limit} bytes of UTF-8. Shorten it.`, {
    details: { limit },
  });
}
