/**
 * Tags of a CMK: what they may be.
 * @module
 */
import { strictObject, string } from "valibot";
import { isWellFormed } from "../bytes.ts";
import { InvalidArgumentError, LimitExceededError } from "../errors.ts";
import { MAX_TAG_KEY_LENGTH, MAX_TAG_VALUE_LENGTH, MAX_TAGS } from "../limits.ts";

/** AWS's own tags; refused in any case, so that a vault can be mirrored there. */
const RESERVED_PREFIX = "aws:";

/** A name and a value that people or programs attach to a CMK. Not secret. */
export interface Tag {
  /** 1 to 128 characters (UTF-16 units), unique within the key, case-sensitive. */
  readonly tagKey: string;
  /** 0 to 256 characters (UTF-16 units). */
  readonly tagValue: string;
}

export const tagSchema: ReturnType<
  typeof strictObject<
    { readonly tagKey: ReturnType<typeof string>; readonly tagValue: ReturnType<typeof string> },
    undefined
  >
> = strictObject({ tagKey: string(), tagValue: string() });

/**
 * Checks the tags of one request.
 * @throws InvalidArgumentError for a name that is empty, too long, reserved, ill-formed or given twice.
 * @throws LimitExceededError above 50 tags.
 */
export function assertTags(tags: readonly Tag[]): void {
  if (tags.length > MAX_TAGS) throw tooManyTags(tags.length);
  const seen = new Set<string>();
  for (const { tagKey, tagValue } of tags) {
    assertTagKey(tagKey);
    if (tagValue.length > MAX_TAG_VALUE_LENGTH) {
      throw new InvalidArgumentError(
        `tagValue: at most ${MAX_TAG_VALUE_LENGTH} characters, got ${tagValue.length}`,
      );
    }
    if (!isWellFormed(tagValue)) throw illFormed("tagValue");
    if (seen.has(tagKey)) {
      throw new InvalidArgumentError("tags: a tag key is given twice. Give each once.", {
        details: { reason: "duplicate", tagKey },
      });
    }
    seen.add(tagKey);
  }
}

/** Checks the name of a tag. @throws InvalidArgumentError */
export function assertTagKey(tagKey: string): void {
  if (tagKey.length < 1 || tagKey.length > MAX_TAG_KEY_LENGTH) {
    throw new InvalidArgumentError(
      `tagKey: expected 1 to ${MAX_TAG_KEY_LENGTH} characters, got ${tagKey.length}`,
    );
  }
  if (!isWellFormed(tagKey)) throw illFormed("tagKey");
  if (tagKey.toLowerCase().startsWith(RESERVED_PREFIX)) {
    throw new InvalidArgumentError(
      `tagKey: names that begin with ${RESERVED_PREFIX} are reserved. Choose another name.`,
    );
  }
}

/** Returns the error for more tags than a key can have. */
export function tooManyTags(count: number): LimitExceededError {
  return new LimitExceededError(`tags: at most ${MAX_TAGS} tags on one key, got ${count}`, {
    details: { limit: MAX_TAGS, count },
  });
}

function illFormed(name: string): InvalidArgumentError {
  return new InvalidArgumentError(`${name}: the string has a lone surrogate`, {
    details: { reason: "ill-formed" },
  });
}
